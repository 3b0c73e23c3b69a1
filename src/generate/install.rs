//! `[Install]`: the links that start a container at boot.
//!
//! `systemctl enable` does not touch generated units, so the generator makes the links itself, as systemd.generator(7) says. They
//! belong to what wakes the container: its sockets and its timer where it has them, so that nothing runs before somebody connects,
//! and its service otherwise. A socket is wanted by `sockets.target` and a timer by `timers.target` unless `[Install]` says otherwise.

use crate::definition::install::Install;
use crate::definition::places::Scope;
use crate::generate::Context;
use crate::generate::draft::{Draft, Fate};
use crate::unitfile::name;

/// Adds the links to the draft. A broken definition has its sockets, or only its service: that is wanted by whatever [Install] names, so that it
/// shows as failed after boot, and required by nothing, so that it takes nothing else down.
pub fn link(draft: &mut Draft<'_>, context: &Context) {
    let definition = draft.definition();
    let install = &definition.passthrough.install;
    let said = said(install, context);
    let mut links = Vec::new();
    if draft.fate() == Fate::Shut {
        let by = said.unwrap_or_default().into_iter().map(|(_, unit)| ("wants", unit));
        want(&mut links, install, (draft.failing_stem(), "service"), by);
    } else {
        // A timer has nobody who waits.
        let is_made = |kind: &str| kind != "timer" || draft.fate() == Fate::Sound;
        for (stem, kind) in definition.wakers().into_iter().filter(|(_, kind)| is_made(kind)) {
            let default = match kind {
                "socket" => Some(("wants", "sockets.target")),
                "timer" => Some(("wants", "timers.target")),
                _ => None,
            };
            let by = said.clone().unwrap_or_else(|| default.into_iter().collect());
            want(&mut links, install, (stem, kind), by);
        }
        let aliases = install.aliases.iter();
        let is_made = |unit: &str| unit.rsplit_once('.').is_none_or(|(_, kind)| is_made(kind));
        links.extend(aliases.filter(|(_, unit)| is_made(unit)).cloned());
    }
    draft.links = links;
}

/// Links one unit into the directories of those that want it; a template by its default instance, if it has one.
fn want<'d>(
    links: &mut Vec<(String, String)>,
    install: &Install,
    (stem, kind): (&str, &str),
    by: impl IntoIterator<Item = (&'d str, &'d str)>,
) {
    let instance = match (name::is_template(stem), &install.default_instance) {
        (false, _) => "",
        (true, Some(instance)) => instance,
        (true, None) => return,
    };
    for (suffix, unit) in by {
        let path = [unit, ".", suffix, "/", stem, instance, ".", kind].concat();
        links.push((path, ["../", stem, ".", kind].concat()));
    }
}

/// Directory suffix and unit of those that start the container; nothing where [Install] does not say.
fn said<'d>(install: &'d Install, context: &Context) -> Option<Vec<(&'static str, &'d str)>> {
    let upheld_by = install
        .upheld_by
        .as_ref()
        .filter(|_| context.systemd_version >= Install::UPHELD_SINCE);
    let lists = [
        ("wants", install.wanted_by.as_ref()),
        ("requires", install.required_by.as_ref()),
        ("upholds", upheld_by),
    ];
    if lists.iter().all(|(_, list)| list.is_none()) {
        return None;
    }
    let by = lists.into_iter().flat_map(|(suffix, list)| {
        let units = list.into_iter().flatten();
        units.map(move |unit| (suffix, in_scope(unit, context.scope)))
    });
    Some(by.collect())
}

/// A user's manager has none of the system's targets that mean "up"; definitions are shared by both.
fn in_scope(unit: &str, scope: Scope) -> &str {
    match (scope, unit) {
        (Scope::User, "multi-user.target" | "graphical.target") => "default.target",
        _ => unit,
    }
}
