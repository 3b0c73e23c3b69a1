//! The queue of a listening socket: connections that the kernel has made and nobody has accepted yet.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockFlag, accept4};

use crate::sys::socket::{option, size};

/// Whether it listens at all (`SO_ACCEPTCONN`).
///
/// # Errors
/// It is no socket.
pub fn listens(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(option(socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? != 0)
}

/// listen(2) with the longest queue that the kernel allows, on a socket that does not listen: of one that does, the queue is what it is.
///
/// # Errors
/// What listen(2) says.
pub fn listen(socket: BorrowedFd<'_>) -> io::Result<()> {
    if listens(socket)? {
        return Ok(());
    }
    // SAFETY: plain integers.
    Errno::result(unsafe { libc::listen(socket.as_raw_fd(), libc::c_int::MAX) })?;
    Ok(())
}

/// How many connections wait to be accepted, tcp(7).
///
/// # Errors
/// It is no TCP socket.
pub fn queued(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: a plain structure of numbers.
    let mut information: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut size = size::<libc::tcp_info>();
    // SAFETY: the kernel writes at most `size` bytes, and any bytes are valid numbers.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_TCP,
            libc::TCP_INFO,
            (&raw mut information).cast(),
            &raw mut size,
        )
    };
    Errno::result(result)?;
    // Of a socket that listens this is the length of its queue.
    Ok(information.tcpi_unacked)
}

/// Takes the connection that has waited longest, if there is one.
///
/// # Errors
/// What accept(2) says, of a connection that is gone too.
pub fn take(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    if poll(&mut [PollFd::new(socket, PollFlags::POLLIN)], PollTimeout::ZERO)? == 0 {
        return Ok(None);
    }
    let number = accept4(socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
    // SAFETY: the number is new and nobody else's.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(number) }))
}
