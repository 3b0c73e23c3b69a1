//! What the programs of a container listen on, as the kernel tells it (proc_pid_net(5)).
//!
//! Nothing is asked of the container itself: the tables are those of its network namespace, and which process has a socket is told by the links of
//! its open descriptors. Names of programs and paths of sockets are theirs, and may hold anything.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, RawFd};
use std::path::Path;

use nix::unistd::Pid;
use serde::Serialize;

use crate::sys::process::{descriptor_of, pidfd_open};
use crate::sys::socket::is_ipv6_only;
use crate::systemd::cgroup;

/// One socket that waits for clients.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Bound {
    /// What it speaks.
    pub(super) protocol: Protocol,
    /// The port, of TCP and UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
    /// The address, or the path of a Unix socket, `@NAME` of an abstract one.
    pub(super) address: String,
    /// Whose connections it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) family: Option<Family>,
    /// The program that has it.
    pub(super) program: String,
}

/// What a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// A Unix stream socket.
    Unix,
}

/// Whose connections a socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Family {
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both.
    DualStack,
}

/// A line of a table, before it is known whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    protocol: Protocol,
    port: Option<u16>,
    address: String,
    family: Option<Family>,
    inode: u64,
}

/// TCP's state of a socket that listens, and UDP's of one that is not connected (Linux's `tcp_states.h`).
const LISTENS: &str = "0A";
const UNCONNECTED: &str = "07";

/// `__SO_ACCEPTCON`: a Unix socket that listens.
const ACCEPTS: u32 = 0x1_0000;

/// What the processes in the control group `group` listen on in the network namespace of `init`.
pub(super) fn look(init: i32, group: &Path) -> Vec<Bound> {
    let table = |name: &str| fs::read_to_string(format!("/proc/{init}/net/{name}")).unwrap_or_default();
    let mut entries = Vec::new();
    for (name, protocol, state) in [
        ("tcp", Protocol::Tcp, LISTENS),
        ("tcp6", Protocol::Tcp, LISTENS),
        ("udp", Protocol::Udp, UNCONNECTED),
        ("udp6", Protocol::Udp, UNCONNECTED),
    ] {
        let text = table(name);
        entries.extend(text.lines().skip(1).filter_map(|line| internet(line, protocol, state)));
    }
    entries.extend(table("unix").lines().skip(1).filter_map(unix));
    let owners = owners(group, &entries);
    let mut bound: Vec<Bound> = entries.into_iter().filter_map(|entry| owned(entry, &owners)).collect();
    bound.sort();
    bound.dedup();
    bound
}

/// Whether a connection to `port` of this host has been accepted: one in a queue has no inode.
pub(super) fn is_accepted(port: u16) -> bool {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: String = tables.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    text.lines().any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let local = fields.get(1).and_then(|field| address(field)).map(|(_, port)| port);
        // Established, or half closed by the client.
        let is_open = fields.get(3).is_some_and(|state| matches!(*state, "01" | "08"));
        local == Some(port) && is_open && fields.get(9).is_some_and(|inode| *inode != "0")
    })
}

/// A line of `/proc/net/tcp` and its like.
fn internet(line: &str, protocol: Protocol, state: &str) -> Option<Entry> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (ip, port) = address(fields.get(1)?)?;
    if *fields.get(3)? != state || port == 0 {
        return None;
    }
    Some(Entry {
        protocol,
        port: Some(port),
        address: ip.to_string(),
        family: Some(if ip.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }),
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// `0100007F:1F90`: 32-bit words in the machine's order, and a port.
fn address(field: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = field.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?))
}

/// A line of `/proc/net/unix`, of a stream socket that listens and has a name.
fn unix(line: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace();
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    let is_stream = fields.next()? == "0001";
    let inode = fields.nth(1)?.parse().ok()?;
    let address = fields.collect::<Vec<_>>().join(" ");
    (flags & ACCEPTS != 0 && is_stream && !address.is_empty()).then_some(Entry {
        protocol: Protocol::Unix,
        port: None,
        address,
        family: None,
        inode,
    })
}

/// A process that has a socket, the descriptor's number, and the inode.
type Owner = (i32, RawFd, u64);

/// Who has the sockets of `entries`.
fn owners(group: &Path, entries: &[Entry]) -> Vec<Owner> {
    let mut owners = Vec::new();
    for pid in cgroup::processes(group).unwrap_or_default() {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        for descriptor in descriptors {
            let link = fs::read_link(descriptor.path()).unwrap_or_default();
            let inode = link
                .to_str()
                .and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            let number = descriptor.file_name().to_str().and_then(|name| name.parse().ok());
            if let (Some(inode), Some(number)) = (inode, number)
                && entries.iter().any(|entry| entry.inode == inode)
            {
                owners.push((pid, number, inode));
            }
        }
    }
    owners
}

/// The socket with its program; nothing if none of the container's has it any more.
fn owned(entry: Entry, owners: &[Owner]) -> Option<Bound> {
    let (pid, number, _) = owners.iter().find(|(_, _, inode)| *inode == entry.inode)?;
    let family = match entry.family {
        Some(Family::Ipv6) if takes_both(*pid, *number) => Some(Family::DualStack),
        family => family,
    };
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Bound {
        protocol: entry.protocol,
        port: entry.port,
        address: entry.address,
        family,
        program: program.trim_end().to_owned(),
    })
}

/// Whether an IPv6 socket takes IPv4 too, which no table tells.
fn takes_both(pid: i32, number: RawFd) -> bool {
    let copy = pidfd_open(Pid::from_raw(pid)).and_then(|pidfd| descriptor_of(pidfd.as_fd(), number));
    copy.and_then(|copy| is_ipv6_only(copy.as_fd())).is_ok_and(|only| !only)
}

#[cfg(test)]
mod tests {
    use super::{Family, LISTENS, Protocol, internet, unix};

    #[test]
    fn the_kernels_tables_are_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0";
        let entry = internet(line, Protocol::Tcp, LISTENS).expect("it listens");
        let seen = (entry.address.as_str(), entry.port, entry.family, entry.inode);
        assert_eq!(seen, ("127.0.0.1", Some(8080), Some(Family::Ipv4), 4711));
        assert_eq!(internet(&line.replace(" 0A ", " 01 "), Protocol::Tcp, LISTENS), None);
        let line = line.replace("0100007F", "00000000000000000000000001000000");
        assert_eq!(internet(&line, Protocol::Tcp, LISTENS).expect("IPv6").address, "::1");
    }

    #[test]
    fn unix_sockets_that_listen_have_a_name() {
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 12 /run/a b.sock";
        assert_eq!(unix(line).expect("it listens").address, "/run/a b.sock");
        assert_eq!(
            unix("0000000000000000: 00000002 00000000 00000000 0001 03 12 /run/x"),
            None
        );
        assert_eq!(unix("0000000000000000: 00000002 00000000 00010000 0001 01 12"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_borne(line in ".{0,200}") {
            let _ = (internet(&line, Protocol::Tcp, LISTENS), unix(&line));
        }
    }
}
