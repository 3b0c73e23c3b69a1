//! Terminals: whose controlling terminal one is, and how large it is (ioctl_tty(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::pty::Winsize;

#[allow(
    missing_docs,
    unreachable_pub,
    reason = "the macros write public functions without a description"
)]
mod ioctl {
    use nix::pty::Winsize;

    nix::ioctl_write_int_bad!(set_controlling, libc::TIOCSCTTY);
    nix::ioctl_read_bad!(get_window_size, libc::TIOCGWINSZ, Winsize);
    nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);
}

/// Makes standard input the controlling terminal of this process, the leader of a new session, if it is a terminal that nobody controls
/// yet: its keys become signals for the session's jobs, and `/dev/tty` is it.
pub fn take_controlling() {
    // SAFETY: the call takes a number and no pointer; on anything but a free terminal it fails and changes nothing.
    let _ = unsafe { ioctl::set_controlling(io::stdin().as_raw_fd(), 0) };
}

/// Lets the other end of a pseudo-terminal be opened (`TIOCSPTLCK`).
///
/// # Errors
/// `multiplexer` is none.
pub fn unlock(multiplexer: &OwnedFd) -> io::Result<()> {
    let locked: libc::c_int = 0;
    // SAFETY: the pointer is to an integer that the kernel reads.
    Errno::result(unsafe { libc::ioctl(multiplexer.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) })?;
    Ok(())
}

/// Opens the other end of a pseudo-terminal by descriptor, never by its name (`TIOCGPTPEER`).
///
/// # Errors
/// `EIO` while it is locked.
pub fn open_peer(multiplexer: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the call takes flags and no pointer; a non-negative result is a new descriptor that nobody else owns.
    let fd = Errno::result(unsafe { libc::ioctl(multiplexer.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: see above.
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
