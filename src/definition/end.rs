//! `SuccessExitStatus=` of `[Service]`: which ends of the program systemd takes for success, and so does not pause after.

use serde::{Deserialize, Serialize};

use crate::unitfile::line::Line;

/// Which ends are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CleanEnds {
    /// Those that always are: status 0, and the signals that ask for an end.
    #[default]
    Usual,
    /// Some others too. Which, is not looked at: any may be one.
    More,
}

impl CleanEnds {
    /// What these lines of `[Service]` make of it.
    #[must_use]
    pub fn of(service: &[Line]) -> Self {
        let mut lines = service.iter().filter(|line| line.key() == "SuccessExitStatus");
        // An empty one takes back all before it.
        match lines.next_back() {
            Some(last) if !last.value().trim().is_empty() => Self::More,
            _ => Self::Usual,
        }
    }

    /// Whether there is nothing to be said of it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
