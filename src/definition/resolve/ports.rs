//! Addresses: `PublishPort=`, `ListenStream=`, `ListenDatagram=`, `ContainerListen=`.
//!
//! What comes out goes into a unit file, so nothing comes out that is not an address. Pure: no name is looked up.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::definition::{ContainerAddress, Listen, SocketKind};

/// The most ports that one range can have.
const RANGE_MAX: u16 = 256;

/// The longest path of a Unix socket (unix(7)), without the NUL at its end.
const UNIX_PATH_MAX: usize = 107;

/// The longest path, with the NUL at its end.
const PATH_MAX: usize = 4096;

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) why: String,
    pub(super) suggestion: Option<String>,
}

impl Mistake {
    fn new(why: String) -> Self {
        Self { why, suggestion: None }
    }

    fn suggesting(why: String, suggestion: String) -> Self {
        let suggestion = Some(suggestion);
        Self { why, suggestion }
    }
}

/// `[[IP:]HOSTPORT:]CONTAINERPORT[/tcp|/udp]`, where both ports may be ranges of the same length.
pub(super) fn publish(text: &str) -> Result<Vec<Listen>, Mistake> {
    if text.starts_with("vsock") {
        let why = format!("'{text}' is no port: a vsock address is not published");
        let other = "it has a socket of its own: [Socket.NAME] with ListenStream = \"vsock::PORT\"".to_owned();
        return Err(Mistake::suggesting(why, other));
    }
    let (ports, kind) = match text.rsplit_once('/') {
        None => (text, SocketKind::Stream),
        Some((ports, "tcp")) => (ports, SocketKind::Stream),
        Some((ports, "udp")) => (ports, SocketKind::Datagram),
        Some((_, protocol)) => {
            let why = format!("'{text}': a port is published for tcp or udp, not for '{protocol}'");
            let other = "other protocols have sockets of their own: [Socket.NAME] with SocketProtocol".to_owned();
            return Err(Mistake::suggesting(why, other));
        }
    };
    let (ip, host, container) = split_ports(text, ports)?;
    let random = host.is_none_or(str::is_empty);
    let Some(host) = host.filter(|_| !random) else {
        let why =
            format!("'{text}' names no port of the host, and a port that changes at every start cannot be listened on");
        return Err(Mistake::suggesting(
            why,
            format!("write for example \"{container}:{container}\""),
        ));
    };
    let ip = ip.map(address).transpose()?;
    let prefix = ip.map(|ip| format!("{ip}:")).unwrap_or_default();
    if host.contains('%') {
        let container = port(container)?;
        let is_good = |c: char| c.is_ascii_alphanumeric() || c == '%';
        if !host.chars().all(is_good) {
            return Err(Mistake::new(format!("'{host}' is no port")));
        }
        return Ok(vec![Listen {
            kind,
            address: format!("{prefix}{host}"),
            container: ContainerAddress::Port(container),
        }]);
    }
    let (first, last) = range(host)?;
    let (inner_first, inner_last) = range(container)?;
    if last - first != inner_last - inner_first {
        return Err(Mistake::new(format!(
            "'{text}': the two ranges of ports are not of the same length"
        )));
    }
    if last - first >= RANGE_MAX {
        return Err(Mistake::new(format!(
            "'{text}': a range can have at most {RANGE_MAX} ports"
        )));
    }
    let listens = (first..=last)
        .zip(inner_first..=inner_last)
        .map(|(host, container)| Listen {
            kind,
            address: format!("{prefix}{host}"),
            container: ContainerAddress::Port(container),
        });
    Ok(listens.collect())
}

/// Address, port of the host and port of the container.
type Parts<'t> = (Option<&'t str>, Option<&'t str>, &'t str);

fn split_ports<'t>(text: &str, ports: &'t str) -> Result<Parts<'t>, Mistake> {
    if ports.starts_with('[') {
        let (ip, rest) = ports.split_once("]:").ok_or_else(|| {
            let why = format!("'{text}' has no ']:' behind its IPv6 address");
            Mistake::suggesting(why, "write \"[ADDRESS]:HOSTPORT:CONTAINERPORT\"".to_owned())
        })?;
        return match rest.split_once(':') {
            Some((host, container)) if !container.contains(':') => {
                Ok((Some(&ports[..=ip.len()]), Some(host), container))
            }
            Some(_) => Err(Mistake::new(format!("'{text}' has too many ':'"))),
            None => Ok((Some(ip), None, rest)),
        };
    }
    let parts: Vec<_> = ports.split(':').collect();
    match *parts.as_slice() {
        [container] => Ok((None, None, container)),
        [host, container] => Ok((None, Some(host), container)),
        ["", host, container] => Ok((None, Some(host), container)),
        [ip, host, container] => Ok((Some(ip), Some(host), container)),
        _ => Err(Mistake::suggesting(
            format!("'{text}' has too many ':'"),
            "write an IPv6 address in brackets, \"[::1]:8080:80\"".to_owned(),
        )),
    }
}

/// An IP address as systemd takes it in front of a port: IPv6 in brackets.
fn address(text: &str) -> Result<String, Mistake> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or(inner);
        return match inner.parse::<Ipv6Addr>() {
            Ok(ip) => Ok(format!("[{ip}]")),
            Err(_) => Err(Mistake::new(format!("'{inner}' is no IPv6 address"))),
        };
    }
    match text.parse::<Ipv4Addr>() {
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => Err(Mistake::new(format!(
            "'{text}' is no IP address (names are not looked up)"
        ))),
    }
}

fn range(text: &str) -> Result<(u16, u16), Mistake> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(Mistake::new(format!("the range '{text}' ends before it begins")));
    }
    Ok((first, last))
}

fn port(text: &str) -> Result<u16, Mistake> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(Mistake::new(format!(
            "'{text}' is no port, which is a number from 1 to 65535"
        ))),
    }
}

/// An address of systemd.socket(5), and what the payload binds if nothing else is said.
///
/// The latter is not known where the port is left to a specifier.
pub(super) fn listen(text: &str) -> Result<(String, Option<ContainerAddress>), Mistake> {
    if text.starts_with("vsock") {
        return vsock(text).map(|port| (text.to_owned(), port.map(ContainerAddress::Vsock)));
    }
    if let Some(path) = unix(text)? {
        return Ok((text.to_owned(), Some(path)));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let port = port(text)?;
        return Ok((port.to_string(), Some(ContainerAddress::Port(port))));
    }
    let Some((ip, end)) = text.rsplit_once(':') else {
        let is_good = |c: char| c.is_ascii_alphanumeric() || c == '%';
        if text.contains('%') && text.chars().all(is_good) {
            return Ok((text.to_owned(), None));
        }
        let why = format!("'{text}' is no address to listen on");
        return Err(Mistake::suggesting(
            why,
            "write a port, ADDRESS:PORT, a path from '/' on, or '@NAME'".to_owned(),
        ));
    };
    // An IPv6 address may name an interface behind its port: `[fe80::1]:80%eth0`.
    let (end, scope) = match (ip.starts_with('['), end.split_once('%')) {
        (true, Some((port, scope))) if !port.is_empty() => (port, Some(scope)),
        _ => (end, None),
    };
    let ip = match (ip.starts_with('['), ip.ends_with(']')) {
        (false, false) | (true, true) => address(ip)?,
        _ => return Err(Mistake::new(format!("'{text}' has a bracket too few"))),
    };
    if end.contains('%') {
        return Ok((format!("{ip}:{end}"), None));
    }
    let port = port(end)?;
    let scope = match scope {
        None => String::new(),
        Some(scope)
            if !scope.is_empty()
                && scope
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) =>
        {
            format!("%{scope}")
        }
        Some(scope) => return Err(Mistake::new(format!("'{scope}' is no interface"))),
    };
    Ok((format!("{ip}:{port}{scope}"), Some(ContainerAddress::Port(port))))
}

/// The path of a named pipe.
pub(super) fn fifo(text: &str) -> Result<String, Mistake> {
    match (text.starts_with('/'), is_path_of_a_file(text)) {
        (true, true) if text.len() < PATH_MAX => Ok(text.to_owned()),
        _ => Err(Mistake::new(format!("'{text}' is no path of a named pipe"))),
    }
}

/// The port of `vsock:CID:PORT`, where the context id may be empty for any; nothing where the port is left to a specifier.
fn vsock(text: &str) -> Result<Option<u32>, Mistake> {
    let mistake = || {
        let suggestion = "write \"vsock:CID:PORT\", or \"vsock::PORT\" for any context id".to_owned();
        Mistake::suggesting(format!("'{text}' is no vsock address"), suggestion)
    };
    let parts = text.strip_prefix("vsock:").and_then(|rest| rest.split_once(':'));
    let (id, port) = parts.ok_or_else(mistake)?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok();
    let is_specifier = |text: &str| {
        let is_good = |c: char| c.is_ascii_alphanumeric() || c == '%';
        text.contains('%') && text.chars().all(is_good)
    };
    if !(id.is_empty() || is_number(id) || is_specifier(id)) {
        return Err(mistake());
    }
    match port.parse() {
        Ok(port) if is_number(text.rsplit(':').next().unwrap_or_default()) => Ok(Some(port)),
        _ if is_specifier(port) => Ok(None),
        _ => Err(mistake()),
    }
}

/// What the payload binds: `80`, `tcp/80`, `udp/53`, a path, `@NAME`, `vsock::80`.
pub(super) fn container(text: &str, kind: SocketKind) -> Result<ContainerAddress, Mistake> {
    if text.starts_with("vsock") {
        return match vsock(text)? {
            Some(port) => Ok(ContainerAddress::Vsock(port)),
            None => Err(Mistake::new(format!("'{text}' names no port"))),
        };
    }
    if let Some(path) = unix(text)? {
        return Ok(path);
    }
    let number = match (text.split_once('/'), kind) {
        (None, _) => text,
        (Some(("tcp", number)), SocketKind::Stream) | (Some(("udp", number)), SocketKind::Datagram) => number,
        (Some(("tcp", _)), SocketKind::Datagram) => {
            return Err(Mistake::new(format!(
                "'{text}' is a stream's address, but the socket is for datagrams"
            )));
        }
        (Some(("udp", _)), _) => {
            return Err(Mistake::new(format!(
                "'{text}' is a datagram's address, but the socket is for streams"
            )));
        }
        _ => {
            return Err(Mistake::new(format!(
                "'{text}' is neither a port nor a path from '/' on nor '@NAME'"
            )));
        }
    };
    port(number).map(ContainerAddress::Port)
}

/// A path or an abstract name.
fn unix(text: &str) -> Result<Option<ContainerAddress>, Mistake> {
    if !text.starts_with(['/', '@']) {
        return Ok(None);
    }
    if text.len() > UNIX_PATH_MAX {
        return Err(Mistake::new(format!(
            "'{text}' is longer than {UNIX_PATH_MAX} bytes, which a Unix socket's cannot be"
        )));
    }
    if text.len() < 2 {
        return Err(Mistake::new(format!("'{text}' names no socket")));
    }
    if text.starts_with('/') && !is_path_of_a_file(text) {
        return Err(Mistake::new(format!("'{text}' is no path of a socket")));
    }
    Ok(Some(ContainerAddress::Unix(text.to_owned())))
}

fn is_path_of_a_file(text: &str) -> bool {
    !text.ends_with('/') && !text.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn published(text: &str) -> Vec<(SocketKind, String, u16)> {
        let listens = publish(text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"));
        listens
            .into_iter()
            .map(|listen| match listen.container {
                ContainerAddress::Port(port) => (listen.kind, listen.address, port),
                other => panic!("{other}"),
            })
            .collect()
    }

    #[test]
    fn forms_of_quadlet() {
        let stream = |address: &str, port| vec![(SocketKind::Stream, address.to_owned(), port)];
        assert_eq!(published("8080:80"), stream("8080", 80));
        assert_eq!(published("8080:80/tcp"), stream("8080", 80));
        assert_eq!(published("127.0.0.1:8080:80"), stream("127.0.0.1:8080", 80));
        assert_eq!(published("[::1]:8080:80"), stream("[::1]:8080", 80));
        assert_eq!(published("0.0.0.0:8080:80"), stream("0.0.0.0:8080", 80));
        assert_eq!(published("80%i:80"), stream("80%i", 80));
        assert_eq!(
            published("53:5353/udp"),
            [(SocketKind::Datagram, "53".to_owned(), 5353)]
        );
        let range: Vec<_> = published("8000-8010:80-90")
            .into_iter()
            .map(|(_, a, p)| (a, p))
            .collect();
        assert_eq!(range.len(), 11);
        assert_eq!(range[10], ("8010".to_owned(), 90));
    }

    #[test]
    fn mistakes_in_ports() {
        for text in [
            "",
            ":",
            "80",
            "127.0.0.1::80",
            "[::1]:80",
            "0:80",
            "80:0",
            "65536:80",
            "80:80/sctp",
            "x:80",
            "+1:80",
            "a:1:2",
            "1:2:3:4",
            "::1:80:80",
            "[::1:80:80",
            "[::x]:80:80",
            "10-5:10-5",
            "1-2:1-3",
            "1-1000:1-1000",
            "80:80\n",
            "80%\n:80",
            "1:2/tcp/udp",
            "vsock::80",
            "vsock:2:80:80",
        ] {
            assert!(publish(text).is_err(), "{text:?}: {:?}", publish(text));
        }
        let mistake = publish("80").unwrap_err();
        assert_eq!(mistake.suggestion.as_deref(), Some("write for example \"80:80\""));
    }

    #[test]
    fn addresses_of_systemd() {
        let port = |address: &str, port| Ok((address.to_owned(), Some(ContainerAddress::Port(port))));
        let path = |address: &str| Ok((address.to_owned(), Some(ContainerAddress::Unix(address.to_owned()))));
        assert_eq!(listen("8080"), port("8080", 8080));
        assert_eq!(listen("1.2.3.4:80"), port("1.2.3.4:80", 80));
        assert_eq!(listen("[::1]:80"), port("[::1]:80", 80));
        assert_eq!(listen("[fe80::1]:80%eth0"), port("[fe80::1]:80%eth0", 80));
        assert_eq!(listen("/run/x.sock"), path("/run/x.sock"));
        assert_eq!(listen("/run/%i.sock"), path("/run/%i.sock"));
        assert_eq!(listen("@x"), path("@x"));
        for (address, port) in [
            ("vsock:2:80", Some(80)),
            ("vsock::4294967295", Some(u32::MAX)),
            ("vsock:2:%i", None),
        ] {
            assert_eq!(
                listen(address),
                Ok((address.to_owned(), port.map(ContainerAddress::Vsock)))
            );
        }
        assert_eq!(listen("80%i"), Ok(("80%i".to_owned(), None)));
        assert_eq!(listen("127.0.0.1:80%i"), Ok(("127.0.0.1:80%i".to_owned(), None)));
        for text in [
            "",
            "localhost:80",
            "x",
            "@",
            "/",
            "/a/",
            "/a/../b",
            "vsock:1",
            "vsock::",
            "vsock:x:1",
            "vsock::4294967296",
            "vsock:2:+1",
            "vsock-stream:2:1",
            "70000",
            "::1:80",
            "[::1:80",
            "::1]:80",
            "1.2.3.4",
            "a%\nb",
        ] {
            assert!(listen(text).is_err(), "{text:?}: {:?}", listen(text));
        }
    }

    #[test]
    fn addresses_in_the_container() {
        assert_eq!(container("80", SocketKind::Stream), Ok(ContainerAddress::Port(80)));
        assert_eq!(container("tcp/80", SocketKind::Stream), Ok(ContainerAddress::Port(80)));
        assert_eq!(
            container("udp/80", SocketKind::Datagram),
            Ok(ContainerAddress::Port(80))
        );
        assert_eq!(
            container("vsock::80", SocketKind::Stream),
            Ok(ContainerAddress::Vsock(80))
        );
        assert!(container("vsock::%i", SocketKind::Stream).is_err());
        assert_eq!(fifo("/run/x"), Ok("/run/x".to_owned()));
        for text in ["x", "@x", "/", "/run/", "/run/../x", ""] {
            assert!(fifo(text).is_err(), "{text}");
        }
        assert!(container("udp/80", SocketKind::Stream).is_err());
        assert!(container("tcp/80", SocketKind::Datagram).is_err());
        assert!(container("x/80", SocketKind::Stream).is_err());
        assert_eq!(
            container("@x", SocketKind::Stream),
            Ok(ContainerAddress::Unix("@x".to_owned()))
        );
    }

    proptest! {
        #[test]
        fn never_panics_and_never_more_than_a_line(text in "[\\PC\n\\[\\]:/0-9@%-]{0,20}") {
            if let Ok(listens) = publish(&text) {
                prop_assert!(listens.iter().all(|listen| !listen.address.contains('\n')));
            }
            let _ = listen(&text);
            let _ = container(&text, SocketKind::Stream);
        }
    }
}
