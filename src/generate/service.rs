//! `NAME.service`.
//!
//! The defaults close the traps that kill a socket unit: a payload that cannot start leaves its clients waiting in the queue, and the
//! next try serves them. So there is no start limit, a pause between tries, no dependency that can fail but the own sockets. Whatever a
//! user writes against that did not come so far ([`crate::definition::keys::refused`]): what is left of `[Service]` goes through to
//! systemd, and its keys replace ours.

use std::borrow::Cow;

use crate::definition::network::Network;
use crate::definition::{Definition, Root};
use crate::generate::condition::Conditions;
use crate::generate::draft::Draft;
use crate::generate::{Context, accept, credential, health, proxy, reload, unit_section};
use crate::plan::device;
use crate::unitfile::line::Line;
use crate::unitfile::{UnitFile, name, quote};

/// The first line of every unit.
pub const COMMENT: &str =
    "Made by coracle-generator at each daemon-reload; change the file named in SourcePath= instead.";

/// A section as it grows: keys and values, most of which are our own words or the user's as they are.
pub type Lines<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// Adds `NAME.service` to the draft.
pub fn draft(draft: &mut Draft<'_>, context: &Context) {
    let definition = draft.definition();
    let unit = unit_section::service(definition, context);
    let given = given(&definition.passthrough.service);
    let credentials = credential::lines(definition, context);
    add(draft, &unit, &section(draft, given, credentials, context));
}

/// Adds the service with these lines: one, or one for each socket.
pub fn add(draft: &mut Draft<'_>, unit: &Lines<'_>, service: &Lines<'_>) {
    let mut file = UnitFile::new(COMMENT);
    file.section("Unit", pairs(unit));
    file.section("Service", pairs(service));
    let text = file.into_text();
    if draft.definition().accepts() {
        for name in accept::services(draft.definition()) {
            draft.add(name, text.clone());
        }
    } else {
        draft.add(draft.unit(), text);
    }
}

/// `ExecStart=` of every service, broken ones too: the resolved definition, and `%n` because only systemd knows the instance.
#[must_use]
pub fn exec_start(stem: &str, context: &Context) -> String {
    let json = context.output_directory.join([stem, ".json"].concat());
    [&path_word(&context.shim), " ", &path_word(&json), " %n"].concat()
}

/// `SyslogIdentifier=`: without it the journal would name every container's lines after the shim.
#[must_use]
pub fn syslog_identifier(stem: &str) -> String {
    instance_of(&quote::text(stem)).into_owned()
}

/// `Description=` where the user gives none.
#[must_use]
pub fn description(definition: &Definition) -> String {
    let root = match &definition.container.root {
        Root::Image(image) => Cow::Borrowed(image.as_str()),
        Root::Rootfs(path) => path.to_string_lossy(),
    };
    let (name, root) = (quote::text(&definition.name), quote::specifiers(&root));
    match root.is_empty() {
        // A mistake: what it was to be is not known.
        true => ["Container ", &instance_of(&name)].concat(),
        false => ["Container ", &instance_of(&name), " (", &root, ")"].concat(),
    }
}

/// The name of a template's unit as its instances see it: `web@` becomes `web@%i`.
#[must_use]
pub fn instance_of(stem: &str) -> Cow<'_, str> {
    name::instantiate(stem, "%i")
}

/// What the user gave, over the defaults: a key stands once, in the place of the default and with the user's last value.
#[must_use]
pub fn over_defaults<'a>(defaults: Lines<'a>, given: Lines<'a>) -> Lines<'a> {
    let count = defaults.len();
    let mut lines = defaults;
    for (key, value) in given {
        match lines[..count].iter_mut().find(|(default, _)| *default == key) {
            Some((_, default)) => *default = value,
            None => lines.push((key, value)),
        }
    }
    lines
}

/// The lines as [`UnitFile::section`] takes them.
pub fn pairs<'l>(lines: &'l Lines<'_>) -> impl Iterator<Item = (&'l str, &'l str)> {
    lines.iter().map(|(key, value)| (*key, value.as_ref()))
}

/// The user's lines of a section.
#[must_use]
pub fn given(lines: &[Line]) -> Lines<'_> {
    lines.iter().map(|line| (line.key(), line.value().into())).collect()
}

/// A path as a word of a command.
#[must_use]
pub fn path_word(path: &std::path::Path) -> String {
    quote::command_word(&path.to_string_lossy()).into_owned()
}

/// `[Service]`, with the lines that were given, and those by which systemd finds credentials.
#[must_use]
pub fn section<'a>(draft: &Draft<'a>, given: Lines<'a>, credentials: Lines<'a>, context: &Context) -> Lines<'a> {
    let definition = draft.definition();
    let conditions = Conditions::of(definition, context);
    let exec_start = [exec_start(&draft.stem, context), conditions.arguments()].concat();
    let mut defaults: Lines<'_> = vec![
        ("Type", reload::service_type(definition, context).into()),
        ("NotifyAccess", "main".into()),
        ("ExecStart", exec_start.into()),
        // SIGTERM to init alone, which forwards the image's own stop signal; SIGKILL to all that is left.
        ("KillMode", "mixed".into()),
        ("Slice", "coracle.slice".into()),
    ];
    if definition.accepts() {
        defaults.push(("SyslogIdentifier", syslog_identifier(&definition.name).into()));
        defaults.extend(accept::service(&given));
    } else {
        defaults.push(("SyslogIdentifier", syslog_identifier(&draft.stem).into()));
        defaults.push(("Restart", "on-failure".into()));
        defaults.extend(restart_pause(&given, context));
    }
    defaults.extend(health::timeout(definition, &given));
    defaults.extend(reload::lines(definition, &draft.stem, context));
    let allowed = device::allowed(&definition.container);
    if allowed.is_some() {
        defaults.push(("DevicePolicy", "closed".into()));
    }
    let mut lines = over_defaults(defaults, given);
    // Added to the user's own.
    lines.extend(allowed.into_iter().flatten().map(|device| ("DeviceAllow", device)));
    let always = lines
        .iter()
        .any(|(key, value)| *key == "Restart" && value.trim() == "always");
    if definition.watched().is_some() && always {
        // Status 0 says that nobody uses the container, which is no reason to start it again. Where it is none anyhow this is not said: a
        // program that ends with it before it is ready has failed, and the next try must come after a pause.
        lines.push(("RestartPreventExitStatus", "0".into()));
    }
    lines.extend(health::restart(definition));
    lines.extend(credentials);
    lines.extend(proxy::pin(definition, context.scope));
    // After the user's own, so that an empty `ExecStopPost=` resets those and not ours. It runs after every stop, `kill -9` too. An
    // image's volumes lie beside the writable layer, so even a container without one may leave something.
    let command = ["-", &path_word(&context.shim), " --cleanup %n"].concat();
    // What a killed one has left of a network nobody else would come for; where nothing is left, the second does nothing.
    let times = if is_on_bridges(definition) { 2 } else { 1 };
    lines.extend(std::iter::repeat_n(("ExecStopPost", command.into()), times));
    lines
}

/// Whether the container has interfaces on bridges.
#[must_use]
pub fn is_on_bridges(definition: &Definition) -> bool {
    matches!(definition.container.network, Network::Bridges(_))
}

/// The pause between two tries, growing where systemd can do that. The counter is only reset by a stop, so the longest pause is also
/// what a container that crashes once a week would come to: it is kept short.
#[must_use]
pub fn restart_pause(given: &Lines<'_>, context: &Context) -> Lines<'static> {
    let own = given.iter().any(|(key, _)| *key == "RestartSec");
    match (own, context.systemd_version) {
        (true, _) => Lines::new(),
        (false, 254..) => vec![
            ("RestartSec", "100ms".into()),
            ("RestartSteps", "7".into()),
            ("RestartMaxDelaySec", "10s".into()),
        ],
        (false, _) => vec![("RestartSec", "2s".into())],
    }
}
