//! Terminals: whose controlling terminal one is, and how large it is (ioctl_tty(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::pty::Winsize;

#[allow(
    missing_docs,
    unreachable_pub,
    reason = "the macros write public functions without a description"
)]
mod ioctl {
    use nix::pty::Winsize;

    nix::ioctl_write_int_bad!(set_controlling, libc::TIOCSCTTY);
    nix::ioctl_write_int_bad!(open_peer, libc::TIOCGPTPEER);
    nix::ioctl_write_ptr_bad!(lock, libc::TIOCSPTLCK, libc::c_int);
    nix::ioctl_read_bad!(get_window_size, libc::TIOCGWINSZ, Winsize);
    nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);
}

/// Makes standard input the controlling terminal of this process, the leader of a new session, if it is a terminal that nobody controls
/// yet: its keys become signals for the session's jobs, and `/dev/tty` is it.
pub fn take_controlling() {
    // SAFETY: the call takes a number and no pointer; on anything but a free terminal it fails and changes nothing.
    let _ = unsafe { ioctl::set_controlling(io::stdin().as_raw_fd(), 0) };
}

/// Lets the other end of a new pseudo-terminal be opened.
///
/// # Errors
/// It is none.
pub fn unlock(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the pointer is to an int, which the kernel reads.
    unsafe { ioctl::lock(terminal.as_raw_fd(), &raw const UNLOCKED) }?;
    Ok(())
}

static UNLOCKED: libc::c_int = 0;

/// The other end of a pseudo-terminal, opened without a path.
///
/// # Errors
/// `EIO` if it is locked.
pub fn peer(terminal: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the call takes a number and no pointer.
    let fd = unsafe { ioctl::open_peer(terminal.as_raw_fd(), flags) }?;
    // SAFETY: the result is a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The size of a terminal's window; `None` if it is no terminal.
#[must_use]
pub fn window_size(terminal: BorrowedFd<'_>) -> Option<Winsize> {
    let mut size = Winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the pointer is to a structure of the size that the kernel writes.
    unsafe { ioctl::get_window_size(terminal.as_raw_fd(), &raw mut size) }.ok()?;
    Some(size)
}

/// Sets a terminal's size, and tells its foreground jobs.
///
/// # Errors
/// It is no terminal.
pub fn resize(terminal: impl AsFd, size: Winsize) -> io::Result<()> {
    // SAFETY: the pointer is to a structure of the size that the kernel reads.
    unsafe { ioctl::set_window_size(terminal.as_fd().as_raw_fd(), &raw const size) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use nix::pty::openpty;
    use std::os::fd::AsFd as _;

    use super::{resize, window_size};

    #[test]
    fn both_ends_have_one_size() {
        let pty = openpty(None, None).expect("a pseudo-terminal");
        let mut size = window_size(pty.master.as_fd()).expect("a size");
        (size.ws_row, size.ws_col) = (33, 99);
        resize(&pty.master, size).expect("resizing");
        let seen = window_size(pty.slave.as_fd()).expect("a size");
        assert_eq!((seen.ws_row, seen.ws_col), (33, 99));
        let file = std::fs::File::open("/dev/null").expect("a file");
        assert!(window_size(file.as_fd()).is_none());
    }
}
