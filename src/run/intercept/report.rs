//! What is said of a program that does not bind what is declared: which clients wait in vain, and the key that mends it.

use crate::definition::{ContainerAddress, Listen, SocketKind};
use crate::run::failure::{Priority, say};
use crate::run::intercept::activated::Activated;
use crate::run::intercept::claim::Claims;
use crate::run::intercept::family::Family;
use crate::run::sockaddr::Wanted;

/// Ports that the program binds and that no socket is declared for.
#[derive(Debug, Default)]
pub struct Undeclared(Vec<(u16, SocketKind)>);

/// How many of them are named.
const UNDECLARED_MAX: usize = 8;

/// From this port on, datagram sockets are bound to send from rather than to be found (`net.ipv4.ip_local_port_range`).
const FIRST_EPHEMERAL: u16 = 32768;

impl Undeclared {
    /// Whether there would be something to say of this port.
    #[must_use]
    pub fn is_news(&self, port: u16) -> bool {
        // A program may bind a port for streams and for datagrams.
        port != 0 && self.0.len() < UNDECLARED_MAX && self.0.iter().filter(|(known, _)| *known == port).count() < 2
    }

    /// Says once that a port is bound which no socket is declared for, and how it would be.
    pub fn note(&mut self, wanted: &Wanted, kind: SocketKind) {
        let Wanted::Port(address, port) = *wanted else { return };
        let is_sender = kind == SocketKind::Datagram && port >= FIRST_EPHEMERAL;
        if !self.is_news(port) || is_sender || self.0.contains(&(port, kind)) {
            return;
        }
        self.0.push((port, kind));
        let priority = if address.is_loopback() {
            Priority::Notice
        } else {
            Priority::Warning
        };
        let message = format!(
            "the program bound {}port {port}, which no socket is declared for: it is reachable inside the container only; \
             to publish it, add PublishPort = \"{port}:{port}{}\"",
            if kind == SocketKind::Datagram { "UDP " } else { "" },
            protocol(kind),
        );
        say(priority, &message);
    }

    fn of(&self, kind: SocketKind) -> Option<u16> {
        self.0.iter().find(|(_, bound)| *bound == kind).map(|(port, _)| *port)
    }
}

/// The sockets that nobody serves, as sentences with what mends it: one for all that the program has not bound at all, one for each that it
/// has bound for other clients only.
#[must_use]
pub fn unserved(sockets: &[Activated], undeclared: &Undeclared) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut nowhere = Vec::new();
    for socket in sockets.iter().filter(|socket| !socket.served) {
        let listen = &socket.grant.listen;
        match sockets
            .iter()
            .find(|other| other.served && is_same(&other.grant.listen, listen))
        {
            Some(served) => sentences.push(beside(socket, served)),
            None => nowhere.push(listen),
        }
    }
    if !nowhere.is_empty() {
        let described: Vec<String> = nowhere.iter().map(|listen| describe(listen)).collect();
        let mut sentence = format!("the program does not listen on {}", described.join(", "));
        let hint = nowhere.iter().find_map(|listen| instead(listen, undeclared));
        sentence.push_str(&hint.unwrap_or_default());
        sentences.insert(0, sentence);
    }
    sentences
}

/// What the program has bound instead, perhaps.
fn instead(listen: &Listen, undeclared: &Undeclared) -> Option<String> {
    let (outer, port) = (listen.host_port()?, undeclared.of(listen.kind)?);
    let host = listen.address.rsplit_once(':').map(|(host, _)| format!("{host}:"));
    Some(format!(
        "; it bound port {port}: name that one, as in PublishPort = \"{}{outer}:{port}{}\"",
        host.unwrap_or_default(),
        protocol(listen.kind)
    ))
}

/// The program's port is served, but not for this socket's clients.
fn beside(socket: &Activated, served: &Activated) -> String {
    let (listen, other) = (&socket.grant.listen, &served.grant.listen);
    let mut sentence = format!(
        "clients of '{}' wait in vain: for {} the program has one socket only, which serves '{}'",
        listen.address,
        what(listen),
        other.address
    );
    let port = listen.host_port().filter(|port| Some(*port) == other.host_port());
    match port {
        Some(port) if socket.family != served.family => {
            sentence.push_str(&format!(
                "; one socket for both families is PublishPort = \"{port}:{}{}\"",
                listen.container,
                protocol(listen.kind)
            ));
            if listen.host().is_some_and(|host| host.is_loopback()) {
                sentence.push_str(", with BindToDevice = \"lo\" in [Socket] for clients on this machine only");
            }
        }
        _ => sentence.push_str("; let it listen on a port of its own for each, or write Activation = \"inherit\" if it takes its sockets from systemd"),
    }
    sentence
}

/// Where a program has got a socket for other clients than it asked for, as sentences.
#[must_use]
pub fn bridged(sockets: &[Activated], claims: &Claims) -> Vec<String> {
    let mut sentences = Vec::new();
    for claim in claims.held() {
        let Some(ours) = sockets.get(claim.socket) else {
            continue;
        };
        let listen = &ours.grant.listen;
        let (inner, outer, end) = (
            &listen.container,
            listen.host_port().unwrap_or_default(),
            protocol(listen.kind),
        );
        let sentence = match (claim.family, ours.family) {
            (Family::Ipv4, Family::DualStack | Family::Ipv6Only | Family::Mapped) => format!(
                "the program asked for IPv4 on port {inner} and got a socket for IPv6 too: if it shows wrong addresses or closes \
                 connections, bind it to '::' or publish an IPv4 address, as in PublishPort = \"0.0.0.0:{outer}:{inner}{end}\""
            ),
            (Family::Ipv6Only, Family::Ipv4) => format!(
                "the program asked for IPv6 on port {inner} and got '{}', which is for IPv4: if it does not bear such clients, bind it to \
                 an IPv4 address or publish an IPv6 one, as in PublishPort = \"{outer}:{inner}{end}\"",
                listen.address
            ),
            _ => continue,
        };
        if !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
    }
    sentences
}

/// Whether one bind of the program could be for either.
#[must_use]
pub fn is_same(one: &Listen, other: &Listen) -> bool {
    (one.kind, &one.container) == (other.kind, &other.container)
}

fn describe(listen: &Listen) -> String {
    format!("{} for '{}'", what(listen), listen.address)
}

fn what(listen: &Listen) -> String {
    match &listen.container {
        ContainerAddress::Port(port) if listen.kind == SocketKind::Datagram => format!("UDP port {port}"),
        ContainerAddress::Port(port) => format!("port {port}"),
        other => format!("'{other}'"),
    }
}

/// The end of what `PublishPort=` takes.
fn protocol(kind: SocketKind) -> &'static str {
    match kind {
        SocketKind::Datagram => "/udp",
        _ => "",
    }
}
