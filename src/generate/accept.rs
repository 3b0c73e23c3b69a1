//! What is different where each connection has a container of its own (`Activation=accept`): `NAME.socket` accepts, and `NAME@.service` is
//! the template of which systemd makes an instance for each connection.
//!
//! Nothing is tried again, since the connection is gone with the one who had it: a container that cannot start closes it. And nothing
//! stays of one that has failed but its lines in the journal.

use crate::definition::Definition;
use crate::generate::service::Lines;

/// The names of the services: one for each socket, since systemd names an instance after the socket's unit and not after ours.
#[must_use]
pub fn services(definition: &Definition) -> Vec<String> {
    let sockets = definition.sockets.iter();
    sockets.map(|socket| [&socket.unit, "@.service"].concat()).collect()
}

/// `[Unit]` of the service.
#[must_use]
pub fn unit() -> Lines<'static> {
    vec![("CollectMode", "inactive-or-failed".into())]
}

/// `[Service]`, with the lines that were given.
#[must_use]
pub fn service(given: &Lines<'_>) -> Lines<'static> {
    let says = |key: &str| {
        given
            .iter()
            .rfind(|(name, _)| *name == key)
            .map(|(_, value)| value.trim())
    };
    if says("StandardInput") != Some("socket") {
        return Lines::new();
    }
    // What the program says to its standard error, and all that the shim says, is for the journal and not for the client.
    let both = [("StandardOutput", "socket"), ("StandardError", "journal")];
    let both = both.into_iter().filter(|(key, _)| says(key).is_none());
    both.map(|(key, value)| (key, value.into())).collect()
}

/// `[Socket]`.
#[must_use]
pub fn socket() -> Lines<'static> {
    vec![
        ("Accept", "yes".into()),
        // The fuse is for a service that leaves its connections in the queue. Here each start takes one out of it, and a storm of them would
        // close the port for good; what bounds them is MaxConnections=.
        ("TriggerLimitIntervalSec", "0".into()),
    ]
}
