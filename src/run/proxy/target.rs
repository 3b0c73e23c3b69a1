//! What a proxy connects to: the address on which the program listens, as the kernel lists it for the network namespace of a process of the
//! container (proc_pid_net(5)), which everybody may read.
//!
//! A definition names a port only. Most programs listen on every address or on the loopback's; some on IPv6 alone, some on the address that
//! they have on a bridge. The lists are as long as the program makes them, and are read line by line.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use anyhow::{Context as _, Error, Result};
use nix::unistd::Pid;

/// Where the program listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// On this TCP port, on whatever address.
    Port(u16),
    /// On an abstract Unix socket of this name, with its `@`. Such names belong to the network namespace.
    Abstract(String),
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.starts_with('@') {
            return Ok(Self::Abstract(text.to_owned()));
        }
        let port = text.parse().ok().filter(|port| *port > 0);
        port.map(Self::Port)
            .with_context(|| format!("'{text}' is neither a port nor an abstract Unix socket"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port {port}"),
            Self::Abstract(name) => write!(f, "'{name}'"),
        }
    }
}

impl Target {
    /// The address to connect to, as systemd-socket-proxyd(8) takes it, if somebody listens on it in the network of `process`.
    ///
    /// # Errors
    /// A list cannot be read.
    pub fn find(&self, process: Pid) -> Result<Option<String>> {
        match self {
            Self::Port(port) => find_port(*port, process),
            Self::Abstract(name) => {
                let mut found = false;
                each_line(process, "unix", |line| found |= listens_as(line, name.as_bytes()))?;
                Ok(found.then(|| name.clone()))
            }
        }
    }
}

fn find_port(port: u16, process: Pid) -> Result<Option<String>> {
    let mut best: Option<IpAddr> = None;
    for list in ["tcp", "tcp6"] {
        each_line(process, list, |line| {
            if let Some(address) = listening(line, port)
                && best.is_none_or(|best| rank(address) < rank(best))
            {
                best = Some(address);
            }
        })?;
    }
    let Some(best) = best else { return Ok(None) };
    let mut has_ipv6 = false;
    each_line(process, "if_inet6", |line| has_ipv6 |= line.starts_with(LOOPBACK))?;
    let address = match best {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        // Whether it has IPv4's clients too cannot be seen.
        IpAddr::V6(address) if address.is_unspecified() && has_ipv6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        address => address.to_canonical(),
    };
    // Without brackets: what stands behind the last colon is the port.
    Ok(Some(format!("{address}:{port}")))
}

/// `::1` as `if_inet6` has it.
const LOOPBACK: &[u8] = b"00000000000000000000000000000001 ";

/// Which of several addresses with the same port is taken.
fn rank(address: IpAddr) -> u8 {
    let is_near = address.is_unspecified() || address.to_canonical().is_loopback();
    match (is_near, address) {
        (true, IpAddr::V4(_)) => 0,
        (true, IpAddr::V6(_)) => 1,
        (false, _) => 2,
    }
}

/// Calls `take` with each line of a list of the process's network namespace. There is none of IPv6 where the kernel has no IPv6, and none at
/// all where the process has ended.
fn each_line(process: Pid, list: &str, mut take: impl FnMut(&[u8])) -> Result<()> {
    let path = format!("/proc/{process}/net/{list}");
    let mut read = || -> io::Result<()> {
        let mut reader = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            file => BufReader::new(file?),
        };
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            take(line.trim_ascii_end());
            line.clear();
        }
        Ok(())
    };
    read().with_context(|| format!("reading '{path}'"))
}

/// The address in a line of `tcp` or `tcp6`, if it is that of a socket that listens on `port`.
fn listening(line: &[u8], port: u16) -> Option<IpAddr> {
    let line = std::str::from_utf8(line).ok()?;
    let mut fields = line.split_whitespace().skip(1);
    let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let (address, local_port) = local.split_once(':')?;
    if state != LISTEN || u16::from_str_radix(local_port, 16) != Ok(port) {
        return None;
    }
    // Words of 32 bits, as the machine has them.
    let word = |text: &str| Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes());
    match address.len() {
        8 => Some(Ipv4Addr::from(word(address)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(address.get(8 * index..8 * index + 8)?)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// `TCP_LISTEN`.
const LISTEN: &str = "0A";

/// Whether a line of `unix` is of a stream socket that listens under `name`.
fn listens_as(line: &[u8], name: &[u8]) -> bool {
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let (flags, kind) = (fields.nth(3), fields.next());
    // The name is all that stands behind the inode, and may hold anything.
    flags == Some(b"00010000") && kind == Some(b"0001") && line.ends_with(&[b" ", name].concat())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpListener};

    use nix::unistd::getpid;

    use super::{Target, listening, listens_as};

    #[test]
    fn targets_are_ports_and_abstract_names() {
        assert_eq!("80".parse::<Target>().expect("a port"), Target::Port(80));
        assert_eq!("@a".parse::<Target>().expect("a name"), Target::Abstract("@a".into()));
        for text in ["", "0", "65536", "/run/x", "localhost:80", "-1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn only_what_listens_on_the_port_counts() {
        let line = b"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0";
        assert_eq!(listening(line, 8080), Some([127, 0, 0, 1].into()));
        assert_eq!(listening(line, 8081), None);
        let connected = b"   0: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 1";
        assert_eq!(listening(connected, 8080), None);
        let six =
            b" 1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1";
        assert_eq!(listening(six, 80), Some(Ipv6Addr::LOCALHOST.into()));
        for odd in [&b""[..], b"sl local_address", b"0: x:0050 y 0A", b"0: \xff:0050 y 0A"] {
            assert_eq!(listening(odd, 80), None);
        }
    }

    #[test]
    fn only_a_listening_stream_of_the_whole_name_counts() {
        let line = b"0000000000000000: 00000002 00000000 00010000 0001 01 24530 @a b";
        assert!(listens_as(line, b"@a b") && !listens_as(line, b"@a") && !listens_as(line, b"@b"));
        assert!(!listens_as(b"0: 00000002 00000000 00000000 0001 03 2 @x", b"@x"));
        assert!(!listens_as(b"0: 00000002 00000000 00010000 0005 01 2 @x", b"@x"));
    }

    #[test]
    fn a_listener_of_this_machine_is_found_where_it_is() {
        let one = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let port = one.local_addr().expect("an address").port();
        let found = Target::Port(port).find(getpid()).expect("lists");
        assert_eq!(found, Some(format!("127.0.0.1:{port}")));
        drop(one);
        if let Ok(six) = TcpListener::bind("[::1]:0") {
            let port = six.local_addr().expect("an address").port();
            assert_eq!(
                Target::Port(port).find(getpid()).expect("lists"),
                Some(format!("::1:{port}"))
            );
        }
    }
}
