//! What starts a container, and what follows from `Activation=` for how it gets its sockets.

use crate::definition::{Activation, Definition};

impl Activation {
    /// Whether the program gets descriptors, and is told of them by `$LISTEN_FDS`.
    #[must_use]
    pub fn hands_over(self) -> bool {
        matches!(self, Self::Inherit | Self::Accept)
    }
}

impl Definition {
    /// Whether each connection has a container of its own.
    #[must_use]
    pub fn accepts(&self) -> bool {
        self.container.activation == Some(Activation::Accept)
    }

    /// Whether systemd-socket-proxyd(8) stands between the sockets and the program.
    #[must_use]
    pub fn is_proxied(&self) -> bool {
        self.container.activation == Some(Activation::Proxy)
    }

    /// The units that start the container, as stem and type: its sockets and its timer, so that nothing runs before somebody connects
    /// or the time comes; its service where it has neither.
    #[must_use]
    pub fn wakers(&self) -> Vec<(&str, &'static str)> {
        let mut wakers: Vec<(&str, &str)> = self
            .sockets
            .iter()
            .map(|socket| (socket.unit.as_str(), "socket"))
            .collect();
        if !self.passthrough.timer.is_empty() {
            wakers.push((self.stem(), "timer"));
        }
        if wakers.is_empty() {
            wakers.push((self.stem(), "service"));
        }
        wakers
    }
}
