//! epoll(7) of another process: what it waits for, and a socket that it is to wait for instead of another.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::sys::process::adopt;

/// One descriptor that an epoll waits for (`/proc/PID/fdinfo`, proc_pid_fdinfo(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    /// The number under which it was added.
    pub number: RawFd,
    /// The events waited for (`EPOLL…`).
    pub events: u32,
    /// What the program gets back.
    pub data: u64,
    /// The file's inode.
    pub inode: u64,
}

impl Registration {
    /// One line of an epoll's `fdinfo`: `tfd: 5 events: 19 data: 5 pos:0 ino:1e sdev:8`.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let value = |name: &str| line.split_once(name)?.1.split_whitespace().next();
        let hexadecimal = |name| u64::from_str_radix(value(name)?, 16).ok();
        line.starts_with("tfd:").then_some(Self {
            number: value("tfd:")?.parse().ok()?,
            events: u32::try_from(hexadecimal("events:")?).ok()?,
            data: hexadecimal("data:")?,
            inode: hexadecimal("ino:")?,
        })
    }
}

/// Has `epoll` wait for `socket` as it did for `registration`.
///
/// An epoll knows a file by its number in the process that adds it, and the program will name it by its own. So the socket lies under that
/// number while it is added, and what lay there comes back before this returns. This process must have one thread.
///
/// # Errors
/// What dup3(2) and epoll_ctl(2) say.
pub fn add(epoll: BorrowedFd<'_>, socket: BorrowedFd<'_>, registration: &Registration) -> io::Result<()> {
    let number = registration.number;
    // Neither may lie where the socket is put.
    let epoll = copy_above(epoll.as_raw_fd(), number)?;
    let socket = copy_above(socket.as_raw_fd(), number)?;
    let kept = match copy_above(number, number) {
        Ok(kept) => Some(kept),
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => None,
        Err(error) => return Err(error),
    };
    put(&socket, number)?;
    let mut event = libc::epoll_event {
        events: registration.events,
        u64: registration.data,
    };
    // SAFETY: the structure outlives the call, which only reads it.
    let added = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, number, &raw mut event) };
    let added = Errno::result(added);
    match kept {
        Some(kept) => put(&kept, number)?,
        // SAFETY: it was put there above, and nobody has learnt of it.
        None => drop(unsafe { libc::close(number) }),
    }
    added?;
    Ok(())
}

fn copy_above(descriptor: RawFd, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: borrowed for one call; a number that is none of ours is refused by the kernel.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    adopt(fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(number.saturating_add(1)))?)
}

fn put(what: &impl AsFd, number: RawFd) -> io::Result<()> {
    // SAFETY: plain integers. Whatever lies at the number is kept by the caller, or nothing does.
    Errno::result(unsafe { libc::dup3(what.as_fd().as_raw_fd(), number, libc::O_CLOEXEC) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Registration;

    #[test]
    fn lines_of_the_kernel() {
        let line = "tfd:        5 events: 80000019 data:     7f0000000005  pos:0 ino:1e sdev:8";
        let registration = Registration {
            number: 5,
            events: 0x8000_0019,
            data: 0x7f00_0000_0005,
            inode: 0x1e,
        };
        assert_eq!(Registration::parse(line), Some(registration));
        for line in ["pos:\t0", "tfd: x events: 1 data: 1 ino:1", "tfd: 1", ""] {
            assert_eq!(Registration::parse(line), None);
        }
    }
}
