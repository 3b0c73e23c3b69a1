//! `Ulimit=`: a resource limit in Podman's words becomes the service's own `Limit…=`, which systemd sets before the shim starts.
//!
//! So there is one place where a container's limits are to be seen, `systemctl show`, and one that enforces them.

use crate::definition::diagnostic::Severity;
use crate::definition::keys::{self, Key};
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::resolve::systemd::Given;
use crate::definition::setting::Setting;
use crate::unitfile::line::Line;

/// Podman's names, and systemd's (systemd.exec(5), "Process Properties"). Numbers mean the same to both.
const LIMITS: [(&str, &str); 15] = [
    ("core", "LimitCORE"),
    ("cpu", "LimitCPU"),
    ("data", "LimitDATA"),
    ("fsize", "LimitFSIZE"),
    ("locks", "LimitLOCKS"),
    ("memlock", "LimitMEMLOCK"),
    ("msgqueue", "LimitMSGQUEUE"),
    ("nice", "LimitNICE"),
    ("nofile", "LimitNOFILE"),
    ("nproc", "LimitNPROC"),
    ("rss", "LimitRSS"),
    ("rtprio", "LimitRTPRIO"),
    ("rttime", "LimitRTTIME"),
    ("sigpending", "LimitSIGPENDING"),
    ("stack", "LimitSTACK"),
];

impl Resolver<'_, '_> {
    /// The lines of `[Service]` that `NAME=SOFT[:HARD]` stands for.
    pub(super) fn limits(&mut self, key: &Key, setting: &Setting<'_>) -> Vec<Given> {
        let texts = self.texts(key, &setting.value);
        let mut lines = Vec::with_capacity(texts.len());
        for (text, span) in texts {
            lines.extend(self.limit(key, &text, span).map(|line| Given {
                line,
                key: setting.key_span,
                value: span,
            }));
        }
        lines
    }

    fn limit(&mut self, key: &Key, text: &str, span: Span) -> Option<Line> {
        let Some((name, value)) = text.split_once('=') else {
            let why = format!("'{text}' has no '=', write for example nofile=1024:4096");
            self.impossible(key, span, why);
            return None;
        };
        let lower = name.to_ascii_lowercase();
        let bare = lower.strip_prefix("rlimit_").unwrap_or(&lower);
        let Some((_, directive)) = LIMITS.iter().find(|(known, _)| *known == bare) else {
            let near = keys::nearest_of(bare, LIMITS.iter().map(|(known, _)| *known));
            let suggestion = near.map(|near| format!("did you mean '{near}'?"));
            let message = format!("'{}': unknown resource '{name}'", key.name);
            self.report.say(Severity::Error, span, message, suggestion);
            return None;
        };
        let Some((soft, hard)) = values(value) else {
            let why =
                format!("'{value}' is no limit: write a number, -1 for none, or two with a colon, the lower one first");
            self.impossible(key, span, why);
            return None;
        };
        let value = if soft == hard { soft } else { format!("{soft}:{hard}") };
        Line::new(directive, value).ok()
    }
}

/// Both limits as systemd reads them.
fn values(text: &str) -> Option<(String, String)> {
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let (soft, hard) = (value(soft)?, value(hard)?);
    let write = |limit: Option<u64>| limit.map_or_else(|| "infinity".to_owned(), |limit| limit.to_string());
    let is_in_order = hard.is_none_or(|hard| soft.is_some_and(|soft| soft <= hard));
    is_in_order.then(|| (write(soft), write(hard)))
}

/// `None` inside stands for no limit.
fn value(text: &str) -> Option<Option<u64>> {
    match text {
        "-1" | "unlimited" | "infinity" => Some(None),
        // The greatest number is the kernel's word for no limit.
        _ if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok().filter(|&n| n != u64::MAX).map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::values;

    #[test]
    fn limits_are_numbers_in_order() {
        let of = |text| values(text).map(|(soft, hard)| format!("{soft}:{hard}"));
        assert_eq!(of("1024").as_deref(), Some("1024:1024"));
        assert_eq!(of("0:-1").as_deref(), Some("0:infinity"));
        assert_eq!(of("unlimited").as_deref(), Some("infinity:infinity"));
        for text in [
            "",
            "x",
            "1:",
            ":1",
            "2:1",
            "-1:1",
            "-2",
            "+1",
            "1k",
            "1:2:3",
            "18446744073709551615",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
