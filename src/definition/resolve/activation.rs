//! What the way in which a program gets its sockets (`Activation=`) asks of the rest of the definition.
//!
//! With `proxy` each address in the container needs a process of its own, since systemd-socket-proxyd(8) forwards all that it gets to
//! one; so sockets of a unit that lead to several addresses become several units here. With `accept` the service is a template,
//! whose instances systemd names after their connections, and nothing that starts a container without a connection has a meaning.

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Section;
use crate::definition::name;
use crate::definition::report::Span;
use crate::definition::resolve::systemd::{Given, Sections};
use crate::definition::resolve::{Resolver, last};
use crate::definition::setting::{Damage, Settings};
use crate::definition::{Activation, ContainerAddress, Definition, Notify, Socket, SocketKind};
use crate::unitfile::name::escape;

/// Why nothing is forwarded to a path.
const PATHS: &str = "a path in the container is the program's own, and whoever looked it up from outside would follow the program's links";

/// Why nothing is forwarded to a vsock address.
const VSOCK: &str = "those are the whole machine's, and the container has none of its own";

impl Resolver<'_, '_> {
    /// Carries out what `Activation=` means for sockets and sections, and says what does not go with it.
    pub(super) fn activation(&mut self, definition: &mut Definition, sections: &mut Sections, settings: &Settings<'_>) {
        let activation = definition.container.activation;
        if activation != Some(Activation::Accept) {
            self.check_standard_input(definition, &sections.service);
        }
        let (Some(activation @ (Activation::Proxy | Activation::Accept)), Some(setting)) =
            (activation, last(settings, "Activation"))
        else {
            return;
        };
        let span = setting.value.span;
        if definition.sockets.is_empty() && settings.damaged == Damage::None {
            let why = "but there is nothing to connect to";
            self.unfit(activation, span, why, "publish a port with PublishPort");
        }
        for listen in definition.sockets.iter().flat_map(|socket| &socket.listen) {
            if listen.kind != SocketKind::Stream {
                let why = format!("but '{}' is not for connections", listen.address);
                self.unfit(
                    activation,
                    span,
                    &why,
                    "'intercept' and 'inherit' are for sockets of all types",
                );
            }
        }
        match activation {
            Activation::Accept => self.accept(definition, sections, settings, span),
            _ => self.proxy(definition, span),
        }
    }

    /// One unit for each address that is forwarded to.
    fn proxy(&mut self, definition: &mut Definition, span: Span) {
        let mut containers = definition.sockets.iter().flat_map(|socket| &socket.listen);
        let why_not = containers.find_map(|listen| match &listen.container {
            ContainerAddress::Unix(path) if !path.starts_with('@') => Some(format!("but '{path}' is a path: {PATHS}")),
            vsock @ ContainerAddress::Vsock(_) => Some(format!("but '{vsock}' is a vsock address: {VSOCK}")),
            _ => None,
        });
        if let Some(why) = why_not {
            let instead = "let the program bind a port or an abstract name, and name that with ContainerListen";
            self.unfit(Activation::Proxy, span, &why, instead);
        }
        definition.sockets = std::mem::take(&mut definition.sockets)
            .into_iter()
            .flat_map(divide)
            .collect();
        let too_long = |socket: &&Socket| name::mistake(&name::with_suffix(&socket.unit, PROXY)).is_some();
        if let Some(socket) = definition.sockets.iter().find(too_long) {
            let message = format!("the name of the proxy for '{}.socket' would be no unit's", socket.unit);
            self.report.error(span, message);
        }
    }

    /// The service becomes a template, and what goes with a service that runs by itself is left out.
    fn accept(&mut self, definition: &mut Definition, sections: &mut Sections, settings: &Settings<'_>, span: Span) {
        let unfit = |to: &mut Self, why: &str, instead: &str| to.unfit(Activation::Accept, span, why, instead);
        if definition.name.contains('@') {
            let why = "which makes a template of the service, and it cannot be one of a template";
            unfit(self, why, "write a definition for each socket");
        }
        let is_long = |socket: &&Socket| socket.unit.len() > CONNECTION_NAME_MAX;
        if let Some(socket) = definition.sockets.iter().find(is_long) {
            let why = format!(
                "but '{}' is too long a name to have both ends of a connection behind it",
                socket.unit
            );
            unfit(self, &why, "rename the file, or the socket");
        }
        if let Some(name) = &definition.passthrough.service_name {
            let why = format!("but systemd names the service after its socket, and not '{name}' (ServiceName)");
            unfit(self, &why, "rename the file instead");
        }
        if definition.container.notify == Some(Notify::Listening) {
            let why = "but 'Notify' is 'listening', and the program never listens";
            unfit(self, why, "write Notify = \"started\" or \"yes\"");
        }
        if settings.headers.iter().any(|header| header.section == Section::Timer) {
            let why = "and a timer ([Timer]) has no connection to give to a container";
            unfit(self, why, "write a second definition for what the timer starts");
        }
        sections.service.retain(|given| self.is_for_a_connection(given));
        definition.passthrough.service_name = Some([&definition.name, "@"].concat());
    }

    /// Whether a line of `[Service]` means anything where a connection is served once; it is said where not.
    fn is_for_a_connection(&mut self, given: &Given) -> bool {
        let (key, value) = (given.line.key(), given.line.value().trim());
        if !key.starts_with("Restart") {
            return true;
        }
        if !matches!(value, "" | "no") {
            let why = "a container of 'Activation = \"accept\"' serves its connection once";
            self.leave_out(Section::Service, key, given.key, why);
        }
        false
    }

    /// Says that the program would get a listening socket as its standard input.
    fn check_standard_input(&mut self, definition: &Definition, service: &[Given]) {
        let is_socket = |given: &&Given| given.line.key() == "StandardInput" && given.line.value().trim() == "socket";
        if let (Some(given), false) = (service.iter().rfind(is_socket), definition.sockets.is_empty()) {
            let message = "'StandardInput=socket' in [Service] takes the sockets away from the container".to_owned();
            let suggestion = "write Activation = \"accept\" in [Container], which makes it the connection";
            self.report
                .say(Severity::Error, given.value, message, Some(suggestion.to_owned()));
        }
    }

    fn unfit(&mut self, activation: Activation, span: Span, why: &str, instead: &str) {
        let mode = match activation {
            Activation::Accept => "accept",
            _ => "proxy",
        };
        let message = format!("'Activation' is '{mode}', {why}");
        self.report
            .say(Severity::Error, span, message, Some(instead.to_owned()));
    }
}

/// How long the name of a unit may be whose instances systemd calls `NAME@NUMBER-[IPV6]:PORT-[IPV6]:PORT.service`: one that cannot be
/// named would close the socket.
const CONNECTION_NAME_MAX: usize = 128;

/// What is added to the name of a socket's unit to name its proxy's.
const PROXY: &str = "proxy";

/// The unit of a socket as one for each address in the container: the first keeps its name.
fn divide(socket: Socket) -> Vec<Socket> {
    let mut divided: Vec<Socket> = Vec::new();
    for listen in socket.listen {
        let same = divided
            .iter_mut()
            .find(|one| one.listen.iter().any(|other| other.container == listen.container));
        if let Some(same) = same {
            same.listen.push(listen);
            continue;
        }
        let (name, unit) = match divided.is_empty() {
            true => (socket.name.clone(), socket.unit.clone()),
            false => {
                let suffix = escape(listen.container.to_string().trim_start_matches('@').as_bytes());
                // A descriptor's name cannot hold a colon, a unit's can.
                let name = [&socket.name, "-", &suffix.replace(':', "_")].concat();
                (name, name::with_suffix(&socket.unit, &suffix))
            }
        };
        divided.push(Socket {
            name,
            unit,
            listen: vec![listen],
            options: socket.options.clone(),
        });
    }
    divided
}

#[cfg(test)]
mod tests {
    use super::divide;
    use crate::definition::{ContainerAddress, Listen, Socket, SocketKind};

    #[test]
    fn a_unit_for_each_address_in_the_container() {
        let listen = |address: &str, container| Listen {
            kind: SocketKind::Stream,
            address: address.to_owned(),
            container,
        };
        let socket = Socket {
            name: "web".to_owned(),
            unit: "web@".to_owned(),
            listen: vec![
                listen("8080", ContainerAddress::Port(80)),
                listen("8443", ContainerAddress::Port(443)),
                listen("127.0.0.1:81", ContainerAddress::Port(80)),
                listen("90", ContainerAddress::Unix("@a:b".to_owned())),
            ],
            options: Vec::new(),
        };
        let divided = divide(socket);
        let names: Vec<_> = divided
            .iter()
            .map(|one| (one.name.as_str(), one.unit.as_str()))
            .collect();
        assert_eq!(
            names,
            [("web", "web@"), ("web-443", "web-443@"), ("web-a_b", "web-a:b@")]
        );
        assert_eq!(divided[0].listen.len(), 2);
    }
}
