//! Names that the kernel and the image know: users, groups, hosts, capabilities, signals. Nothing is looked up: they are only checked
//! for what they can be.

use crate::definition::diagnostic::Severity;
use crate::definition::keys::{self, Key};
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::setting::Value;

/// capabilities(7), without `CAP_`.
const CAPABILITIES: &[&str] = &[
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// signal(7) on all architectures but Alpha, MIPS, PA-RISC and SPARC, without `SIG`.
const SIGNALS: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The first and the last real-time signal, as glibc counts them.
const REAL_TIME: (i32, i32) = (34, 64);

/// A name or a number, or two of them with a colon between; a number must be one that the kernel takes.
pub(super) fn user(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<String> {
    let text = to.text(key, value)?;
    let parts: Vec<_> = text.split(':').collect();
    if parts.len() <= 2 && parts.iter().all(|part| is_identity(part)) {
        return Some(text.into_owned());
    }
    to.impossible(
        key,
        value.span,
        format_args!("'{text}' is no user, write NAME, NUMBER or USER:GROUP"),
    );
    None
}

pub(super) fn group(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<String> {
    let text = to.text(key, value)?;
    if is_identity(&text) {
        return Some(text.into_owned());
    }
    to.impossible(
        key,
        value.span,
        format_args!("'{text}' is no group, write its name or number"),
    );
    None
}

/// One group of `GroupAdd=`.
pub(super) fn added_group(to: &mut Resolver<'_, '_>, key: &Key, text: &str, span: Span) -> Option<String> {
    let why = match text {
        "keep-groups" => {
            "'keep-groups' would hand over the groups of systemd's process, which mean nothing inside; name the groups"
                .to_owned()
        }
        _ if is_identity(text) => return Some(text.to_owned()),
        _ => format!("'{text}' is no group, write its name or number"),
    };
    to.impossible(key, span, why);
    None
}

fn is_identity(text: &str) -> bool {
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u32>().is_ok_and(|id| id != u32::MAX);
    }
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '%' | '@' | '\\');
    !text.is_empty() && text.len() <= 256 && !text.starts_with('-') && text.chars().all(is_name)
}

pub(super) fn hostname(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<String> {
    let text = to.text(key, value)?;
    let is_label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    // A specifier is known only at the start.
    let is_host_name = text.len() <= 64 && text.chars().all(is_good) && text.split('.').all(is_label);
    if is_host_name || (text.contains('%') && text.chars().all(|c| is_good(c) || c == '%')) {
        return Some(text.into_owned());
    }
    let why = format!("'{text}' is no host name: letters, digits, '-' and '.', at most 64 of them");
    to.impossible(key, value.span, why);
    None
}

/// Names in upper case with `CAP_`, or `all`. Several can stand in one string, as in Quadlet.
pub(super) fn capabilities(reset: bool, to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Vec<String> {
    let mut names = Vec::new();
    if reset {
        return names;
    }
    for (text, span) in to.texts(key, value) {
        for word in text.split_whitespace() {
            let upper = word.to_ascii_uppercase();
            let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if bare == "ALL" {
                names.push("all".to_owned());
            } else if CAPABILITIES.contains(&bare) {
                names.push(format!("CAP_{bare}"));
            } else {
                let near = keys::nearest_of(bare, CAPABILITIES.iter().copied());
                let suggestion = near.map(|near| format!("did you mean 'CAP_{near}'?"));
                let message = format!("'{}': unknown capability '{word}'", key.name);
                to.report.say(Severity::Error, span, message, suggestion);
            }
        }
    }
    names
}

/// A signal by name, with or without `SIG`, or number.
pub(super) fn signal(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<i32> {
    let text = to.text(key, value)?;
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let (first, last) = REAL_TIME;
    let number = match (bare.strip_prefix("RTMIN"), bare.strip_prefix("RTMAX")) {
        (Some(""), _) => Some(first),
        (_, Some("")) => Some(last),
        (Some(offset), _) => offset
            .strip_prefix('+')
            .and_then(|o| o.parse::<u8>().ok())
            .map(|o| first + i32::from(o)),
        (_, Some(offset)) => offset
            .strip_prefix('-')
            .and_then(|o| o.parse::<u8>().ok())
            .map(|o| last - i32::from(o)),
        _ => bare.parse().ok().or_else(|| {
            let named = SIGNALS.iter().find(|(name, _)| *name == bare);
            named.map(|(_, number)| *number)
        }),
    };
    match number {
        Some(number) if (1..=31).contains(&number) || (first..=last).contains(&number) => Some(number),
        _ => {
            let near = keys::nearest_of(bare, SIGNALS.iter().map(|(name, _)| *name));
            let suggestion = near.map(|near| format!("did you mean 'SIG{near}'?"));
            let message = format!("'{}': unknown signal '{text}'", key.name);
            to.report.say(Severity::Error, value.span, message, suggestion);
            None
        }
    }
}
