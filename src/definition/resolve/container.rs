//! `[Container]`: each key that is carried out, and what it sets.

use std::path::PathBuf;

use crate::definition::diagnostic::Severity;
use crate::definition::keys::{self, Key};
use crate::definition::name;
use crate::definition::report::Span;
use crate::definition::resolve::ports::publish;
use crate::definition::resolve::{Resolver, Tried};
use crate::definition::setting::{Data, Setting, Value};
use crate::definition::{Activation, Container, Definition, Listen, Network, Notify, Root};

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

/// `[Container]` so far.
#[derive(Default)]
pub(super) struct Draft {
    container: Container,
    image: Option<(String, Span)>,
    rootfs: Option<(String, Span)>,
    ports: Vec<(Listen, Span)>,
    memory: Option<String>,
    pids_limit: Option<String>,
    stop_timeout: Option<String>,
    service_name: Option<String>,
}

/// Appends unless the value takes back what is there.
fn add<T>(list: &mut Vec<T>, value: &Value<'_>, new: impl IntoIterator<Item = T>) {
    if value.is_reset() {
        list.clear();
    }
    list.extend(new);
}

impl Draft {
    /// Takes one setting of a key that is carried out.
    pub(super) fn set(&mut self, key: &Key, setting: &Setting<'_>, to: &mut Resolver<'_, '_>) {
        let value = &setting.value;
        let container = &mut self.container;
        // What an empty value takes back is the same for all keys that are given once.
        let reset = value.is_reset();
        match key.name {
            "Image" => self.image = once(reset, || image(to, key, value)),
            "Rootfs" => self.rootfs = once(reset, || rootfs(to, key, value)),
            "Entrypoint" => container.entrypoint = once(reset, || to.command(key, value)),
            "Exec" => container.exec = once(reset, || to.command(key, value)),
            "Environment" => {
                let pairs = if reset { Vec::new() } else { to.pairs(key, value) };
                add(&mut container.environment, value, pairs);
            }
            "Label" | "Annotation" => {
                let pairs = if reset { Vec::new() } else { to.pairs(key, value) };
                add(&mut container.labels, value, pairs);
            }
            "WorkingDir" => container.working_dir = once(reset, || to.absolute(key, value)),
            "User" => container.user = once(reset, || user(to, key, value)),
            "Group" => container.group = once(reset, || group(to, key, value)),
            "HostName" => container.hostname = once(reset, || hostname(to, key, value)),
            "Volume" => {
                let new = each(reset, to, key, value, Resolver::volume);
                add(&mut container.volumes, value, new);
            }
            "Tmpfs" => {
                let new = each(reset, to, key, value, Resolver::tmpfs);
                add(&mut container.tmpfs, value, new);
            }
            "ReadOnly" => container.read_only = once(reset, || to.boolean(key, value)).unwrap_or_default(),
            "AddCapability" => {
                let new = capabilities(reset, to, key, value);
                add(&mut container.add_capability, value, new);
            }
            "DropCapability" => {
                let new = capabilities(reset, to, key, value);
                add(&mut container.drop_capability, value, new);
            }
            "Network" => container.network = once(reset, || network(to, key, value)).unwrap_or_default(),
            "StopSignal" => container.stop_signal = once(reset, || signal(to, key, value)),
            "StopTimeout" => self.stop_timeout = once(reset, || to.time_span(key, value)),
            "Memory" => self.memory = once(reset, || to.size(key, value)),
            "PidsLimit" => self.pids_limit = once(reset, || pids_limit(to, key, value)),
            "ServiceName" => self.service_name = once(reset, || service_name(to, key, value)),
            "PublishPort" => {
                let new = each(reset, to, key, value, published);
                add(&mut self.ports, value, new.into_iter().flatten());
            }
            "Activation" => container.activation = once(reset, || activation(to, key, value)),
            "Notify" => container.notify = once(reset, || notify(to, key, value)),
            "NoNewPrivileges" | "RunInit" if !reset => {
                if to.boolean(key, value) == Some(false) {
                    let message = format!("'{}' is always true so far, ignoring", key.name);
                    to.report.warning(value.span, message);
                }
            }
            "LogDriver" if !reset => log_driver(to, key, value),
            _ => {}
        }
    }

    /// Puts everything into the definition; what is left are the published ports.
    pub(super) fn finish(self, definition: &mut Definition, to: &mut Resolver<'_, '_>) -> Vec<(Listen, Span)> {
        definition.container = self.container;
        definition.container.root = match (self.image, self.rootfs) {
            (Some((image, _)), None) => Root::Image(image),
            (None, Some((rootfs, _))) => Root::Rootfs(PathBuf::from(rootfs)),
            (Some((image, first)), Some((_, second))) => {
                let message = "a container is made of either Image or Rootfs, remove one of them".to_owned();
                to.report.error(first.max(second), message);
                Root::Image(image)
            }
            (None, None) => Root::default(),
        };
        let service = &mut definition.passthrough.service;
        // In front of what [Service] says itself, so that [Service] has the last word.
        let limits = [
            ("MemoryMax", self.memory),
            ("TasksMax", self.pids_limit),
            ("TimeoutStopSec", self.stop_timeout),
        ];
        let limits = limits
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        service.splice(0..0, limits);
        definition.passthrough.service_name = self.service_name;
        self.ports
    }
}

/// The value of a key that is given once: nothing where it takes back what was set.
fn once<T>(reset: bool, value: impl FnOnce() -> Option<T>) -> Option<T> {
    if reset { None } else { value() }
}

/// The values of a key that is given several times.
fn each<'r, 'a, T>(
    reset: bool,
    to: &mut Resolver<'r, 'a>,
    key: &Key,
    value: &Value<'_>,
    take: impl Fn(&mut Resolver<'r, 'a>, &Key, &str, Span) -> Option<T>,
) -> Vec<T> {
    if reset {
        return Vec::new();
    }
    let texts = to.texts(key, value);
    texts
        .into_iter()
        .filter_map(|(text, span)| take(to, key, &text, span))
        .collect()
}

fn image(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<(String, Span)> {
    to.root = Tried::Yes;
    let text = to.text(key, value)?;
    if text.ends_with(".image") || text.ends_with(".build") {
        to.impossible(
            key,
            value.span,
            format_args!("'{text}' names a unit, which is not carried out yet; name the image itself"),
        );
        return None;
    }
    if text.contains(char::is_whitespace) {
        to.impossible(
            key,
            value.span,
            format_args!("'{text}' holds a space, which no image's name does"),
        );
        return None;
    }
    Some((text.into_owned(), value.span))
}

fn rootfs(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<(String, Span)> {
    to.root = Tried::Yes;
    let path = to.absolute(key, value)?;
    if path.ends_with(":O") || path.ends_with(":idmap") || path.contains(":idmap=") {
        let why = "options of a root directory are not carried out yet, write the path alone (writes go to a layer that vanishes at stop)";
        to.impossible(key, value.span, why);
        return None;
    }
    Some((path, value.span))
}

fn published(to: &mut Resolver<'_, '_>, key: &Key, text: &str, span: Span) -> Option<Vec<(Listen, Span)>> {
    match publish(text) {
        Ok(listens) => Some(listens.into_iter().map(|listen| (listen, span)).collect()),
        Err(mistake) => {
            let message = format!("'{}': {}", key.name, mistake.why);
            to.report.say(Severity::Error, span, message, mistake.suggestion);
            None
        }
    }
}

/// A name or a number, or two of them with a colon between; a number must be one that the kernel takes.
fn user(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<String> {
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

fn group(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<String> {
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

fn is_identity(text: &str) -> bool {
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u32>().is_ok_and(|id| id != u32::MAX);
    }
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '%' | '@' | '\\');
    !text.is_empty() && text.len() <= 256 && !text.starts_with('-') && text.chars().all(is_name)
}

fn hostname(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<String> {
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
fn capabilities(reset: bool, to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Vec<String> {
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

fn network(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<Network> {
    let networks = to.texts(key, value);
    let mut network = None;
    for (text, span) in networks {
        network = match text.as_ref() {
            _ if network.is_some() => {
                to.impossible(key, span, "more than one network is not carried out yet");
                None
            }
            "none" => Some(Network::None),
            "host" => Some(Network::Host),
            _ => {
                let message = format!("'{}' cannot be '{text}' yet, only 'none' or 'host'", key.name);
                let suggestion = Some("PublishPort works with 'none', which is the default".to_owned());
                to.report.say(Severity::Error, span, message, suggestion);
                None
            }
        };
    }
    network
}

fn signal(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<i32> {
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

/// Podman's -1 and 0 mean no limit.
fn pids_limit(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<String> {
    match value.data {
        Data::Integer(-1 | 0) => Some("infinity".to_owned()),
        Data::Integer(limit) if (1..=i128::from(u32::MAX)).contains(&limit) => Some(limit.to_string()),
        Data::Integer(limit) => {
            to.impossible(
                key,
                value.span,
                format_args!("{limit} is no limit, write a number from 1 on, or -1 for none"),
            );
            None
        }
        Data::Text(ref text) if text == "infinity" => Some("infinity".to_owned()),
        _ => {
            to.wrong_type(key, value);
            None
        }
    }
}

fn service_name(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<String> {
    let text = to.text(key, value)?;
    let text = text.strip_suffix(".service").unwrap_or(&text);
    match name::mistake(text) {
        None => Some(text.to_owned()),
        Some(why) => {
            to.impossible(key, value.span, why);
            None
        }
    }
}

fn activation(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<Activation> {
    let modes = [
        ("intercept", Some(Activation::Intercept)),
        ("inherit", Some(Activation::Inherit)),
        ("proxy", None),
        ("accept", None),
    ];
    let mode = to.choice(key, value, &modes)?;
    if mode.is_none() {
        to.impossible(
            key,
            value.span,
            "this mode is not carried out yet, write 'intercept' or 'inherit'",
        );
    }
    mode
}

/// Quadlet's booleans are taken too: true lets the program notify, false does not.
fn notify(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<Notify> {
    if let Data::Boolean(notifies) = value.data {
        return Some(if notifies { Notify::Yes } else { Notify::Started });
    }
    let times = [
        ("listening", Some(Notify::Listening)),
        ("started", Some(Notify::Started)),
        ("yes", Some(Notify::Yes)),
        ("healthy", None),
    ];
    let time = to.choice(key, value, &times)?;
    if time.is_none() {
        to.impossible(
            key,
            value.span,
            "'healthy' is not carried out yet, write 'listening', 'started' or 'yes'",
        );
    }
    time
}

fn log_driver(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) {
    let Some(text) = to.text(key, value) else { return };
    if !matches!(text.as_ref(), "journald" | "passthrough") {
        let message = format!("'{}' is always 'journald', ignoring", key.name);
        let suggestion = Some("use StandardOutput= in [Service] for another place".to_owned());
        to.report.say(Severity::Warning, value.span, message, suggestion);
    }
}
