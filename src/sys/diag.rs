//! Which connections a listening socket has: questions to the kernel by sock_diag(7).
//!
//! The answers are those of the network namespace in which the netlink socket was made, whoever asks later. They are parsed as bytes of
//! somebody else's: parsing never fails, and what is cut off or makes no sense is skipped.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send};

use crate::sys::socket;

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

/// The local end of TCP connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// `AF_INET` or `AF_INET6`: a dual-stack socket's connections are all of the latter.
    pub family: u8,
    /// In the order of the host.
    pub port: u16,
    /// As many bytes as the family's addresses have; all zero for any address.
    pub address: [u8; 16],
}

/// The local end of vsock connections (vsock(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest {
    /// The machine; [`libc::VMADDR_CID_ANY`] for any.
    pub cid: u32,
    /// Its port.
    pub port: u32,
}

impl Guest {
    /// What `bytes` say at these places.
    fn read(bytes: &[u8], cid: usize, port: usize) -> Option<Self> {
        Some(Self {
            cid: u32_at(bytes, cid)?,
            port: u32_at(bytes, port)?,
        })
    }

    fn has(&self, other: &Self) -> bool {
        self.port == other.port && [libc::VMADDR_CID_ANY, other.cid].contains(&self.cid)
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
    pub guest: Option<Guest>,
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
    pub fn tcp(&self, local: &Local, states: u32, see: impl FnMut(Told<'_>)) -> io::Result<()> {
        self.ask(&tcp_request(local, states), AddressKind::Internet, see)
    }

    /// Has `see` look at each Unix socket that is in one of `states`, and that somebody has: what waits to be accepted is not told of.
    ///
    /// # Errors
    /// As above, of unix_diag.
    pub fn unix(&self, states: u32, see: impl FnMut(Told<'_>)) -> io::Result<()> {
        self.ask(&unix_request(states), AddressKind::Unix, see)
    }

    /// Has `see` look at each vsock socket with this local end that is in one of `states`, which are TCP's.
    ///
    /// # Errors
    /// As above, of vsock_diag.
    pub fn vsock(&self, local: &Guest, states: u32, mut see: impl FnMut(Told<'_>)) -> io::Result<()> {
        self.ask(&vsock_request(states), AddressKind::Vsock, |told| {
            if told.guest.is_some_and(|guest| local.has(&guest)) {
                see(told);
            }
        })
    }

    fn ask(&self, request: &[u8], kind: AddressKind, mut see: impl FnMut(Told<'_>)) -> io::Result<()> {
        send(self.0.as_raw_fd(), request, MsgFlags::empty())?;
        // As long as what the kernel puts into one answer at most.
        let mut buffer = [0_u8; 8192];
        loop {
            // It has answered before send(2) returns, or does so now: there is nothing to wait for.
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
            let bytes = buffer.get(..length).unwrap_or(&buffer);
            if read(bytes, kind, &mut see)? == Rest::Nothing {
                return Ok(());
            }
        }
    }
}

/// What kind of socket a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressKind {
    Internet,
    Unix,
    Vsock,
}

/// Whether more is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    More,
    Nothing,
}

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;

const HEADER: usize = 16;

/// A `struct nlmsghdr` that asks for all, and the request behind it.
fn message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(0);
    let flags: u16 = 0x1 | 0x300; // NLM_F_REQUEST, NLM_F_DUMP
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(length.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// A `struct inet_diag_req_v2`. Port and address are compared by the kernel, so that only our own sockets are told of.
fn tcp_request(local: &Local, states: u32) -> Vec<u8> {
    let mut body = vec![local.family, 6, 0, 0]; // IPPROTO_TCP, no extensions
    body.extend(states.to_ne_bytes());
    body.extend(local.port.to_be_bytes());
    body.extend([0; 46]);
    let length: u8 = if i32::from(local.family) == libc::AF_INET {
        4
    } else {
        16
    };
    let address = local.address.get(..usize::from(length)).unwrap_or_default();
    if address.iter().any(|&byte| byte != 0) {
        // One `struct inet_diag_bc_op` with a `struct inet_diag_hostcond`: where it does not hold, the jump leads past the end, which is "no".
        let all = 12 + length;
        body.extend(u16::from(4 + all).to_ne_bytes());
        body.extend(1_u16.to_ne_bytes()); // INET_DIAG_REQ_BYTECODE
        body.extend([7, all]); // INET_DIAG_BC_S_COND
        body.extend(u16::from(all + 4).to_ne_bytes());
        body.extend([local.family, length * 8, 0, 0]);
        body.extend((-1_i32).to_ne_bytes()); // any port
        body.extend(address);
    }
    message(&body)
}

/// A `struct unix_diag_req` that wants names.
fn unix_request(states: u32) -> Vec<u8> {
    let mut body = vec![1, 0, 0, 0]; // AF_UNIX
    body.extend(states.to_ne_bytes());
    body.extend(0_u32.to_ne_bytes());
    body.extend(1_u32.to_ne_bytes()); // UDIAG_SHOW_NAME
    body.extend([0xff; 8]);
    message(&body)
}

/// A `struct vsock_diag_req`. The kernel tells of all in these states.
fn vsock_request(states: u32) -> Vec<u8> {
    let mut body = vec![40, 0, 0, 0]; // AF_VSOCK
    body.extend(states.to_ne_bytes());
    body.extend([0; 16]);
    message(&body)
}

/// Reads the messages of one answer.
fn read(mut bytes: &[u8], kind: AddressKind, see: &mut impl FnMut(Told<'_>)) -> io::Result<Rest> {
    while let Some((length, message_type)) = u32_at(bytes, 0).zip(u16_at(bytes, 4)) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // A message that is longer than what has come, or shorter than its head, tells nothing; nor does what follows.
        let Some(body) = bytes.get(HEADER..length.max(HEADER)).filter(|_| length >= HEADER) else {
            break;
        };
        match i32::from(message_type) {
            libc::NLMSG_DONE => return Ok(Rest::Nothing),
            libc::NLMSG_ERROR => {
                let error = u32_at(body, 0).map_or(libc::EBADMSG, |error| error.cast_signed().wrapping_neg());
                return Err(Errno::from_raw(error).into());
            }
            _ if message_type == BY_FAMILY => {
                if let Some(told) = told(body, kind) {
                    see(told);
                }
            }
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Rest::More)
}

/// A `struct inet_diag_msg`, a `struct unix_diag_msg` with its attributes, or a `struct vsock_diag_msg`.
fn told(body: &[u8], kind: AddressKind) -> Option<Told<'_>> {
    Some(match kind {
        AddressKind::Internet => Told {
            state: *body.get(1)?,
            inode: u32_at(body, 68)?,
            name: &[],
            guest: None,
        },
        AddressKind::Unix => Told {
            state: *body.get(2)?,
            inode: u32_at(body, 4)?,
            name: attribute(body.get(16..)?, 0).unwrap_or_default(), // UNIX_DIAG_NAME
            guest: None,
        },
        AddressKind::Vsock => Told {
            state: *body.get(2)?,
            inode: u32_at(body, 20)?,
            name: &[],
            guest: Guest::read(body, 4, 8),
        },
    })
}

/// The attribute of this type (`struct nlattr`).
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (length, attribute_type) = (usize::from(u16_at(bytes, 0)?), u16_at(bytes, 2)?);
        let value = bytes.get(4..length)?;
        if attribute_type == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

fn u32_at(bytes: &[u8], place: usize) -> Option<u32> {
    let bytes = bytes.get(place..place.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn u16_at(bytes: &[u8], place: usize) -> Option<u16> {
    let bytes = bytes.get(place..place.checked_add(2)?)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

/// What a socket is to those who ask for its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// TCP.
    Tcp(Local),
    /// A Unix socket with connections, and its name; a connection has its listener's.
    Unix(Vec<u8>),
    /// A vsock socket.
    Vsock(Guest),
    /// Without connections.
    Datagrams,
    /// Something else, or no socket at all.
    Other,
}

/// What this socket is.
///
/// # Errors
/// What getsockname(2) says.
pub fn end(socket: BorrowedFd<'_>) -> io::Result<End> {
    match socket::kind(socket) {
        Ok(libc::SOCK_STREAM | libc::SOCK_SEQPACKET) => {}
        Ok(_) => return Ok(End::Datagrams),
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => return Ok(End::Other),
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
        (libc::AF_UNIX, _) => return Ok(End::Unix(trimmed(name.get(2..).unwrap_or_default()).to_vec())),
        // A `struct sockaddr_vm`.
        (libc::AF_VSOCK, _) => return Ok(Guest::read(&name, 8, 4).map_or(End::Other, End::Vsock)),
        _ => return Ok(End::Other),
    };
    let bytes = name.get(place).unwrap_or_default();
    address.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let family = u8::try_from(family).map_err(io::Error::other)?;
    Ok(End::Tcp(Local { family, port, address }))
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    use proptest::prelude::*;

    use super::{AddressKind, BY_FAMILY, Diag, End, Guest, Local, Rest, Told, end, inode, read, state, told, trimmed};

    fn local(listener: &TcpListener) -> Local {
        match end(listener.as_fd()).expect("a name") {
            End::Tcp(local) => local,
            other => panic!("{other:?}"),
        }
    }

    fn of(diag: &Diag, local: &Local, states: &[u8]) -> Vec<(u8, u32)> {
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
            let elsewhere = Local {
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
        assert_eq!(end(accepted.as_fd()).expect("a name"), name);
        assert_eq!(end(listener.as_fd()).expect("a name"), name);
        assert!(matches!(named(state::ESTABLISHED)[..], [inode] if inode != 0));
    }

    #[test]
    fn a_module_that_is_missing_is_an_error() {
        let diag = Diag::open().expect("a socket");
        let nowhere = Local {
            family: 250,
            port: 1,
            address: [0; 16],
        };
        assert!(diag.tcp(&nowhere, 1, |_| ()).is_err());
        // The next question is answered all the same.
        assert!(diag.unix(state::mask(&[state::LISTEN]), |_| ()).is_ok());
    }

    fn framed(message_type: u16, length: Option<u32>, body: &[u8]) -> Vec<u8> {
        let length = length.unwrap_or(u32::try_from(16 + body.len()).expect("a short body"));
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(message_type.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_guest_is_known_by_its_port_and_its_machine_if_it_has_one() {
        let mut body = vec![40, 1, state::ESTABLISHED, 0];
        for number in [3_u32, 5001, 2, 1024, 77, 0, 0] {
            body.extend(number.to_ne_bytes());
        }
        let told = told(&body, AddressKind::Vsock).expect("a socket");
        let guest = Guest { cid: 3, port: 5001 };
        assert_eq!(
            (told.state, told.inode, told.guest),
            (state::ESTABLISHED, 77, Some(guest))
        );
        let any = Guest {
            cid: libc::VMADDR_CID_ANY,
            ..guest
        };
        assert!(guest.has(&guest) && any.has(&guest));
        assert!(!Guest { cid: 2, ..guest }.has(&guest) && !Guest { port: 1024, ..any }.has(&guest));
    }

    fn kinds() -> impl Strategy<Value = AddressKind> {
        prop::sample::select(&[AddressKind::Internet, AddressKind::Unix, AddressKind::Vsock][..])
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in kinds()) {
            let _ = read(&bytes, kind, &mut |_| ());
        }

        #[test]
        fn nor_do_messages_of_wrong_lengths(
            bodies in prop::collection::vec((0_u16..30, prop::option::of(any::<u32>()), prop::collection::vec(any::<u8>(), 0..120)), 0..8),
            kind in kinds(),
        ) {
            let bytes: Vec<u8> = bodies.iter().flat_map(|(what, length, body)| framed(*what, *length, body)).collect();
            let mut count = 0;
            let _ = read(&bytes, kind, &mut |told: Told<'_>| {
                count += 1;
                assert!(told.name.len() <= 120 * 8 + 200);
            });
            prop_assert!(count <= bytes.len() / 16);
        }

        #[test]
        fn what_is_well_formed_is_read_whole(inodes in prop::collection::vec(any::<u32>(), 0..20), name in prop::collection::vec(any::<u8>(), 0..108)) {
            let mut bytes = Vec::new();
            for inode in &inodes {
                let mut body = vec![1, 1, state::ESTABLISHED, 0];
                body.extend(inode.to_ne_bytes());
                body.extend([0; 8]);
                // Another attribute in front of the name.
                body.extend([8, 0, 4, 0, 1, 2, 3, 4]);
                body.extend(u16::try_from(4 + name.len()).expect("a short name").to_ne_bytes());
                body.extend([0, 0]);
                body.extend(&name);
                bytes.extend(framed(BY_FAMILY, None, &body));
            }
            bytes.extend(framed(3, None, &[0; 4]));
            let mut seen = Vec::new();
            let end = read(&bytes, AddressKind::Unix, &mut |told: Told<'_>| {
                assert_eq!(told.name, &name[..]);
                seen.push(told.inode);
            });
            prop_assert_eq!(end.expect("no error"), Rest::Nothing);
            prop_assert_eq!(seen, inodes);
        }
    }
}
