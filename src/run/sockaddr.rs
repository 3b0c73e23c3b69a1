//! Reads the address that another process passed to bind(2).

use std::net::IpAddr;

use crate::definition::ContainerAddress;

/// `sockaddr_storage`: no address is longer.
pub const LONGEST: usize = 128;

/// What a bind(2) asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A TCP or UDP port.
    Port(IpAddr, u16),
    /// A Unix socket: a path, or `@NAME` for an abstract one.
    Unix(String),
    /// A vsock port.
    Vsock(u32),
}

impl Wanted {
    /// Whether a socket that is declared for `address` is meant, whatever its type.
    #[must_use]
    pub fn is(&self, address: &ContainerAddress) -> bool {
        match (address, self) {
            (ContainerAddress::Port(ours), Self::Port(_, theirs)) => ours == theirs,
            (ContainerAddress::Unix(ours), Self::Unix(theirs)) => plain_path(ours) == plain_path(theirs),
            (ContainerAddress::Vsock(ours), Self::Vsock(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

/// The address in `bytes`; `None` for families that are none of ours, and for what is too short to be one.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Wanted> {
    let (&[low, high], rest) = bytes.split_first_chunk()?;
    let family = libc::c_int::from(u16::from_ne_bytes([low, high]));
    match family {
        // As long as the kernel wants them (ip(7), ipv6(7), vsock(7), unix(7)): what it would refuse is not ours to take.
        libc::AF_INET if bytes.len() >= 16 => {
            let (&port, rest) = rest.split_first_chunk()?;
            let (&address, _) = rest.split_first_chunk::<4>()?;
            Some(Wanted::Port(IpAddr::from(address), u16::from_be_bytes(port)))
        }
        libc::AF_INET6 if bytes.len() >= 24 => {
            // Between port and address lies the flow (ipv6(7)).
            let (&port, rest) = rest.split_first_chunk()?;
            let (&address, _) = rest.get(4..)?.split_first_chunk::<16>()?;
            Some(Wanted::Port(IpAddr::from(address), u16::from_be_bytes(port)))
        }
        libc::AF_UNIX if bytes.len() <= 110 => {
            let (name, is_abstract) = match rest {
                [] => return None,
                [0, name @ ..] => (name, true),
                // A path ends at its first NUL, or where the address does (unix(7)).
                path => (path.split(|&byte| byte == 0).next()?, false),
            };
            let name = std::str::from_utf8(name).ok()?;
            Some(Wanted::Unix(if is_abstract {
                format!("@{name}")
            } else {
                name.to_owned()
            }))
        }
        libc::AF_VSOCK if bytes.len() >= 16 => {
            // A reserved word lies before the port (vsock(7)).
            let (&port, _) = rest.get(2..)?.split_first_chunk()?;
            Some(Wanted::Vsock(u32::from_ne_bytes(port)))
        }
        _ => None,
    }
}

/// A path as it is compared: without what makes two spellings of one place, `/var/run` among it, which is `/run` nearly everywhere.
#[must_use]
pub fn plain_path(path: &str) -> String {
    if path.starts_with('@') {
        return path.to_owned();
    }
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    let mut plain = String::with_capacity(path.len());
    for part in parts {
        plain.push('/');
        plain.push_str(part);
    }
    match plain.strip_prefix("/var/run/") {
        Some(rest) => format!("/run/{rest}"),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, parse, plain_path};

    fn address(family: i32, rest: &[u8]) -> Vec<u8> {
        [&u16::try_from(family).expect("small").to_ne_bytes(), rest].concat()
    }

    #[test]
    fn addresses_of_our_families() {
        let ipv4 = address(libc::AF_INET, &[&[0x1f, 0x90][..], &[0; 12]].concat());
        assert_eq!(parse(&ipv4), Some(Wanted::Port([0, 0, 0, 0].into(), 8080)));
        let mut ipv6 = address(libc::AF_INET6, &[0x1f, 0x90, 0, 0, 0, 0]);
        ipv6.extend(std::net::Ipv6Addr::LOCALHOST.octets());
        ipv6.extend([0; 4]);
        assert_eq!(
            parse(&ipv6),
            Some(Wanted::Port(std::net::Ipv6Addr::LOCALHOST.into(), 8080))
        );
        let vsock = address(
            libc::AF_VSOCK,
            &[[0, 0].as_slice(), &1234_u32.to_ne_bytes(), &[255; 8]].concat(),
        );
        assert_eq!(parse(&vsock), Some(Wanted::Vsock(1234)));
        assert_eq!(
            parse(&address(libc::AF_UNIX, b"/run/x\0junk")),
            Some(Wanted::Unix("/run/x".into()))
        );
        assert_eq!(
            parse(&address(libc::AF_UNIX, b"\0name")),
            Some(Wanted::Unix("@name".into()))
        );
    }

    #[test]
    fn everything_else_is_let_through() {
        for bytes in [
            vec![],
            vec![2],
            address(libc::AF_INET, &[1]),
            address(libc::AF_INET, &[0x1f, 0x90, 0, 0, 0, 0]),
            address(libc::AF_INET6, &[0x1f, 0x90, 0, 0, 0, 0, 1]),
            address(libc::AF_VSOCK, &[0, 0, 1]),
            address(libc::AF_UNIX, b""),
            address(libc::AF_UNIX, &[b'a'; 109]),
            address(libc::AF_NETLINK, &[0; 10]),
        ] {
            assert_eq!(parse(&bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn spellings_of_one_place() {
        for path in ["/run/a/x", "//run/./a//x", "/var/run/a/x"] {
            assert_eq!(plain_path(path), "/run/a/x");
        }
        assert_eq!(plain_path("@a//b"), "@a//b");
        assert_eq!(plain_path("/var/runner/x"), "/var/runner/x");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
