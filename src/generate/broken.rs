//! What a definition with errors becomes: a service that cannot start and says why.
//!
//! `NAME.json` holds the diagnostics instead of a container, and the shim, started by the same `ExecStart=` as ever, prints them and
//! exits 78 (`EX_CONFIG`). So nothing that a broken definition says is ever carried out in a container.
//!
//! Where the mistakes are about something else, the sockets are written as without them, since a port does not die of a typo and a reload: clients
//! wait in the queue, and what they start fails and is tried again after the same pauses as any container that cannot start, until the file is
//! mended. That service is the container's own in all that systemd does with one that runs already; but it wants no other unit, runs no
//! command of the user's, and reads nothing, so that it comes to say what is wrong.
//!
//! Everywhere else it has no socket, and is a oneshot: `systemctl start` waits for its end and fails, and `systemctl status` shows the text.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::definition::Resolved;
use crate::definition::diagnostic::Severity;
use crate::generate::draft::{Draft, Fate, json};
use crate::generate::service::Lines;
use crate::generate::{Context, proxy, service, socket, unit_section};
use crate::unitfile::{UnitFile, quote};

/// A definition that cannot be started, and what becomes of its sockets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The service, by which it is spoken of.
    pub unit: String,
    /// The file in which the shim would find the container.
    #[serde(skip)]
    pub resolved: String,
    /// The socket units that are made: who connects waits, or is closed where each connection has a container of its own.
    pub open: Vec<String>,
    /// Those that are not made, as far as they were understood.
    pub closed: Vec<String>,
}

impl Broken {
    /// What this definition comes to; nothing if it is sound.
    #[must_use]
    pub fn of(draft: &Draft<'_>) -> Option<Self> {
        let sockets = draft.definition().sockets.iter();
        let sockets = sockets.map(|socket| [&socket.unit, ".socket"].concat()).collect();
        let (open, closed) = match draft.fate() {
            Fate::Sound => return None,
            Fate::Open => (sockets, Vec::new()),
            Fate::Shut => (Vec::new(), sockets),
        };
        Some(Self {
            unit: draft.unit(),
            resolved: [&draft.stem, ".json"].concat(),
            open,
            closed,
        })
    }
}

/// Whether this text of a `NAME.json` is a list of mistakes, and no container.
#[must_use]
pub fn is_broken(resolved: &str) -> bool {
    resolved.starts_with("{\"broken\":")
}

/// Whether it is a container. A text that systemd's generators are just writing is neither.
#[must_use]
pub fn is_sound(resolved: &str) -> bool {
    resolved.starts_with("{\"container\":")
}

/// Drafts the sockets of a broken definition, and what they start.
pub fn draft(draft: &mut Draft<'_>, context: &Context) {
    let definition = draft.definition();
    for one in &definition.sockets {
        socket::draft(draft, one, context);
    }
    if definition.is_proxied() {
        proxy::draft(draft, context);
    }
    let (description, reasons) = said(draft.failing_stem(), &[draft]);
    let unit = unit_section::failing(definition, description);
    let mut given = service::given(&definition.passthrough.service);
    given.retain(|(key, _)| is_harmless(key));
    let service = service::section(draft, given, Lines::new(), context);
    service::add(draft, &unit, &service);
    draft.add([&draft.stem, ".json"].concat(), reasons);
}

/// Whether a line of `[Service]` stays: limits do, for a container that runs.
fn is_harmless(key: &str) -> bool {
    // What is said is for the journal.
    let others = ["Exec", "OpenFile", "Standard"];
    !others.iter().any(|other| key.starts_with(other)) && !key.contains("Credential")
}

/// Those that have nothing but a service, by the service that each becomes: two definitions that claim one name share it.
#[must_use]
pub fn by_stem<'a>(drafts: &'a [Draft<'_>]) -> BTreeMap<&'a str, Vec<&'a Draft<'a>>> {
    let mut stems: BTreeMap<&str, Vec<&Draft<'_>>> = BTreeMap::new();
    for draft in drafts.iter().filter(|draft| draft.fate() == Fate::Shut) {
        stems.entry(draft.failing_stem()).or_default().push(draft);
    }
    stems
}

/// The service and its reasons.
#[must_use]
pub fn files(stem: &str, drafts: &[&Draft<'_>], context: &Context) -> [(String, String); 2] {
    let (description, reasons) = said(stem, drafts);
    let source = drafts
        .first()
        .map(|draft| unit_section::source_path(draft.definition()));
    let unit = [
        ("Description", description),
        ("SourcePath", source.unwrap_or_default()),
        ("StartLimitIntervalSec", "0".to_owned()),
    ];
    let service = [
        ("Type", "oneshot".to_owned()),
        // The shim's status text stands in `systemctl status` at once, when its lines are still on their way to the journal.
        ("NotifyAccess", "main".to_owned()),
        ("ExecStart", service::exec_start(stem, context)),
        ("SyslogIdentifier", service::syslog_identifier(stem)),
        ("Restart", "no".to_owned()),
    ];
    let mut file = UnitFile::new(service::COMMENT);
    file.section("Unit", unit.iter().map(|(key, value)| (*key, value.as_str())));
    file.section("Service", service.iter().map(|(key, value)| (*key, value.as_str())));
    [
        (format!("{stem}.service"), file.into_text()),
        (format!("{stem}.json"), reasons),
    ]
}

/// `Description=` and `NAME.json`.
fn said(stem: &str, drafts: &[&Draft<'_>]) -> (String, String) {
    let diagnostics = || drafts.iter().flat_map(|draft| &draft.diagnostics);
    let reasons = diagnostics().map(ToString::to_string).collect();
    let mistakes = diagnostics().filter(|d| d.severity == Severity::Error).count();
    let sources: Vec<String> = drafts
        .iter()
        .map(|draft| draft.definition().source.display().to_string())
        .collect();
    let noun = if mistakes == 1 { "mistake" } else { "mistakes" };
    let description = format!("{stem}, not startable: {mistakes} {noun} in {}", sources.join(" and "));
    let description = quote::text(&description).into_owned();
    // Strings only: nothing that JSON cannot hold.
    (description, json(&Resolved::Broken(reasons)).unwrap_or_default())
}
