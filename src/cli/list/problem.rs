//! What is wrong with a socket, and the command that mends it. Nothing here asks anybody.

use serde::Serialize;

use crate::systemd::look::Unit;

/// Why a socket serves nobody, or not all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) struct Problem {
    /// In one word.
    pub(in crate::cli) kind: Kind,
    /// In one sentence.
    pub(in crate::cli) text: String,
    /// A command, without `--user`.
    pub(in crate::cli) mend: &'static str,
}

/// Which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum Kind {
    /// The unit has failed: each connection is refused.
    Dead,
    /// The unit claims to listen where nobody does: its file was changed and read, and the socket not made anew.
    Stale,
    /// The container runs, and would serve it, but it is not open.
    Closed,
}

impl Kind {
    pub(in crate::cli) fn word(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Stale => "stale",
            Self::Closed => "closed",
        }
    }
}

/// What is wrong with the socket unit `name`, whose container is `service`.
pub(in crate::cli) fn problem(
    (name, socket): (&str, &Unit),
    (service_name, service): (&str, Option<&Unit>),
) -> Option<Problem> {
    let (kind, text, mend) = match socket.active.as_str() {
        "failed" => (
            Kind::Dead,
            format!(
                "'{name}' is dead: it has failed ({}), and each connection is refused",
                socket.result
            ),
            "coracle apply",
        ),
        // systemd has closed what no file of its own speaks of any more, and calls the unit listening.
        "active" if socket.load == "not-found" => (
            Kind::Stale,
            format!(
                "'{name}' is stale: at the last reload its definition had mistakes, and each connection is refused"
            ),
            "coracle apply",
        ),
        "active" if !socket.silent.is_empty() => (
            Kind::Stale,
            format!("'{name}' is stale: nobody listens on {}", socket.silent.join(", ")),
            "coracle apply",
        ),
        "inactive" if service.is_some_and(Unit::is_up) => (
            Kind::Closed,
            format!("'{name}' is closed: '{service_name}' runs without it"),
            "coracle apply --restart",
        ),
        _ => return None,
    };
    Some(Problem { kind, text, mend })
}

#[cfg(test)]
mod tests {
    use super::{Kind, problem};
    use crate::systemd::look::Unit;

    fn unit(active: &str) -> Unit {
        Unit {
            active: active.into(),
            ..Unit::default()
        }
    }

    #[test]
    fn a_socket_is_dead_stale_closed_or_well() {
        let kind = |socket: &Unit, service: Option<&Unit>| {
            problem(("web.socket", socket), ("web.service", service)).map(|problem| problem.kind)
        };
        let stale = Unit {
            silent: vec!["[::]:80".to_owned()],
            ..unit("active")
        };
        let lost = Unit {
            load: "not-found".to_owned(),
            ..unit("active")
        };
        assert_eq!(kind(&lost, None), Some(Kind::Stale));
        let (up, down) = (unit("active"), unit("inactive"));
        assert_eq!(kind(&unit("failed"), Some(&up)), Some(Kind::Dead));
        assert_eq!(kind(&stale, None), Some(Kind::Stale));
        assert_eq!(kind(&down, Some(&up)), Some(Kind::Closed));
        for service in [None, Some(&down), Some(&up)] {
            assert_eq!(kind(&up, service), None);
        }
        assert_eq!(kind(&down, Some(&down)), None);
    }
}
