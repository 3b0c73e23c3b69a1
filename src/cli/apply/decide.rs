//! What is to be done after a reload, from what there was and what there is. Nothing here asks anybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::apply::files::Files;
use crate::generate::broken::{Broken, is_broken};
use crate::run::record::fingerprint;
use crate::systemd::look::Unit;
use crate::unitfile::name::{instantiate, is_template};

/// What was found out.
pub(super) struct Seen<'s> {
    /// The generator's files before the reload.
    pub(super) before: &'s Files,
    /// Those after it.
    pub(super) after: &'s Files,
    /// systemd's units, after it.
    pub(super) units: &'s BTreeMap<String, Unit>,
    /// The fingerprints of what containers that run were started from, where they are known.
    pub(super) started: &'s BTreeMap<String, u64>,
    /// The definitions that cannot be started.
    pub(super) broken: &'s [Broken],
}

/// What is done with containers that run from another definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Services {
    /// They are named.
    Named,
    /// They are restarted, or stopped where there is none any more.
    Restarted,
}

/// What is done with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// It is stopped.
    Stop,
    /// It is stopped and started.
    Restart,
    /// It is started.
    Start,
    /// It is left as it is, and told.
    Name,
}

impl Action {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Start => "start",
            Self::Name => "name",
        }
    }

    pub(super) fn done(self) -> &'static str {
        match self {
            Self::Stop => "stopped",
            Self::Restart => "restarted",
            Self::Start => "started",
            Self::Name => "named",
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) unit: String,
    pub(super) why: String,
}

/// All that is to be done, in this order: stops first, since what is stopped may have what is started next.
pub(super) fn decide(seen: &Seen<'_>, services: Services) -> Vec<Step> {
    let mut steps = Vec::new();
    let names = seen.units.keys().map(String::as_str).chain(seen.after.wanted());
    let names: BTreeSet<&str> = names.filter(|name| !is_of_template(name)).collect();
    for name in &names {
        if name.ends_with(".socket") || name.ends_with(".timer") {
            steps.extend(waker(seen, name, services));
        }
    }
    // Who is restarted with a socket need not be told of.
    let with_sockets: BTreeSet<String> = steps
        .iter()
        .filter(|step| step.action == Action::Restart)
        .map(|step| service_of(seen.after, &step.unit))
        .collect();
    for name in names {
        if name.ends_with(".service") && !with_sockets.contains(name) {
            steps.extend(service(seen, name, services));
        }
    }
    steps.sort();
    // One that is restarted for each of its new sockets is restarted once.
    steps.dedup_by(|one, other| (one.action, &one.unit) == (other.action, &other.unit));
    steps
}

fn is_of_template(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, _)| is_template(stem))
}

fn step(action: Action, unit: &str, why: impl Into<String>) -> Option<Step> {
    Some(Step {
        action,
        unit: unit.to_owned(),
        why: why.into(),
    })
}

/// A socket or a timer.
fn waker(seen: &Seen<'_>, name: &str, services: Services) -> Option<Step> {
    let unknown = Unit::default();
    let unit = seen.units.get(name).unwrap_or(&unknown);
    if seen.after.text(name).is_none() {
        let is_there = unit.active == "active" || unit.active == "failed";
        return step(Action::Stop, name, "its definition is gone")
            .filter(|_| is_there && seen.before.text(name).is_some());
    }
    let section = if name.ends_with(".socket") { "Socket" } else { "Timer" };
    let service = service_of(seen.after, name);
    let broken = seen.broken.iter().find_map(|broken| container_of(broken, name));
    let is_up = |unit: &String| seen.units.get(unit).is_some_and(Unit::is_up);
    match unit.active.as_str() {
        // The container would not come back.
        "active" | "activating" | "reloading" if broken.as_ref().is_some_and(is_up) => None,
        "active" | "activating" | "reloading" => {
            let changed = seen.before.text(name).is_some()
                && seen.before.section(name, section) != seen.after.section(name, section);
            let with = match is_up(&service) {
                true => format!(", and '{service}' with it"),
                false => String::new(),
            };
            match (unit.silent.is_empty(), changed) {
                (false, _) => step(
                    Action::Restart,
                    name,
                    format!("nobody listens on {}{with}", unit.silent.join(", ")),
                ),
                (true, true) => {
                    let what = differences(seen, name, section);
                    step(Action::Restart, name, format!("{what} changed{with}"))
                }
                (true, false) => None,
            }
        }
        "failed" => step(Action::Start, name, format!("it had failed ({})", unit.result)),
        _ if broken.is_some() => None,
        _ => {
            let is_up = is_up(&service);
            let is_due = is_up || is_due(seen, name, unit);
            match (is_up && section == "Socket", services) {
                // systemd starts no socket of a service that runs; the service brings its own along.
                (true, Services::Restarted) => step(Action::Restart, &service, format!("it runs without its '{name}'")),
                (true, Services::Named) => step(Action::Name, &service, format!("it runs without its '{name}'")),
                (false, _) => step(Action::Start, name, "it is new, and wanted at boot").filter(|_| is_due),
            }
        }
    }
}

/// The service of a broken definition, if this is a socket of it.
fn container_of(broken: &Broken, socket: &str) -> Option<String> {
    let instance = socket
        .split_once('@')
        .and_then(|(_, instance)| instance.strip_suffix(".socket"));
    let named = |unit: &String| {
        let (stem, kind) = unit.rsplit_once('.').unwrap_or((unit, ""));
        [&instantiate(stem, instance.unwrap_or_default()), ".", kind].concat()
    };
    let is_its = broken.open.iter().any(|unit| named(unit) == socket);
    is_its.then(|| named(&broken.unit))
}

/// Whether the boot would have started it, and nobody has stopped it since.
fn is_due(seen: &Seen<'_>, name: &str, unit: &Unit) -> bool {
    let is_new = seen.before.text(name).is_none() || !unit.has_run;
    is_new && unit.load != "masked" && seen.after.wanted_by(name).next().is_some()
}

/// The keys of a section that are not what they were.
fn differences(seen: &Seen<'_>, name: &str, section: &str) -> String {
    let (before, after) = (seen.before.section(name, section), seen.after.section(name, section));
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let changed = before
        .iter()
        .filter(|line| !after.contains(line))
        .chain(after.iter().filter(|line| !before.contains(line)));
    let keys: BTreeSet<&str> = changed.filter_map(|line| Some(line.split_once('=')?.0)).collect();
    match keys.is_empty() {
        true => "the order of its lines".to_owned(),
        false => keys.into_iter().collect::<Vec<_>>().join(", "),
    }
}

/// The service that a socket or timer starts.
fn service_of(files: &Files, name: &str) -> String {
    let (stem, _) = name.rsplit_once('.').unwrap_or((name, ""));
    let instance = stem.split_once('@').map_or("", |(_, instance)| instance);
    match files.value(name, "Service").or_else(|| files.value(name, "Unit")) {
        Some(service) => service.replace("%i", instance),
        None => format!("{stem}.service"),
    }
}

fn service(seen: &Seen<'_>, name: &str, services: Services) -> Option<Step> {
    let unit = seen.units.get(name)?;
    let restart = |action, why| match services {
        Services::Named => step(Action::Name, name, why),
        Services::Restarted => step(action, name, why),
    };
    let Some(text) = seen.after.text(name) else {
        let is_ours = seen.before.text(name).is_some();
        return restart(Action::Stop, "its definition is gone").filter(|_| unit.is_up() && is_ours);
    };
    let Some(resolved) = json_of(seen.after, name) else {
        // A proxy: its socket starts it, and what it runs from is written down nowhere.
        let changed = seen.before.text(name).is_some_and(|before| before != text);
        return restart(Action::Restart, OLDER).filter(|_| unit.is_up() && changed);
    };
    if is_broken(resolved) {
        return None;
    }
    if !unit.is_up() {
        return step(Action::Start, name, "it is new, and wanted at boot").filter(|_| is_due(seen, name, unit));
    }
    let changed = match seen.started.get(name) {
        Some(started) => *started != fingerprint(resolved, text),
        // One that nobody has written anything down of.
        None => {
            seen.before.text(name).is_some_and(|before| before != text) || json_of(seen.before, name) != Some(resolved)
        }
    };
    restart(Action::Restart, OLDER).filter(|_| changed)
}

const OLDER: &str = "it runs from an older definition";

/// The resolved definition of a service.
fn json_of<'f>(files: &'f Files, service: &str) -> Option<&'f str> {
    let stem = service.strip_suffix(".service")?;
    files.text(&format!("{stem}.json"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Seen, Services, decide};
    use crate::cli::apply::files::Files;
    use crate::generate::broken::Broken;
    use crate::run::record::fingerprint;
    use crate::systemd::look::Unit;

    fn files(files: &[(&str, &str)]) -> Files {
        let texts = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let sockets = files.iter().filter(|(name, _)| name.ends_with(".socket"));
        let links = sockets.map(|(name, _)| ((*name).to_owned(), "sockets.target".to_owned()));
        Files::new(texts.collect(), links)
    }

    fn unit(active: &str) -> Unit {
        Unit {
            load: "loaded".into(),
            active: active.into(),
            has_run: active != "inactive",
            ..Unit::default()
        }
    }

    /// The steps as text, each `action unit: why`.
    fn steps(
        before: &[(&str, &str)],
        after: &[(&str, &str)],
        units: &[(&str, Unit)],
        services: Services,
    ) -> Vec<String> {
        let units: BTreeMap<_, _> = units
            .iter()
            .map(|(name, unit)| ((*name).to_owned(), unit.clone()))
            .collect();
        let seen = Seen {
            before: &files(before),
            after: &files(after),
            units: &units,
            started: &BTreeMap::from([("noted.service".to_owned(), fingerprint("{}", "[Service]"))]),
            broken: &[Broken {
                unit: "bad.service".to_owned(),
                resolved: "bad.json".to_owned(),
                open: vec!["bad.socket".to_owned(), "bad-x.socket".to_owned()],
                closed: Vec::new(),
            }],
        };
        let steps = decide(&seen, services);
        steps
            .iter()
            .map(|step| format!("{} {}: {}", step.action.name(), step.unit, step.why))
            .collect()
    }

    const SOCKET: &str = "[Unit]\nDescription=a\n\n[Socket]\nListenStream=80\nBacklog=1\n";

    #[test]
    fn nothing_is_done_where_nothing_has_changed() {
        let files = [("web.socket", SOCKET), ("web.service", "[Service]"), ("web.json", "{}")];
        for services in [Services::Named, Services::Restarted] {
            let units = [("web.socket", unit("active")), ("web.service", unit("active"))];
            assert!(steps(&files, &files, &units, services).is_empty());
            // Somebody has stopped it.
            let mut stopped = unit("inactive");
            stopped.has_run = true;
            assert!(steps(&files, &files, &[("web.socket", stopped)], services).is_empty());
        }
        let other = SOCKET.replace("Description=a", "Description=b");
        let changed = [("web.socket", other.as_str()), files[1], files[2]];
        assert!(steps(&files, &changed, &[("web.socket", unit("active"))], Services::Named).is_empty());
    }

    #[test]
    fn a_proxy_goes_with_its_text() {
        let files = [("web-proxy.service", "[Service]"), ("web.json", "{}")];
        let other = [("web-proxy.service", "[Service]\nSlice=a"), ("web.json", "{}")];
        let units = [("web-proxy.service", unit("active"))];
        assert!(steps(&files, &files, &units, Services::Restarted).is_empty());
        let restarted = ["restart web-proxy.service: it runs from an older definition"];
        assert_eq!(steps(&files, &other, &units, Services::Restarted), restarted);
        let stopped = ["stop web-proxy.service: its definition is gone"];
        assert_eq!(steps(&files, &[], &units, Services::Restarted), stopped);
        assert!(
            steps(
                &files,
                &other,
                &[("web-proxy.service", unit("inactive"))],
                Services::Restarted
            )
            .is_empty()
        );
    }

    #[test]
    fn sockets_are_restarted_stopped_and_started() {
        let changed = SOCKET.replace("Backlog=1", "Backlog=2");
        let before = [
            ("a.socket", SOCKET),
            ("gone.socket", SOCKET),
            ("silent.socket", SOCKET),
            ("dead.socket", SOCKET),
        ];
        let after = [
            ("a.socket", changed.as_str()),
            ("bad.socket", SOCKET),
            ("dead.socket", SOCKET),
            ("new.socket", SOCKET),
            ("silent.socket", SOCKET),
        ];
        let mut silent = unit("active");
        silent.silent = vec!["[::]:80".to_owned()];
        let mut dead = unit("failed");
        dead.result = "service-start-limit-hit".to_owned();
        let units = [
            ("a.socket", unit("active")),
            ("a.service", unit("active")),
            ("bad.socket", unit("inactive")),
            ("dead.socket", dead),
            ("gone.socket", unit("active")),
            ("new.socket", unit("inactive")),
            ("silent.socket", silent),
        ];
        assert_eq!(
            steps(&before, &after, &units, Services::Named),
            [
                "stop gone.socket: its definition is gone",
                "restart a.socket: Backlog changed, and 'a.service' with it",
                "restart silent.socket: nobody listens on [::]:80",
                "start dead.socket: it had failed (service-start-limit-hit)",
                "start new.socket: it is new, and wanted at boot",
            ]
        );
    }

    #[test]
    fn what_cannot_start_is_neither_stopped_nor_started() {
        let socket = "[Socket]\nListenStream=80\nService=bad-proxy.service\n";
        let files = [
            ("bad.socket", SOCKET),
            ("bad-x.socket", socket),
            ("bad.service", "[Service]"),
            ("bad.json", "{\"broken\":[]}"),
        ];
        let mut silent = unit("active");
        silent.silent = vec!["[::]:80".to_owned()];
        let mut seen = [
            ("bad.socket", silent.clone()),
            ("bad-x.socket", silent),
            ("bad.service", unit("active")),
        ];
        assert!(steps(&files, &files, &seen, Services::Restarted).is_empty());
        // Nobody runs, so the port can be opened.
        seen[2].1 = unit("inactive");
        assert_eq!(
            steps(&files, &files, &seen, Services::Restarted),
            [
                "restart bad-x.socket: nobody listens on [::]:80",
                "restart bad.socket: nobody listens on [::]:80",
            ]
        );
    }

    #[test]
    fn services_are_named_or_restarted() {
        let before = [
            ("gone.service", "[Service]"),
            ("plain.service", "[Service]"),
            ("plain.json", "{}"),
            ("noted.service", "[Service]\nA=1"),
            ("noted.json", "{}"),
        ];
        let after = [
            ("plain.service", "[Service]"),
            ("plain.json", "{1}"),
            ("noted.service", "[Service]\nA=1"),
            ("noted.json", "{}"),
            ("late-x.socket", "[Socket]\nService=late.service"),
            ("late.service", "[Service]"),
            ("late.json", "{}"),
        ];
        let units = ["gone", "plain", "noted", "late"].map(|stem| (format!("{stem}.service"), unit("active")));
        let units: Vec<_> = units.iter().map(|(name, unit)| (name.as_str(), unit.clone())).collect();
        assert_eq!(
            steps(&before, &after, &units, Services::Restarted),
            [
                "stop gone.service: its definition is gone",
                "restart late.service: it runs without its 'late-x.socket'",
                "restart noted.service: it runs from an older definition",
                "restart plain.service: it runs from an older definition",
            ]
        );
        let named = steps(&before, &after, &units, Services::Named);
        assert!(named.iter().all(|step| step.starts_with("name ")), "{named:?}");
    }
}
