//! Terminals: whose controlling terminal one is, and how large it is (ioctl_tty(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::pty::Winsize;
use nix::sys::signal::{SigHandler, Signal, signal};

#[allow(
    missing_docs,
    unreachable_pub,
    reason = "the macros write public functions without a description"
)]
mod ioctl {
    use nix::pty::Winsize;

    nix::ioctl_none_bad!(give_up_controlling, libc::TIOCNOTTY);
    nix::ioctl_write_int_bad!(set_controlling, libc::TIOCSCTTY);
    nix::ioctl_read_bad!(get_window_size, libc::TIOCGWINSZ, Winsize);
    nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);
}

/// Gives standard input up as this process's controlling terminal, if it is that.
///
/// systemd makes the terminal that a service is given the controlling one of its first process. When that process ends as the leader of its
/// session, the kernel hangs the terminal up for everybody who still uses it.
///
/// # Errors
/// What sigaction(2) says.
pub fn release_controlling() -> io::Result<()> {
    let input = io::stdin();
    if !nix::unistd::isatty(&input).unwrap_or(false) {
        return Ok(());
    }
    // Giving it up sends SIGHUP to all of its foreground group, which we are in.
    // SAFETY: no handler is installed, so none can run.
    let before = unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) }?;
    // SAFETY: the descriptor is open for this process's whole life, and the call takes no pointer. That it is not our controlling
    // terminal is no error here.
    let _ = unsafe { ioctl::give_up_controlling(input.as_raw_fd()) };
    // SAFETY: what was there before was no handler of ours: the default, or to be ignored.
    unsafe { signal(Signal::SIGHUP, before) }?;
    Ok(())
}

/// Makes standard input the controlling terminal of this process, the leader of a new session, if it is a terminal that nobody controls
/// yet: its keys become signals for the session's jobs, and `/dev/tty` is it.
pub fn take_controlling() {
    // SAFETY: the call takes a number and no pointer; on anything but a free terminal it fails and changes nothing.
    let _ = unsafe { ioctl::set_controlling(io::stdin().as_raw_fd(), 0) };
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
