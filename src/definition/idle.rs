//! `IdleTimeout=` and what goes with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::definition::{Activation, Definition};

/// When a container stops by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// `IdleTimeout=`, in milliseconds.
    pub timeout: u64,
    /// `IdleIgnoresCpu=`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignores_cpu: bool,
    /// How long the program may then take to stop, in milliseconds: `StopTimeout=`. For ever where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u64>,
}

impl Idle {
    /// The shortest span, in milliseconds. A container that is started and stopped more often than some ten times a second would come
    /// near the limit of starts at which systemd gives a socket up (`TriggerLimitBurst=`, systemd.socket(5)).
    pub const SHORTEST: u64 = 250;

    /// The default of `StopTimeout=`, as of systemd's `DefaultTimeoutStopSec=`.
    pub const STOP_TIMEOUT: u64 = 90_000;

    /// The span.
    #[must_use]
    pub fn span(&self) -> Duration {
        Duration::from_millis(self.timeout)
    }
}

impl Definition {
    /// When the container's init stops it by itself: where the program has systemd's own sockets, since only those can be watched.
    #[must_use]
    pub fn watched(&self) -> Option<Idle> {
        let activation = self.container.activation.unwrap_or(Activation::Intercept);
        let idle = self.container.idle.as_ref();
        idle.filter(|_| matches!(activation, Activation::Intercept | Activation::Inherit))
            .copied()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature.
fn is_false(value: &bool) -> bool {
    !value
}
