//! What init must know of a socket that it did not make, and the calls on one.

pub mod options;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::sockopt::{Ipv6V6Only, ReuseAddr};
use nix::sys::socket::{SockaddrStorage, getsockname, setsockopt};

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

/// `SO_PROTOCOL`, where MPTCP counts as the TCP that it is to a program.
///
/// # Errors
/// `ENOTSOCK`.
pub fn protocol(socket: BorrowedFd<'_>) -> io::Result<i32> {
    let protocol = option(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL)?;
    Ok(match protocol {
        libc::IPPROTO_MPTCP => libc::IPPROTO_TCP,
        protocol => protocol,
    })
}

/// The IP address that a socket is bound to, if it is one of IP.
///
/// # Errors
/// What getsockname(2) says.
pub fn internet_address(socket: BorrowedFd<'_>) -> io::Result<Option<IpAddr>> {
    let name: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let four = name.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    Ok(four.or_else(|| name.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()))))
}

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

/// A new socket, bound to an address as it came from another process.
///
/// # Errors
/// What socket(2) and bind(2) say.
pub fn bound(form: Form, address: &[u8]) -> io::Result<OwnedFd> {
    let socket = form.create()?;
    setsockopt(&socket, ReuseAddr, &true)?;
    bind(socket.as_fd(), address)?;
    Ok(socket)
}

/// bind(2) to an address as it came from another process.
///
/// # Errors
/// What bind(2) says.
pub fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(address.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel copies `len` bytes and checks them; sockaddr has no alignment that it asks for.
    Errno::result(unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length) })?;
    Ok(())
}

/// What socket(2) is told, and what bind(2) makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// `AF_…`.
    pub domain: i32,
    /// `SOCK_…`.
    pub kind: i32,
    /// `IPPROTO_…`.
    pub protocol: i32,
    /// `IPV6_V6ONLY`; always so for sockets of other families.
    pub ipv6_only: bool,
}

impl Form {
    /// That of a socket.
    ///
    /// # Errors
    /// `ENOTSOCK`.
    pub fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self {
            domain: domain(socket)?,
            kind: kind(socket)?,
            protocol: option(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL)?,
            ipv6_only: is_ipv6_only(socket).unwrap_or(true),
        })
    }

    /// A new socket of it.
    ///
    /// # Errors
    /// What socket(2) says.
    pub fn create(self) -> io::Result<OwnedFd> {
        let kind = self.kind | libc::SOCK_CLOEXEC;
        // SAFETY: plain integers; a non-negative result is a new descriptor that nobody else owns.
        let socket = Errno::result(unsafe { libc::socket(self.domain, kind, self.protocol) })?;
        // SAFETY: see above.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        if self.domain == libc::AF_INET6 {
            setsockopt(&socket, Ipv6V6Only, &self.ipv6_only)?;
        }
        Ok(socket)
    }
}

/// The size of `T` as socket calls take it.
const fn size<T>() -> libc::socklen_t {
    let size = size_of::<T>();
    assert!(size < 1024);
    #[allow(clippy::cast_possible_truncation)] // It has just been shown to fit.
    let size = size as libc::socklen_t;
    size
}

/// listen(2) with the longest queue that the kernel allows, on a socket that does not listen: of one that does, the queue is what it is.
///
/// # Errors
/// What listen(2) says.
pub fn listen(socket: BorrowedFd<'_>) -> io::Result<()> {
    if option(socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? != 0 {
        return Ok(());
    }
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
