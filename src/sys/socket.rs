//! What init must know of a socket that it did not make, the calls on one, and descriptors that go through one.

pub mod options;
pub mod queue;

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::sockopt::{Ipv6V6Only, ReuseAddr};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, SockaddrStorage, getsockname, sendmsg, setsockopt,
    socketpair,
};

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

/// `SO_PROTOCOL` (`IPPROTO_…`), MPTCP told from TCP.
///
/// # Errors
/// `ENOTSOCK`.
pub fn exact_protocol(socket: BorrowedFd<'_>) -> io::Result<i32> {
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

/// `SO_PROTOCOL`, where MPTCP counts as the TCP that it is to a program.
///
/// # Errors
/// `ENOTSOCK`.
pub fn protocol(socket: BorrowedFd<'_>) -> io::Result<i32> {
    Ok(match exact_protocol(socket)? {
        libc::IPPROTO_MPTCP => libc::IPPROTO_TCP,
        protocol => protocol,
    })
}

/// The IP address and port that a socket is bound to, if it is one of IP.
///
/// # Errors
/// What getsockname(2) says.
pub fn internet_address(socket: BorrowedFd<'_>) -> io::Result<Option<SocketAddr>> {
    let name: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let four = name.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    Ok(four.or_else(|| name.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into()))))
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

/// Ends the connection of a socket, which can then have another (connect(2), `AF_UNSPEC`).
///
/// # Errors
/// What connect(2) says.
pub fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all bytes zero is a valid address: AF_UNSPEC is 0. The kernel reads as many bytes as it has.
    unsafe {
        let nowhere: libc::sockaddr = std::mem::zeroed();
        let length = libc::socklen_t::try_from(size_of::<libc::sockaddr>()).unwrap_or(0);
        Errno::result(libc::connect(socket.as_raw_fd(), &raw const nowhere, length))?;
    }
    Ok(())
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

/// send(2) without waiting and without SIGPIPE.
///
/// # Errors
/// `EAGAIN` if the receiver's queue is full.
pub fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    Ok(nix::sys::socket::send(socket.as_raw_fd(), bytes, flags)?)
}

/// Both ends of a connection that keeps messages apart.
///
/// # Errors
/// What socketpair(2) says.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

/// Sends `bytes` and with them copies of `descriptors` (unix(7), `SCM_RIGHTS`), without SIGPIPE.
///
/// # Errors
/// What sendmsg(2) says.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    // SAFETY: a borrowed descriptor is represented as its number, which is what its documentation promises.
    let numbers: &[RawFd] = unsafe { std::slice::from_raw_parts(descriptors.as_ptr().cast(), descriptors.len()) };
    let rights = (!numbers.is_empty()).then_some(ControlMessage::ScmRights(numbers));
    let text = [io::IoSlice::new(bytes)];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &text,
        rights.as_slice(),
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// Receives as many bytes as `buffer` holds, and the descriptors that came with them, `most` at most: how many bytes those were, none if the
/// other end is closed and all that it has sent has been received.
///
/// There is always room for as many descriptors as the kernel sends, and each is taken before anything is looked at: so none stays open that
/// nobody knows of, whatever the other end sends. (nix gives none of them out where some did not fit.)
///
/// # Errors
/// What recvmsg(2) says; more descriptors came, or not all of them could be taken, since this process has too many open.
pub fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    most: usize,
    flags: MsgFlags,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = Control([0; ROOM]);
    let mut text = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: it consists of numbers and pointers, which may all be zero.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut text;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = ROOM;
    let flags = (flags | MsgFlags::MSG_CMSG_CLOEXEC).bits();
    let length = loop {
        // SAFETY: the kernel writes to `buffer` and `control`, which live on, and no more than their lengths. It changes `message` only where
        // it succeeds.
        match Errno::result(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) }) {
            // The other end went without having received all; what it has sent before is still there.
            Err(Errno::ECONNRESET | Errno::EINTR) => {}
            length => break length?.cast_unsigned(),
        }
    };
    let descriptors = take_descriptors(&message);
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::other("not all descriptors that came could be taken"));
    }
    if descriptors.len() > most {
        return Err(io::Error::other("more descriptors came than were asked for"));
    }
    Ok((length, descriptors))
}

/// The descriptors that the kernel has opened for a message.
fn take_descriptors(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled the control buffer with whole headers, each as long as it says, and has said up to where.
    unsafe {
        let mut part = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = part.as_ref() {
            if (header.cmsg_level, header.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let numbers = libc::CMSG_DATA(part).cast::<RawFd>();
                let count = (header.cmsg_len - libc::CMSG_LEN(0) as usize) / size_of::<RawFd>();
                // Each is new, and nobody else knows of it.
                descriptors.extend((0..count).map(|index| OwnedFd::from_raw_fd(numbers.add(index).read_unaligned())));
            }
            part = libc::CMSG_NXTHDR(message, part);
        }
    }
    descriptors
}

/// How many descriptors the kernel takes with one message at most (unix(7), `SCM_RIGHTS`).
pub const DESCRIPTORS_MAX: usize = 253;

/// What they take up.
#[allow(clippy::cast_possible_truncation)] // A kilobyte.
// SAFETY: it computes.
const ROOM: usize = unsafe { libc::CMSG_SPACE((DESCRIPTORS_MAX * size_of::<RawFd>()) as libc::c_uint) as usize };

/// Room for what comes beside the bytes of a message, which begins like its header.
#[repr(C, align(8))]
struct Control([u8; ROOM]);

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

#[cfg(test)]
mod tests {
    use super::{DESCRIPTORS_MAX, pair, receive, send};
    use crate::sys::process::exit;
    use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::socket::MsgFlags;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

    /// The end of a pipe that reads as closed when nobody has a copy of the other one.
    fn watched() -> (File, OwnedFd) {
        let (reader, writer) = io::pipe().expect("a pipe");
        (OwnedFd::from(reader).into(), writer.into())
    }

    fn is_closed(mut reader: &File) -> bool {
        fcntl(reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a flag");
        matches!(io::Read::read(&mut reader, &mut [0]), Ok(0))
    }

    #[test]
    fn descriptors_come_with_the_bytes_and_not_beyond_an_exec() {
        let (one, other) = pair().expect("a pair");
        let file = File::open("/dev/null").expect("a file");
        let many: Vec<BorrowedFd<'_>> = vec![file.as_fd(); DESCRIPTORS_MAX];
        send(one.as_fd(), b"word", &many).expect("sending");
        send(one.as_fd(), b"x", &[]).expect("sending");
        drop(one);
        let mut bytes = [0; 8];
        let mut next = || receive(other.as_fd(), &mut bytes, DESCRIPTORS_MAX, MsgFlags::empty()).expect("a message");
        let (length, descriptors) = next();
        assert_eq!((length, descriptors.len()), (4, DESCRIPTORS_MAX));
        for descriptor in descriptors {
            assert_eq!(fcntl(&descriptor, FcntlArg::F_GETFD), Ok(FdFlag::FD_CLOEXEC.bits()));
        }
        assert!(matches!(next(), (1, none) if none.is_empty()));
        assert!(matches!(next(), (0, none) if none.is_empty()));
    }

    #[test]
    fn what_was_sent_comes_though_the_other_end_never_received() {
        let (one, other) = pair().expect("a pair");
        send(other.as_fd(), b"unheard", &[]).expect("sending");
        send(one.as_fd(), b"heard", &[]).expect("sending");
        drop(one);
        let received = receive(other.as_fd(), &mut [0; 8], 0, MsgFlags::empty());
        assert_eq!(received.expect("a message").0, 5);
    }

    #[test]
    fn descriptors_that_nobody_wants_are_closed() {
        for (sent, most) in [(1, 0), (2, 1), (3, 2)] {
            let (one, other) = pair().expect("a pair");
            let (reader, writer) = watched();
            send(one.as_fd(), b"x", &vec![writer.as_fd(); sent]).expect("sending");
            drop(writer);
            assert!(receive(other.as_fd(), &mut [0; 1], most, MsgFlags::empty()).is_err());
            assert!(is_closed(&reader), "{sent}");
        }
    }

    #[test]
    fn of_descriptors_that_do_not_all_fit_none_stays_open() {
        let (one, other) = pair().expect("a pair");
        send(one.as_fd(), b"x", &[one.as_fd(); 3]).expect("sending");
        // A process of its own, since the limit is the whole process's.
        // SAFETY: the child uses nothing that another thread could have locked but memory, which fork(2) of the C library unlocks.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Child => {
                let next = other.try_clone().map_or(0, |next| next.as_raw_fd());
                let limit = u64::from(next.unsigned_abs()) + 1;
                let is_limited = setrlimit(Resource::RLIMIT_NOFILE, limit, limit).is_ok();
                let received = receive(other.as_fd(), &mut [0; 1], 3, MsgFlags::empty());
                // The number that is free again is the lowest.
                let is_free = other.try_clone().is_ok_and(|again| again.as_raw_fd() == next);
                exit(i32::from(!(is_limited && received.is_err() && is_free)))
            }
            ForkResult::Parent { child } => assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0))),
        }
    }
}
