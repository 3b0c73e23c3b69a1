//! What a definition asks of a manager that cannot give it: a user's has no rights but the user's, and one program is for users only.
//!
//! A definition is the same in both places, so this is seen only when it is known whose it is. What the kernel or the system's settings
//! decide, such as which identities are lent to the user, is left to the shim, which says it at the start.

use crate::definition::diagnostic::Severity;
use crate::definition::network::Network;
use crate::definition::places::Scope;
use crate::definition::volume::{Backing, Source};
use crate::definition::{Definition, Propagation, UserNamespace};
use crate::generate::draft::Draft;

/// Ports below this one are root's, unless `net.ipv4.ip_unprivileged_port_start` says otherwise (ip(7)).
const FIRST_PORT: u16 = 1024;

/// A mistake: how bad, what, and what would mend it.
type Mistake = (Severity, String, &'static str);

/// Says what the manager cannot give.
pub fn check(draft: &mut Draft<'_>, scope: Scope) {
    let mistakes = match scope {
        Scope::System => of_system(draft.definition()),
        Scope::User => of_user(draft.definition()),
    };
    for (severity, message, suggestion) in mistakes {
        draft.say(severity, message, Some(suggestion.to_owned()));
    }
}

fn of_system(definition: &Definition) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if definition.container.network == Network::Pasta {
        mistakes.push((
            Severity::Error,
            "'Network' cannot be 'pasta' for the system's manager, only for a user's".to_owned(),
            "write 'bridge' instead",
        ));
    }
    if matches!(definition.container.user_namespace, UserNamespace::KeepId { .. }) {
        mistakes.push((
            Severity::Error,
            "'UserNS' cannot be 'keep-id' for the system's manager, whose user is root".to_owned(),
            "leave it out, or say which users of the host it has with UIDMap and GIDMap",
        ));
    }
    mistakes
}

fn of_user(definition: &Definition) -> Vec<Mistake> {
    let container = &definition.container;
    let mut mistakes = Vec::new();
    if container.user_namespace == UserNamespace::Host {
        mistakes.push((
            Severity::Error,
            "'UserNS' cannot be 'host' without root: a user has all rights in a namespace of their own only".to_owned(),
            "leave it out, and the container's root is you",
        ));
    }
    if !container.devices.is_empty() {
        mistakes.push((
            Severity::Error,
            "'AddDevice' needs root: a user can neither make a device's node nor say who may open it".to_owned(),
            "define the container in /etc/coracle, for the system's manager",
        ));
    }
    if container
        .volumes
        .iter()
        .any(|volume| volume.propagation != Propagation::Private)
    {
        mistakes.push((
            Severity::Error,
            "'Volume' cannot be 'rslave' or 'rshared' without root: a user's container sees what is mounted when it starts".to_owned(),
            "leave the option out",
        ));
    }
    for volume in &container.volumes {
        if let Source::Named(named) = &volume.source
            && named.settings.backing == Backing::Mount
        {
            mistakes.push((
                Severity::Error,
                format!(
                    "the volume '{}' is a file system of its own, and to mount one needs root",
                    named.name
                ),
                "leave out its 'Device' and 'Type', and it is a directory; or name the path where root has mounted it",
            ));
        }
    }
    let ports = definition.sockets.iter().flat_map(|socket| &socket.listen);
    for port in ports
        .filter_map(|listen| port_of(&listen.address))
        .filter(|port| *port < FIRST_PORT)
    {
        mistakes.push((
            Severity::Warning,
            format!("port {port} of the host is root's: the socket fails where net.ipv4.ip_unprivileged_port_start is above it"),
            "take a port from 1024 on, such as PublishPort = \"8080:80\"",
        ));
    }
    mistakes
}

/// The port of an address of systemd.socket(5), if it has one.
fn port_of(address: &str) -> Option<u16> {
    if address.starts_with(['/', '@', '%']) || address.starts_with("vsock") {
        return None;
    }
    let port = address.rsplit_once(':').map_or(address, |(_, port)| port);
    port.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::port_of;

    #[test]
    fn addresses_have_ports() {
        for (address, port) in [("80", 80), ("127.0.0.1:81", 81), ("[::1]:82", 82)] {
            assert_eq!(port_of(address), Some(port));
        }
        for address in ["/run/80", "@80", "vsock:2:80", "%t/x:80"] {
            assert_eq!(port_of(address), None);
        }
    }
}
