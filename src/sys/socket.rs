//! What init must know of a socket that it did not make, and two calls on one.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::sockopt::ReuseAddr;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt};

/// `SO_DOMAIN`: the address family (`AF_…`).
///
/// # Errors
/// `ENOTSOCK`.
pub fn domain(socket: BorrowedFd<'_>) -> io::Result<i32> {
    option(socket, libc::SOL_SOCKET, libc::SO_DOMAIN)
}

/// `SO_TYPE` (`SOCK_…`).
///
/// # Errors
/// `ENOTSOCK`.
pub fn kind(socket: BorrowedFd<'_>) -> io::Result<i32> {
    option(socket, libc::SOL_SOCKET, libc::SO_TYPE)
}

/// `SO_PROTOCOL` (`IPPROTO_…`).
///
/// # Errors
/// `ENOTSOCK`.
pub fn protocol(socket: BorrowedFd<'_>) -> io::Result<i32> {
    option(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL)
}

/// The socket's own address, as bytes of a `struct sockaddr`.
///
/// # Errors
/// What getsockname(2) says.
pub fn name(socket: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0_u8; 128];
    let mut length: libc::socklen_t = 128;
    // SAFETY: the kernel writes at most as many bytes as it is told.
    let result = unsafe { libc::getsockname(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), &raw mut length) };
    Errno::result(result)?;
    bytes.truncate(usize::try_from(length).map_err(io::Error::other)?);
    Ok(bytes)
}

/// `IPV6_V6ONLY`.
///
/// # Errors
/// `ENOPROTOOPT` for a socket of another family.
pub fn is_ipv6_only(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(option(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)? != 0)
}

/// `SO_NETNS_COOKIE`: which network namespace the socket belongs to.
///
/// # Errors
/// `ENOPROTOOPT` before Linux 5.14.
pub fn namespace_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut value = 0_u64;
    get(socket, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, &mut value)?;
    Ok(value)
}

/// Copies the options that a program sets before bind(2), and that its data connections would have inherited.
pub fn copy_options(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    for (level, name) in INHERITED {
        if let Ok(value) = option(from, level, name)
            && option(to, level, name).is_ok_and(|old| old != value)
        {
            // SAFETY: the option is an int, as `option` has just found.
            unsafe {
                libc::setsockopt(
                    to.as_raw_fd(),
                    level,
                    name,
                    (&raw const value).cast(),
                    size::<libc::c_int>(),
                );
            }
        }
    }
}

/// Integer options that an accepted connection takes from its listener.
const INHERITED: [(i32, i32); 5] = [
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
];

/// Sets or clears `O_NONBLOCK` as it is in `flags`. It belongs to the open socket and not to the descriptor.
///
/// # Errors
/// What fcntl(2) says.
pub fn set_blocking(socket: BorrowedFd<'_>, flags: OFlag) -> io::Result<()> {
    let current = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    let wanted = (current - OFlag::O_NONBLOCK) | (flags & OFlag::O_NONBLOCK);
    if wanted != current {
        fcntl(socket, FcntlArg::F_SETFL(wanted))?;
    }
    Ok(())
}

/// A new TCP socket over IPv4, bound to an address as it came from another process.
///
/// # Errors
/// What bind(2) says.
pub fn bound_ipv4(address: &[u8]) -> io::Result<OwnedFd> {
    let length = libc::socklen_t::try_from(address.len()).map_err(io::Error::other)?;
    let socket = nix::sys::socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, ReuseAddr, &true)?;
    // SAFETY: the kernel copies `len` bytes and checks them; sockaddr has no alignment that it asks for.
    let result = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length) };
    Errno::result(result)?;
    Ok(socket)
}

/// The size of `T` as socket calls take it.
const fn size<T>() -> libc::socklen_t {
    let size = size_of::<T>();
    assert!(size < 1024);
    #[allow(clippy::cast_possible_truncation)] // It has just been shown to fit.
    let size = size as libc::socklen_t;
    size
}

/// listen(2) with the longest queue that the kernel allows. On a socket that listens it does no more than set the queue's length.
///
/// # Errors
/// What listen(2) says.
pub fn listen(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: plain integers.
    Errno::result(unsafe { libc::listen(socket.as_raw_fd(), libc::c_int::MAX) })?;
    Ok(())
}

/// send(2) without waiting and without SIGPIPE.
///
/// # Errors
/// `EAGAIN` if the receiver's queue is full.
pub fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = nix::sys::socket::MsgFlags::MSG_DONTWAIT | nix::sys::socket::MsgFlags::MSG_NOSIGNAL;
    Ok(nix::sys::socket::send(socket.as_raw_fd(), bytes, flags)?)
}

/// The `length` bytes at `address` of another process, as many as `buffer` holds.
///
/// # Errors
/// `EFAULT` for a wild pointer, `EPERM`, `ESRCH`.
pub fn read_address(process: nix::unistd::Pid, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    use nix::sys::uio::{RemoteIoVec, process_vm_readv};
    let base = usize::try_from(address).map_err(io::Error::other)?;
    let remote = [RemoteIoVec {
        base,
        len: buffer.len(),
    }];
    Ok(process_vm_readv(process, &mut [io::IoSliceMut::new(buffer)], &remote)?)
}

fn option(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0_i32;
    get(socket, level, name, &mut value)?;
    Ok(value)
}

/// getsockopt(2) of a plain number.
fn get<T: Number>(socket: BorrowedFd<'_>, level: i32, name: i32, value: &mut T) -> io::Result<()> {
    let mut size = size::<T>();
    // SAFETY: the kernel writes at most `size` bytes, and any bytes are a valid number.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_mut(value).cast(),
            &raw mut size,
        )
    };
    Errno::result(result)?;
    Ok(())
}

/// Types of which every bit pattern is a value.
trait Number {}
impl Number for i32 {}
impl Number for u64 {}
