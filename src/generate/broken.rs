//! What a definition with errors becomes: a service that cannot start and says why.
//!
//! `NAME.json` holds the diagnostics instead of a container, and the shim, started by the same `ExecStart=` as ever, prints them and
//! exits 78 (`EX_CONFIG`). The unit is a oneshot, so `systemctl start` waits for that and fails, and `systemctl status` shows the text.
//! It has no socket: nobody shall wait in the queue of a container that cannot start before its file is mended.

use std::collections::BTreeMap;

use crate::definition::Resolved;
use crate::definition::diagnostic::Severity;
use crate::generate::draft::{Draft, json};
use crate::generate::{Context, service};
use crate::unitfile::{UnitFile, quote};

/// The broken drafts by the service that each becomes: two definitions that claim one name share it.
#[must_use]
pub fn by_stem<'a>(drafts: &'a [Draft<'_>]) -> BTreeMap<&'a str, Vec<&'a Draft<'a>>> {
    let mut stems: BTreeMap<&str, Vec<&Draft<'_>>> = BTreeMap::new();
    for draft in drafts.iter().filter(|draft| draft.is_broken()) {
        stems.entry(draft.failing_stem()).or_default().push(draft);
    }
    stems
}

/// The service and its reasons.
#[must_use]
pub fn files(stem: &str, drafts: &[&Draft<'_>], context: &Context) -> [(String, String); 2] {
    let diagnostics = || drafts.iter().flat_map(|draft| &draft.diagnostics);
    let reasons: Vec<String> = diagnostics().map(ToString::to_string).collect();
    let mistakes = diagnostics().filter(|d| d.severity == Severity::Error).count();
    let sources: Vec<String> = drafts
        .iter()
        .map(|draft| draft.definition().source.display().to_string())
        .collect();
    let noun = if mistakes == 1 { "mistake" } else { "mistakes" };
    let description = format!("{stem}, not startable: {mistakes} {noun} in {}", sources.join(" and "));
    let unit = [
        ("Description", quote::text(&description).into_owned()),
        ("SourcePath", quote::text(&sources[0]).into_owned()),
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
    let resolved = json(&Resolved::Broken(reasons)).unwrap_or_default();
    [
        (format!("{stem}.service"), file.into_text()),
        (format!("{stem}.json"), resolved),
    ]
}
