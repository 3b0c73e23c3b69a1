//! Which connections a listening socket has: questions to the kernel by sock_diag(7).
//!
//! The answers are those of the network namespace in which the netlink socket was made, whoever asks later. They are parsed as bytes of
//! somebody else's: parsing never fails, and what is cut off or makes no sense is skipped.

pub mod end;
pub mod message;

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send};

use crate::sys::diag::end::{Tcp, Vsock};
use crate::sys::diag::message::{Asked, Rest};

/// `NETLINK_SOCK_DIAG`, in the network namespace of its making.
#[derive(Debug)]
pub struct Diag(OwnedFd);

/// A TCP state, as `idiag_state` has it (`TCP_…` in the kernel's tcp_states.h).
pub mod state {
    /// The handshake is done; a Unix socket is connected.
    pub const ESTABLISHED: u8 = 1;
    /// The client has asked, and not yet answered our answer.
    pub const SYN_RECEIVED: u8 = 3;
    /// The program has shut its side down; the client has not yet got all.
    pub const FIN_WAIT_1: u8 = 4;
    /// The same, and the client has got all.
    pub const FIN_WAIT_2: u8 = 5;
    /// The client has shut its side down.
    pub const CLOSE_WAIT: u8 = 8;
    /// Both have, the client first.
    pub const LAST_ACK: u8 = 9;
    /// Listens.
    pub const LISTEN: u8 = 10;
    /// Both have, at the same time.
    pub const CLOSING: u8 = 11;

    /// The mask of these states.
    #[must_use]
    pub const fn mask(states: &[u8]) -> u32 {
        let mut mask = 0;
        let mut index = 0;
        while index < states.len() {
            mask |= 1 << states[index];
            index += 1;
        }
        mask
    }
}

/// A socket that the kernel has told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told<'a> {
    /// See [`state`].
    pub state: u8,
    /// 0 if no program has it: it waits to be accepted, or has been closed and not all has been sent.
    pub inode: u32,
    /// The name of a Unix socket, as it is in `sun_path`.
    pub name: &'a [u8],
    /// The local end of a vsock socket.
    pub vsock: Option<Vsock>,
}

impl Diag {
    /// Opens it, in this process's network namespace.
    ///
    /// # Errors
    /// What socket(2) says.
    pub fn open() -> io::Result<Self> {
        let (kind, flags) = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
        let socket = nix::sys::socket::socket(AddressFamily::Netlink, kind, flags, SockProtocol::NetlinkSockDiag)?;
        // From here on it hears nobody but the kernel.
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Has `see` look at each TCP socket with this local end that is in one of `states`.
    ///
    /// # Errors
    /// What the kernel answers, `ENOENT` without its module tcp_diag among them.
    pub fn tcp(&self, local: &Tcp, states: u32, see: impl FnMut(Told<'_>)) -> io::Result<()> {
        self.ask(&message::tcp(local, states), Asked::Internet, see)
    }

    /// Has `see` look at each Unix socket that is in one of `states`, and that somebody has: what waits to be accepted is not told of.
    ///
    /// # Errors
    /// As above, of unix_diag.
    pub fn unix(&self, states: u32, see: impl FnMut(Told<'_>)) -> io::Result<()> {
        self.ask(&message::unix(states), Asked::Unix, see)
    }

    /// Has `see` look at each vsock socket with this local end that is in one of `states`, which are TCP's.
    ///
    /// # Errors
    /// As above, of vsock_diag.
    pub fn vsock(&self, local: &Vsock, states: u32, mut see: impl FnMut(Told<'_>)) -> io::Result<()> {
        self.ask(&message::vsock(states), Asked::Vsock, |told| {
            if told.vsock.is_some_and(|vsock| local.has(&vsock)) {
                see(told);
            }
        })
    }

    fn ask(&self, request: &[u8], asked: Asked, mut see: impl FnMut(Told<'_>)) -> io::Result<()> {
        send(self.0.as_raw_fd(), request, MsgFlags::empty())?;
        // As long as what the kernel puts into one answer at most.
        let mut buffer = [0_u8; 8192];
        loop {
            // It has answered before send(2) returns, or does so now: there is nothing to wait for.
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
            let bytes = buffer.get(..length).unwrap_or(&buffer);
            if message::read(bytes, asked, &mut see)? == Rest::Nothing {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::end::{End, Tcp, inode, trimmed};
    use super::{Diag, state};

    fn local(listener: &TcpListener) -> Tcp {
        match End::of(listener.as_fd()).expect("a name") {
            End::Tcp(local) => local,
            other => panic!("{other:?}"),
        }
    }

    fn of(diag: &Diag, local: &Tcp, states: &[u8]) -> Vec<(u8, u32)> {
        let mut all = Vec::new();
        diag.tcp(local, state::mask(states), |told| all.push((told.state, told.inode)))
            .expect("an answer");
        all
    }

    #[test]
    fn connections_are_told_apart_by_who_has_them() {
        let diag = Diag::open().expect("a socket");
        for host in [
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        ] {
            let listener = TcpListener::bind(host).expect("a listener");
            let address = listener.local_addr().expect("its address");
            let ours = local(&listener);
            let own = u32::try_from(inode(listener.as_fd()).expect("an inode")).expect("a small number");
            assert_eq!(of(&diag, &ours, &[state::LISTEN]), [(state::LISTEN, own)]);
            assert_eq!(of(&diag, &ours, &[state::ESTABLISHED]), []);
            // A dual-stack socket has clients of both families.
            let client = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port()));
            let client = client.or_else(|_| TcpStream::connect(address)).expect("a connection");
            assert_eq!(of(&diag, &ours, &[state::ESTABLISHED]), [(state::ESTABLISHED, 0)]);
            let (accepted, _) = listener.accept().expect("a connection");
            let theirs = u32::try_from(inode(accepted.as_fd()).expect("an inode")).expect("a small number");
            assert_eq!(of(&diag, &ours, &[state::ESTABLISHED]), [(state::ESTABLISHED, theirs)]);
            drop(client);
            let elsewhere = Tcp {
                address: [9; 16],
                ..ours
            };
            assert_eq!(of(&diag, &elsewhere, &[state::ESTABLISHED, state::CLOSE_WAIT]), []);
        }
    }

    #[test]
    fn unix_connections_have_their_listeners_name() {
        let diag = Diag::open().expect("a socket");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("a listener");
        let _client = UnixStream::connect(&path).expect("a connection");
        let named = |wanted: u8| {
            let mut inodes = Vec::new();
            let name = path.as_os_str().as_encoded_bytes();
            diag.unix(state::mask(&[wanted]), |told| {
                if trimmed(told.name) == name {
                    inodes.push(told.inode);
                }
            })
            .expect("an answer");
            inodes
        };
        // Nothing is told of what nobody has accepted.
        assert!(named(state::ESTABLISHED).is_empty());
        assert_eq!(named(state::LISTEN).len(), 1);
        let (accepted, _) = listener.accept().expect("a connection");
        let name = End::Unix(path.as_os_str().as_encoded_bytes().to_vec());
        assert_eq!(End::of(accepted.as_fd()).expect("a name"), name);
        assert_eq!(End::of(listener.as_fd()).expect("a name"), name);
        assert!(matches!(named(state::ESTABLISHED)[..], [inode] if inode != 0));
    }

    #[test]
    fn a_module_that_is_missing_is_an_error() {
        let diag = Diag::open().expect("a socket");
        let nowhere = Tcp {
            family: 250,
            port: 1,
            address: [0; 16],
        };
        assert!(diag.tcp(&nowhere, 1, |_| ()).is_err());
        // The next question is answered all the same.
        assert!(diag.unix(state::mask(&[state::LISTEN]), |_| ()).is_ok());
    }
}
