//! From what was seen of an image to the definition that fits it, with the reasons as comments.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::output::visible;
use crate::cli::probe::bound::{Bound, Family, Protocol};
use crate::definition::volume::is_free;

/// All that is known of an image after it has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Verdict {
    /// As it was asked for.
    pub(super) image: String,
    /// What its programs listen on.
    pub(super) bound: Vec<Bound>,
    /// How long it took until the last of these listened, in milliseconds.
    pub(super) listens_after_ms: u64,
    /// Whether it takes sockets that systemd hands over (sd_listen_fds(3)).
    pub(super) reads_listen_fds: bool,
    /// Ports that were bound for IPv4 alone, and whose clients are turned away when they come through a socket for both families.
    pub(super) ipv4_only_ports: Vec<u16>,
    /// The user it runs as, as the image says.
    pub(super) user: String,
    /// The volumes that the image asks for.
    pub(super) volumes: Vec<String>,
    /// How the published ports are given to it.
    pub(super) published: Vec<Published>,
}

/// A port to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Published {
    /// As `PublishPort=` takes it.
    pub(super) value: String,
    /// Why it is written so, as a sentence.
    pub(super) reason: String,
}

/// The ports of `bound` as they are to be published.
pub(super) fn publish(bound: &[Bound], ipv4_only: &[u16]) -> Vec<Published> {
    let mut ports: Vec<(Protocol, u16)> = bound.iter().filter_map(|one| Some((one.protocol, one.port?))).collect();
    ports.dedup();
    ports
        .into_iter()
        .map(|(protocol, port)| {
            let families = bound
                .iter()
                .filter(|one| (one.protocol, one.port) == (protocol, Some(port)));
            let families: Vec<Family> = families.filter_map(|one| one.family).collect();
            let host = host_port(port);
            let (end, kind) = match protocol {
                Protocol::Udp => ("/udp", "UDP"),
                Protocol::Tcp | Protocol::Unix => ("", "TCP"),
            };
            let (start, why) = match families.as_slice() {
                [Family::Ipv4] if protocol == Protocol::Udp => ("0.0.0.0:", "for IPv4, and so is the socket"),
                [Family::Ipv4] if ipv4_only.contains(&port) => (
                    "0.0.0.0:",
                    "for IPv4, and turns away who comes through a socket for both families",
                ),
                [Family::Ipv4] => ("", "for IPv4, and bears a socket for both families"),
                [Family::Ipv6] => ("[::]:", "for IPv6 alone"),
                _ => ("", "for IPv4 and IPv6"),
            };
            Published {
                value: format!("{start}{host}:{port}{end}"),
                reason: format!("{kind} port {port} is bound {why}."),
            }
        })
        .collect()
}

/// The same port of the host, or one that anybody may have.
fn host_port(port: u16) -> u16 {
    match port {
        ..1024 => 8000 + port,
        _ => port,
    }
}

/// The definition, `NAME.toml`, of a container `name`.
pub(super) fn definition(verdict: &Verdict, name: &str) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "[Container]\nImage = {}", quoted(&verdict.image));
    if !verdict.published.is_empty() {
        let _ = writeln!(
            text,
            "\n# systemd listens on the first port, and the program gets that socket where it binds the second."
        );
        for published in &verdict.published {
            let _ = writeln!(text, "# {}", published.reason);
        }
        let values: Vec<String> = verdict
            .published
            .iter()
            .map(|published| quoted(&published.value))
            .collect();
        match values.as_slice() {
            [value] => writeln!(text, "PublishPort = {value}"),
            values => writeln!(text, "PublishPort = [{}]", values.join(", ")),
        }
        .unwrap_or_default();
        match verdict.reads_listen_fds {
            true => text.push_str("# It takes sockets from systemd by itself, so nothing need be caught.\nActivation = \"inherit\"\n"),
            false => text.push_str(
                "# It does not know $LISTEN_FDS: its bind(2) is caught, which is the default.\n# Activation = \"intercept\"\n",
            ),
        }
    }
    let volumes = volumes(name, &verdict.volumes);
    if !volumes.is_empty() {
        text.push_str(
            "\n# The image asks for these. Without a name before the colon they would vanish with the container.\n",
        );
        let _ = writeln!(text, "Volume = [{}]", volumes.join(", "));
    }
    if verdict
        .published
        .iter()
        .any(|published| published.value.starts_with("[::]:"))
    {
        text.push_str("\n[Socket]\nBindIPv6Only = \"ipv6-only\"\n");
    }
    let sockets = verdict
        .bound
        .iter()
        .filter(|one| one.protocol == Protocol::Unix && one.address.starts_with('/'));
    for (number, socket) in sockets.enumerate() {
        let section = if number == 0 {
            "unix".to_owned()
        } else {
            format!("unix{}", number + 1)
        };
        // The only way to it, or one more.
        let mark = if verdict.published.is_empty() { "" } else { "# " };
        let _ = write!(
            text,
            "\n{mark}[Socket.{section}]\n{mark}ListenStream = {}\n{mark}ContainerListen = {}\n",
            quoted(&format!("/run/{name}/{section}.sock")),
            quoted(&socket.address)
        );
    }
    text
}

/// The volumes that an image asks for, as `Volume=` takes them, but those that no container has.
fn volumes(name: &str, paths: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let possible = paths.iter().filter(|text| {
        let path = Path::new(text);
        path.is_absolute() && is_free(path) && !path.starts_with("/dev") && !text.contains([':', '%', ','])
    });
    let value = |path: &String| {
        let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
        let short = volume(name, last);
        // Two may end alike.
        let volume = match names.contains(&short) {
            true => volume(name, path.trim_matches('/')),
            false => short,
        };
        let value = quoted(&format!("{volume}:{path}"));
        names.push(volume);
        value
    };
    possible.map(value).collect()
}

/// A volume's name from the container's and a path.
fn volume(name: &str, path: &str) -> String {
    let part = path.replace(
        |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'),
        "-",
    );
    format!("{name}-{}", part.trim_start_matches('.'))
}

/// A basic string of TOML. What an image has in it may be anything.
fn quoted(text: &str) -> String {
    format!("\"{}\"", visible(text).replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Verdict, definition, publish};
    use crate::cli::probe::bound::{Bound, Family, Protocol};

    fn bound(protocol: Protocol, port: u16, family: Family) -> Bound {
        Bound {
            protocol,
            port: Some(port),
            address: String::new(),
            family: Some(family),
            program: "server".to_owned(),
        }
    }

    fn values(bound: &[Bound], ipv4_only: &[u16]) -> Vec<String> {
        publish(bound, ipv4_only)
            .into_iter()
            .map(|published| published.value)
            .collect()
    }

    #[test]
    fn a_socket_is_published_for_the_families_that_are_served() {
        let ipv4 = [bound(Protocol::Tcp, 80, Family::Ipv4)];
        assert_eq!(values(&ipv4, &[]), ["8080:80"]);
        assert_eq!(values(&ipv4, &[80]), ["0.0.0.0:8080:80"]);
        let both = [
            bound(Protocol::Tcp, 80, Family::Ipv4),
            bound(Protocol::Tcp, 80, Family::Ipv6),
        ];
        assert_eq!(values(&both, &[80]), ["8080:80"]);
        assert_eq!(
            values(&[bound(Protocol::Udp, 5353, Family::DualStack)], &[]),
            ["5353:5353/udp"]
        );
        assert_eq!(
            values(&[bound(Protocol::Tcp, 3000, Family::Ipv6)], &[]),
            ["[::]:3000:3000"]
        );
    }

    #[test]
    fn the_definition_has_no_mistakes() {
        let sockets = vec![
            bound(Protocol::Tcp, 443, Family::Ipv6),
            bound(Protocol::Udp, 53, Family::Ipv4),
        ];
        let verdict = Verdict {
            image: "localhost/x".to_owned(),
            published: publish(&sockets, &[]),
            bound: sockets,
            listens_after_ms: 40,
            reads_listen_fds: true,
            ipv4_only_ports: Vec::new(),
            user: "root".to_owned(),
            volumes: [
                "/var/lib/x y\"",
                "/",
                "/sys/x",
                "/dev",
                "/srv/data",
                "/developer",
                "/var/data/",
                "/a:b",
            ]
            .map(str::to_owned)
            .into(),
        };
        let text = definition(&verdict, "web");
        let (_, diagnostics) = crate::definition::toml::parse(Path::new("/etc/coracle/web.toml"), &text);
        assert!(diagnostics.is_empty(), "{diagnostics:?}\n{text}");
        assert!(
            text.contains(r#"Volume = ["web-x-y-:/var/lib/x y\"", "web-data:/srv/data", "web-developer:/developer", "web-var-data:/var/data/"]"#),
            "{text}"
        );
    }
}
