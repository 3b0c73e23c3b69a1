//! init's part of `systemctl reload` where the payload itself speaks to systemd (`Notify=yes`, `ReloadSignal=`).
//!
//! systemd waits for `RELOADING=1` and then `READY=1` (sd_notify(3)). A payload that knows both says so; one that knows readiness only would let the
//! reload fail at its timeout. So init says the first word, and the second one too where the payload has not begun to speak within a moment.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// How long a payload may take to say that it reloads.
const ANSWER: Duration = Duration::from_secs(1);

/// How far a reload is.
#[derive(Debug)]
pub struct Reloading {
    signal: i32,
    /// When the payload is taken for one that says nothing.
    silent_at: Option<Instant>,
}

impl Reloading {
    /// For a payload that is made to reload by this signal.
    #[must_use]
    pub fn by(signal: i32) -> Self {
        Self {
            signal,
            silent_at: None,
        }
    }

    /// What systemd is to be told when a signal has come, before it is passed on; nothing if it is another one.
    pub fn begin(&mut self, signal: i32) -> Option<String> {
        if signal != self.signal {
            return None;
        }
        self.silent_at = Some(Instant::now() + ANSWER);
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        Some(format!("RELOADING=1\nMONOTONIC_USEC={}\n", now.as_micros()))
    }

    /// Takes note of what the payload says.
    pub fn hear(&mut self, lines: &str) {
        if lines.lines().any(|line| matches!(line, "RELOADING=1" | "READY=1")) {
            self.silent_at = None;
        }
    }

    /// When something is to be said.
    #[must_use]
    pub fn due_at(&self) -> Option<Instant> {
        self.silent_at
    }

    /// What is to be said by now, for a payload that says nothing.
    pub fn due(&mut self, now: Instant) -> Option<&'static str> {
        self.silent_at
            .take_if(|silent_at| *silent_at <= now)
            .map(|_| "READY=1\n")
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Reloading;

    #[test]
    fn a_payload_that_says_nothing_is_spoken_for() {
        let mut reloading = Reloading::by(libc::SIGHUP);
        assert!(reloading.begin(libc::SIGUSR1).is_none() && reloading.due_at().is_none());
        let said = reloading.begin(libc::SIGHUP).unwrap();
        assert!(
            said.starts_with("RELOADING=1\nMONOTONIC_USEC=") && !said.contains("=0\n"),
            "{said}"
        );
        let later = Instant::now() + Duration::from_secs(2);
        assert_eq!(reloading.due(Instant::now()), None);
        assert_eq!((reloading.due(later), reloading.due(later)), (Some("READY=1\n"), None));
    }

    #[test]
    fn one_that_speaks_is_waited_for() {
        let mut reloading = Reloading::by(libc::SIGHUP);
        reloading.begin(libc::SIGHUP);
        reloading.hear("STATUS=x\n");
        assert!(reloading.due_at().is_some());
        reloading.hear("STATUS=x\nRELOADING=1\n");
        assert!(reloading.due(Instant::now() + Duration::from_secs(9)).is_none());
    }
}
