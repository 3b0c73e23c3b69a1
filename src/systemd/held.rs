//! The listening sockets that a process holds, by their addresses, as procfs shows them: /proc/PID/fd, and proc_pid_net(5) of its network. It has no
//! table of vsock addresses, so of what is in none of its tables a copy is asked.
//!
//! This is how it is known whether anybody listens where a socket unit says so. An address of a kind that is not looked for here counts as
//! held: no claim is made that was not checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, RawFd};

use nix::unistd::Pid;

use crate::sys::process::{descriptor_of, pidfd_open};
use crate::sys::socket::{self, queue};

/// The sockets of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    known: BTreeSet<(Kind, Address)>,
    /// Whether its vsock addresses are among them: not everybody may have a copy of another's socket.
    knows_vsock: bool,
}

/// What is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Stream,
    Datagram,
    Packets,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Address {
    Internet(SocketAddr),
    /// A path, or `@` and an abstract name.
    Local(String),
    /// A context id, and a port.
    Vsock(u32, u32),
}

impl Held {
    /// Those of the process `pid`.
    ///
    /// # Errors
    /// It is gone, or may not be looked at: it is somebody else's, or has a capability that this process lacks, as the manager of a user
    /// who is logged in (`CAP_WAKE_ALARM`, pam_systemd(8)). Its directory can be listed then, and nothing in it read.
    pub fn by(pid: u32) -> io::Result<Self> {
        let mut numbers = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
            let entry = entry?;
            // Others come and go while we look.
            let link = unless_gone(fs::read_link(entry.path()))?;
            if let Some(inode) = link.and_then(|link| inode(link.to_str()?))
                && let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            {
                numbers.insert(inode, number);
            }
        }
        let mut known = BTreeSet::new();
        for (table, parse) in TABLES {
            // A host without IPv6 lacks two of them.
            let text = unless_gone(fs::read_to_string(format!("/proc/{pid}/net/{table}")))?.unwrap_or_default();
            let rows = text.lines().skip(1).filter_map(parse);
            known.extend(
                rows.filter(|row| numbers.remove(&row.inode).is_some())
                    .map(|row| (row.kind, row.address)),
            );
        }
        let vsock = vsock(pid, numbers.into_values());
        let knows_vsock = vsock.is_ok();
        known.extend(vsock.into_iter().flatten());
        Ok(Self { known, knows_vsock })
    }

    /// Whether one of them is of this type and has this address, as systemd writes both (`Listen` of org.freedesktop.systemd1(5)).
    #[must_use]
    pub fn has(&self, kind: &str, address: &str) -> bool {
        let kind = match kind {
            "Stream" => Kind::Stream,
            "Datagram" => Kind::Datagram,
            "SequentialPacket" => Kind::Packets,
            _ => return true,
        };
        let is_held = |address| match address {
            Address::Vsock(..) if !self.knows_vsock => true,
            address => self.known.contains(&(kind, address)),
        };
        wanted(address).is_none_or(is_held)
    }
}

/// Nothing where there is nothing (any more).
fn unless_gone<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// `socket:[123]`
fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// An address of a unit. None of a kind that is not looked for.
fn wanted(text: &str) -> Option<Address> {
    if text.starts_with(['/', '@']) {
        return Some(Address::Local(text.to_owned()));
    }
    if let Some(rest) = text.strip_prefix("vsock:") {
        let (id, port) = rest.split_once(':')?;
        let id = if id.is_empty() { Some(ANY) } else { id.parse().ok() };
        return Some(Address::Vsock(id?, port.parse().ok()?));
    }
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host: IpAddr = host.split('%').next()?.parse().ok()?;
    Some(Address::Internet(SocketAddr::new(host, port.parse().ok()?)))
}

/// `VMADDR_CID_ANY`.
const ANY: u32 = u32::MAX;

/// The vsock addresses on which some sockets of a process listen.
fn vsock(pid: u32, numbers: impl Iterator<Item = RawFd>) -> io::Result<Vec<(Kind, Address)>> {
    let process = pidfd_open(Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?))?;
    let mut all = Vec::new();
    for number in numbers {
        match descriptor_of(process.as_fd(), number) {
            Ok(copy) => all.extend(vsock_listener(copy.as_fd())),
            // Gone meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

fn vsock_listener(copy: BorrowedFd<'_>) -> Option<(Kind, Address)> {
    let is_one = socket::domain(copy).ok()? == libc::AF_VSOCK && queue::listens(copy).ok()?;
    let kind = match socket::kind(copy).ok().filter(|_| is_one)? {
        libc::SOCK_STREAM => Kind::Stream,
        libc::SOCK_SEQPACKET => Kind::Packets,
        _ => return None,
    };
    Some((kind, vsock_address(&socket::name(copy).ok()?)?))
}

/// A `struct sockaddr_vm` (vsock(7)): behind the family and a reserved word a port, and then a context id.
fn vsock_address(name: &[u8]) -> Option<Address> {
    let (&port, rest) = name.get(4..)?.split_first_chunk()?;
    let (&id, _) = rest.split_first_chunk()?;
    Some(Address::Vsock(u32::from_ne_bytes(id), u32::from_ne_bytes(port)))
}

/// One line of a table.
struct Row {
    inode: u64,
    kind: Kind,
    address: Address,
}

type Parse = fn(&str) -> Option<Row>;

const TABLES: [(&str, Parse); 5] = [
    ("tcp", stream),
    ("tcp6", stream),
    ("udp", datagram),
    ("udp6", datagram),
    ("unix", local),
];

/// The kernel's number for a socket that listens.
const LISTENS: &str = "0A";

fn stream(line: &str) -> Option<Row> {
    internet(line, Kind::Stream).filter(|_| line.split_whitespace().nth(3) == Some(LISTENS))
}

fn datagram(line: &str) -> Option<Row> {
    internet(line, Kind::Datagram)
}

/// `0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 INODE …`
fn internet(line: &str, kind: Kind) -> Option<Row> {
    let mut words = line.split_whitespace();
    let (host, port) = words.nth(1)?.split_once(':')?;
    let inode = words.nth(7)?.parse().ok()?;
    let host = match host.len() {
        8 => IpAddr::V4(Ipv4Addr::from(bytes(host)?)),
        32 => {
            let mut all = [0; 16];
            for (index, four) in all.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *four = bytes(host.get(8 * index..8 * index + 8)?)?;
            }
            IpAddr::V6(Ipv6Addr::from(all))
        }
        _ => return None,
    };
    let address = Address::Internet(SocketAddr::new(host, u16::from_str_radix(port, 16).ok()?));
    Some(Row { inode, kind, address })
}

/// Four bytes of an address, which the kernel prints as one number of this machine.
fn bytes(hex: &str) -> Option<[u8; 4]> {
    Some(u32::from_str_radix(hex, 16).ok()?.to_ne_bytes())
}

/// `0000000000000000: 00000002 00000000 00010000 0001 01 INODE PATH`, the numbers filled up with blanks.
fn local(line: &str) -> Option<Row> {
    let mut rest = line;
    let mut words = [""; 7];
    for word in &mut words {
        (*word, rest) = rest.trim_start_matches(' ').split_once(' ')?;
    }
    let kind = match words[4] {
        "0001" => Kind::Stream,
        "0002" => Kind::Datagram,
        "0005" => Kind::Packets,
        _ => return None,
    };
    Some(Row {
        inode: words[6].parse().ok()?,
        kind,
        address: Address::Local(rest.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};

    use super::{ANY, Address, Held, Kind, vsock_address};

    #[test]
    fn what_this_process_listens_on_is_found_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a b.sock");
        let name = format!("coracle-test-{}", std::process::id());
        let (four, six) = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("[::1]:0"));
        let (four, six) = (four.unwrap(), six.unwrap());
        let datagrams = UdpSocket::bind("0.0.0.0:0").unwrap();
        let _local = UnixListener::bind(&path).unwrap();
        let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let held = Held::by(std::process::id()).unwrap();
        let (path, address) = (path.to_str().unwrap(), datagrams.local_addr().unwrap().to_string());
        for (kind, address) in [
            ("Stream", four.local_addr().unwrap().to_string().as_str()),
            ("Stream", &six.local_addr().unwrap().to_string()),
            ("Datagram", &address),
            ("Stream", path),
            ("Stream", &format!("@{name}")),
            // Not looked for.
            ("FIFO", "/run/fifo"),
            ("Stream", "vsock:x:80"),
        ] {
            assert!(held.has(kind, address), "{kind} {address}: {held:?}");
        }
        for (kind, address) in [
            ("Stream", address.as_str()),
            ("Datagram", path),
            ("Stream", "/run/other.sock"),
            ("Stream", "[::]:1"),
        ] {
            assert!(!held.has(kind, address), "{kind} {address}");
        }
        drop(four);
        assert!(Held::by(u32::MAX).is_err());
    }

    #[test]
    fn a_vsock_address_is_told_apart_where_it_is_known() {
        let bytes = |id: u32| [&[40, 0, 0, 0][..], &80_u32.to_ne_bytes(), &id.to_ne_bytes(), &[0; 4]].concat();
        assert_eq!(vsock_address(&bytes(2)), Some(Address::Vsock(2, 80)));
        assert_eq!(vsock_address(&bytes(2)[..11]), None);
        let mut held = Held {
            known: [(Kind::Stream, Address::Vsock(ANY, 80))].into(),
            knows_vsock: true,
        };
        assert!(held.has("Stream", "vsock::80"));
        for (kind, address) in [
            ("SequentialPacket", "vsock::80"),
            ("Stream", "vsock:2:80"),
            ("Stream", "vsock::81"),
        ] {
            assert!(!held.has(kind, address), "{kind} {address}");
        }
        held.knows_vsock = false;
        assert!(held.has("Stream", "vsock::81"));
    }
}
