//! What follows from `Activation=` for how a program gets its sockets.

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
}
