//! The ends of connections: what a socket is to those who ask the kernel for its connections.

use std::io;
use std::os::fd::BorrowedFd;

use crate::sys::diag::message::u32_at;
use crate::sys::socket;

/// What a socket is to those who ask for its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// TCP.
    Tcp(Tcp),
    /// A Unix socket with connections, and its name; a connection has its listener's.
    Unix(Vec<u8>),
    /// A vsock socket.
    Vsock(Vsock),
    /// Without connections.
    Datagrams,
    /// Something else, or no socket at all.
    Other,
}

impl End {
    /// What this socket is.
    ///
    /// # Errors
    /// What getsockname(2) says.
    pub fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        match socket::kind(socket) {
            Ok(libc::SOCK_STREAM | libc::SOCK_SEQPACKET) => {}
            Ok(_) => return Ok(Self::Datagrams),
            Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => return Ok(Self::Other),
            Err(error) => return Err(error),
        }
        let name = socket::name(socket)?;
        let (family, protocol) = (socket::domain(socket)?, socket::exact_protocol(socket)?);
        let port = name.get(2..4).and_then(|bytes| bytes.try_into().ok());
        let port = port.map_or(0, u16::from_be_bytes);
        let mut address = [0; 16];
        let place = match (family, protocol) {
            (libc::AF_INET, libc::IPPROTO_TCP) => 4..8,
            (libc::AF_INET6, libc::IPPROTO_TCP) => 8..24,
            (libc::AF_UNIX, _) => return Ok(Self::Unix(trimmed(name.get(2..).unwrap_or_default()).to_vec())),
            // A `struct sockaddr_vm`.
            (libc::AF_VSOCK, _) => return Ok(Vsock::read(&name, 8, 4).map_or(Self::Other, Self::Vsock)),
            _ => return Ok(Self::Other),
        };
        let bytes = name.get(place).unwrap_or_default();
        address.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let family = u8::try_from(family).map_err(io::Error::other)?;
        Ok(Self::Tcp(Tcp { family, port, address }))
    }
}

/// The local end of TCP connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// `AF_INET` or `AF_INET6`: a dual-stack socket's connections are all of the latter.
    pub family: u8,
    /// In the order of the host.
    pub port: u16,
    /// As many bytes as the family's addresses have; all zero for any address.
    pub address: [u8; 16],
}

/// The local end of vsock connections (vsock(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vsock {
    /// The machine; [`libc::VMADDR_CID_ANY`] for any.
    pub cid: u32,
    /// Its port.
    pub port: u32,
}

impl Vsock {
    /// What `bytes` say at these places.
    #[must_use]
    pub fn read(bytes: &[u8], cid: usize, port: usize) -> Option<Self> {
        Some(Self {
            cid: u32_at(bytes, cid)?,
            port: u32_at(bytes, port)?,
        })
    }

    /// Whether `other` is the local end of one of this one's connections.
    #[must_use]
    pub fn has(&self, other: &Self) -> bool {
        self.port == other.port && [libc::VMADDR_CID_ANY, other.cid].contains(&self.cid)
    }
}

/// A path without the zero behind it, which some leave off; an abstract name begins with one.
#[must_use]
pub fn trimmed(name: &[u8]) -> &[u8] {
    match name {
        [0, ..] => name,
        _ => name.split(|&byte| byte == 0).next().unwrap_or_default(),
    }
}

/// The inode of a socket, by which the kernel's answers name it.
///
/// # Errors
/// What fstat(2) says.
pub fn inode(socket: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(nix::sys::stat::fstat(socket)?.st_ino)
}
