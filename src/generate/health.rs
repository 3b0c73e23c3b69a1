//! What a service says because of its health checks.

use crate::definition::health::{Health, OnFailure};
use crate::definition::{Definition, Notify};
use crate::generate::service::Lines;

/// systemd's `DefaultTimeoutStartSec=`, in milliseconds; a start that waits for a check is not given less.
const TIMEOUT: u64 = 90_000;

/// What building the container and the program's first steps may take besides, in milliseconds.
const BEGINNING: u64 = 30_000;

/// From here on nobody waits for the end: ten years, in milliseconds.
const FOR_EVER: u64 = 315_576_000_000;

/// `TimeoutStartSec=` of a start that waits for a check: until it is known how the program is. `given` are the user's lines.
#[must_use]
pub fn timeout(definition: &Definition, given: &Lines<'_>) -> Lines<'static> {
    let waits = definition.container.notify == Some(Notify::Healthy);
    let is_given = given
        .iter()
        .any(|(key, _)| matches!(*key, "TimeoutStartSec" | "TimeoutSec"));
    match &definition.container.health {
        Some(health) if waits && !is_given => {
            let span = health.patience().saturating_add(BEGINNING).max(TIMEOUT);
            let text = match span {
                0..FOR_EVER => format!("{}s", span.div_ceil(1000)),
                _ => "infinity".to_owned(),
            };
            vec![("TimeoutStartSec", text.into())]
        }
        _ => Lines::new(),
    }
}

/// The status with which init asks to be started again, whatever `Restart=` says. A connection is served once.
#[must_use]
pub fn restart(definition: &Definition) -> Lines<'static> {
    let asks = |health: &Health| {
        let by_startup = health.startup.as_ref().is_some_and(|startup| startup.retries > 0);
        health.on_failure == OnFailure::Restart || by_startup
    };
    match &definition.container.health {
        Some(health) if asks(health) && !definition.accepts() => {
            vec![("RestartForceExitStatus", Health::RESTART.to_string().into())]
        }
        _ => Lines::new(),
    }
}
