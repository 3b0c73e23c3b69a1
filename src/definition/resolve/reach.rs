//! What a definition asks of a manager that cannot give it: a user's has no rights but the user's, and one program is for users only.
//!
//! A definition is the same in both places, so both are thought of here, where the places of its keys are known; the generator says what
//! concerns its manager. What the kernel or the system's settings decide, such as which identities are lent to the user, is left to the
//! shim, which says it at the start.

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::network::Network;
use crate::definition::places::Scope;
use crate::definition::report::{Report, Span};
use crate::definition::resolve::place;
use crate::definition::setting::Settings;
use crate::definition::{Definition, Propagation, UserNamespace};

/// Ports below this one are root's, unless `net.ipv4.ip_unprivileged_port_start` says otherwise (ip(7)).
const FIRST_PORT: u16 = 1024;

/// A mistake: how bad, where, what, and what would mend it.
type Mistake = (Severity, Span, String, &'static str);

/// What either manager could not give, with its place.
pub(super) fn mistakes(
    definition: &Definition,
    settings: &Settings<'_>,
    report: &Report<'_>,
) -> Vec<(Scope, Diagnostic)> {
    let of = |scope, mistakes: Vec<Mistake>| {
        mistakes
            .into_iter()
            .filter_map(move |(severity, span, message, suggestion)| {
                let diagnostic = report.diagnostic(severity, span, message)?;
                Some((scope, diagnostic.suggesting(suggestion.to_owned())))
            })
    };
    let system = of(Scope::System, of_system(definition, settings));
    system.chain(of(Scope::User, of_user(definition, settings))).collect()
}

fn of_system(definition: &Definition, settings: &Settings<'_>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if definition.container.network == Network::Pasta {
        mistakes.push((
            Severity::Error,
            place(settings, &["Network"], |_| true),
            "'Network' cannot be 'pasta' for the system's manager, only for a user's".to_owned(),
            "write 'bridge' instead",
        ));
    }
    if matches!(definition.container.user_namespace, UserNamespace::KeepId { .. }) {
        mistakes.push((
            Severity::Error,
            place(settings, &["UserNS"], |_| true),
            "'UserNS' cannot be 'keep-id' for the system's manager, whose user is root".to_owned(),
            "leave it out, or say which users of the host it has with UIDMap and GIDMap",
        ));
    }
    mistakes
}

fn of_user(definition: &Definition, settings: &Settings<'_>) -> Vec<Mistake> {
    let container = &definition.container;
    let mut mistakes = Vec::new();
    if container.user_namespace == UserNamespace::Host {
        mistakes.push((
            Severity::Error,
            place(settings, &["UserNS"], |_| true),
            "'UserNS' cannot be 'host' without root: a user has all rights in a namespace of their own only".to_owned(),
            "leave it out, and the container's root is you",
        ));
    }
    if !container.devices.is_empty() {
        mistakes.push((
            Severity::Error,
            place(settings, &["AddDevice"], |_| true),
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
            place(settings, &["Volume", "Mount"], |text| {
                text.contains("slave") || text.contains("shared")
            }),
            "'Volume' cannot be 'rslave' or 'rshared' without root: a user's container sees what is mounted when it starts".to_owned(),
            "leave the option out",
        ));
    }
    let ports = definition.sockets.iter().flat_map(|socket| &socket.listen);
    for port in ports
        .filter_map(|listen| port_of(&listen.address))
        .filter(|port| *port < FIRST_PORT)
    {
        let (written, keys) = (port.to_string(), ["PublishPort", "ListenStream", "ListenDatagram"]);
        mistakes.push((
            Severity::Warning,
            place(settings, &keys, |text| text.split([':', '/', '-']).any(|part| part == written)),
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
