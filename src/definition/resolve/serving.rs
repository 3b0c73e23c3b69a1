//! Whether the program can serve its sockets in the way that they are given to it.
//!
//! What `Activation=intercept` gives is what the program binds, so nothing that cannot be bound can be given in this way, and a program that binds a port once
//! gets one socket for it. How it takes two families it is too early to know: that is found out when it binds ([`crate::run::intercept`]).

use std::net::IpAddr;

use crate::definition::diagnostic::Severity;
use crate::definition::resolve::{Resolver, place};
use crate::definition::setting::Settings;
use crate::definition::{Activation, ContainerAddress, Definition, Listen, SeccompProfile, SocketKind};

/// Where addresses are written.
const KEYS: [&str; 5] = [
    "PublishPort",
    "ListenStream",
    "ListenDatagram",
    "ListenSequentialPacket",
    "ListenFIFO",
];

impl Resolver<'_, '_> {
    /// Names the sockets that a program whose binds are intercepted cannot get, or not all at once.
    pub(super) fn check_sockets(&mut self, definition: &Definition, settings: &Settings<'_>) {
        let container = &definition.container;
        if container.activation.unwrap_or(Activation::Intercept) != Activation::Intercept {
            return;
        }
        let listens: Vec<&Listen> = definition.sockets.iter().flat_map(|socket| &socket.listen).collect();
        for (index, listen) in listens.iter().enumerate() {
            let address = &listen.address;
            let mut say = |severity, message: String, suggestion: &str| {
                let span = place(settings, &KEYS, |text| {
                    text == address || text.starts_with(&format!("{address}:"))
                });
                self.say_once(severity, span, message, Some(suggestion.to_owned()));
            };
            match listen.container {
                _ if listen.kind == SocketKind::Fifo => say(
                    Severity::Error,
                    format!(
                        "a program does not bind a named pipe, so '{address}' cannot be put in the place of anything"
                    ),
                    "write Activation = \"inherit\", and the program finds it by LISTEN_FDS or {fd:NAME}",
                ),
                ContainerAddress::Vsock(_) if container.seccomp_profile == SeccompProfile::Default => say(
                    Severity::Error,
                    format!(
                        "the default filter of system calls lets no program make a vsock socket to bind for '{address}'"
                    ),
                    "write Activation = \"inherit\", or a SeccompProfile of your own that lets socket(2) make it",
                ),
                ContainerAddress::Port(_) => {
                    let twin = listens[..index].iter().find(|other| are_twins(other, listen));
                    if let Some(twin) = twin {
                        say(
                            Severity::Warning,
                            format!(
                                "'{}' and '{address}' are both port {} of the program: one that binds it once serves only the first",
                                twin.address, listen.container
                            ),
                            "let the program listen on a port of its own for each, or write Activation = \"inherit\" if it takes sockets from systemd",
                        );
                    }
                }
                _ => {}
            }
        }
    }
}

/// Whether a program would have to bind the same port twice for the same clients.
fn are_twins(one: &Listen, other: &Listen) -> bool {
    // One address that is listened on twice is a mistake of its own.
    one.address != other.address
        && (one.kind, &one.container) == (other.kind, &other.container)
        && families(one) == families(other)
}

/// Whose clients come, as far as the address says it.
#[derive(PartialEq, Eq)]
enum Families {
    Ipv4,
    Ipv6,
    Both,
}

fn families(listen: &Listen) -> Families {
    match listen.host() {
        Some(IpAddr::V4(_)) => Families::Ipv4,
        Some(IpAddr::V6(address)) if !address.is_unspecified() => Families::Ipv6,
        _ => Families::Both,
    }
}
