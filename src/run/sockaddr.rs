//! Reads the address that another process passed to bind(2).

/// `sockaddr_storage`: no address is longer.
pub const LONGEST: usize = 128;

/// What a bind(2) asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A TCP or UDP port, of this address family.
    Port(libc::c_int, u16),
    /// A Unix socket: a path, or `@NAME` for an abstract one.
    Unix(String),
}

/// The address in `bytes`; `None` for families that are none of ours, and for what is too short to be one.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Wanted> {
    let (&[low, high], rest) = bytes.split_first_chunk()?;
    let family = libc::c_int::from(u16::from_ne_bytes([low, high]));
    match family {
        libc::AF_INET | libc::AF_INET6 => {
            let (&port, _) = rest.split_first_chunk()?;
            Some(Wanted::Port(family, u16::from_be_bytes(port)))
        }
        libc::AF_UNIX => {
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
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, parse};

    fn address(family: i32, rest: &[u8]) -> Vec<u8> {
        [&u16::try_from(family).expect("small").to_ne_bytes(), rest].concat()
    }

    #[test]
    fn addresses_of_our_families() {
        let ipv4 = address(libc::AF_INET, &[0x1f, 0x90, 0, 0, 0, 0]);
        assert_eq!(parse(&ipv4), Some(Wanted::Port(libc::AF_INET, 8080)));
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
            address(libc::AF_UNIX, b""),
            address(libc::AF_NETLINK, &[0; 10]),
        ] {
            assert_eq!(parse(&bytes), None, "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
