//! What the kinds of sockets are called, by systemd and in messages, and what follows from an address.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv6Addr};

use crate::definition::{ContainerAddress, Listen, SocketKind};

impl SocketKind {
    /// The key in `[Socket]`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Stream => "ListenStream",
            Self::Datagram => "ListenDatagram",
            Self::SequentialPacket => "ListenSequentialPacket",
            Self::Fifo => "ListenFIFO",
        }
    }

    /// Whether connections are accepted on it: then the program calls listen(2).
    #[must_use]
    pub const fn listens(self) -> bool {
        matches!(self, Self::Stream | Self::SequentialPacket)
    }
}

impl Display for ContainerAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::Unix(path) => f.write_str(path),
            Self::Vsock(port) => write!(f, "vsock::{port}"),
            Self::Nothing => f.write_str("a descriptor"),
        }
    }
}

impl Listen {
    /// The port of the host, as it is written: it may hold a specifier.
    #[must_use]
    pub fn host_port(&self) -> Option<&str> {
        matches!(self.container, ContainerAddress::Port(_)).then(|| {
            let end = self.address.rsplit(':').next().unwrap_or_default();
            // `[fe80::1]:80%eth0`
            match (self.address.starts_with('['), end.split_once('%')) {
                (true, Some((port, _))) => port,
                _ => end,
            }
        })
    }

    /// The address of the host, if one is written.
    #[must_use]
    pub fn host(&self) -> Option<IpAddr> {
        let (host, _) = self.address.rsplit_once(':')?;
        match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => host.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::definition::{ContainerAddress, Listen, SocketKind};

    #[test]
    fn hosts_and_ports() {
        let of = |address: &str| Listen {
            kind: SocketKind::Stream,
            address: address.to_owned(),
            container: ContainerAddress::Port(80),
        };
        for (address, host, port) in [
            ("80%i", None, "80%i"),
            ("127.0.0.1:8080", Some("127.0.0.1"), "8080"),
            ("[::1]:81", Some("::1"), "81"),
            ("[fe80::1]:82%eth0", Some("fe80::1"), "82"),
        ] {
            let listen = of(address);
            assert_eq!(listen.host_port(), Some(port));
            assert_eq!(listen.host().map(|host| host.to_string()).as_deref(), host, "{address}");
        }
    }
}
