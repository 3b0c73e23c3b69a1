//! What the list says, from the definitions and from systemd's answer. Nothing here asks anybody.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::cli::list::problem::{Problem, problem};
use crate::definition::diagnostic::Severity;
use crate::definition::places::Loaded;
use crate::definition::{Definition, Root};
use crate::generate::draft::Draft;
use crate::generate::{Context, generate};
use crate::plan::specifier::Specifiers;
use crate::run::health::course::State;
use crate::systemd::Question;
use crate::systemd::look::Unit as UnitState;
use crate::unitfile::name::{instantiate, is_template};

/// A definition, or an instance of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rootfs: Option<String>,
    pub(super) errors: usize,
    pub(super) warnings: usize,
    /// Whether it has sockets in spite of its errors.
    #[serde(skip)]
    pub(super) is_open: bool,
    /// Whether systemd has read another text than the definition's of now.
    pub(super) changed: bool,
    pub(super) service: Unit,
    pub(super) sockets: Vec<Socket>,
}

impl Row {
    /// Whether systemd has the unit, as far as it was asked.
    pub(super) fn is_known(&self) -> bool {
        self.service.load_state.as_deref() != Some("not-found")
    }
}

/// A unit with its state, which is `null` where systemd was not asked or could not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Unit {
    pub(super) unit: String,
    pub(super) load_state: Option<String>,
    pub(super) active_state: Option<String>,
    pub(super) sub_state: Option<String>,
    #[serde(rename = "main-pid")]
    pub(super) main_pid: Option<u32>,
    /// What its health checks say, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) health: Option<&'static str>,
    /// What it says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Socket {
    pub(super) name: String,
    pub(super) listen: Vec<String>,
    pub(super) unit: String,
    pub(super) active_state: Option<String>,
    pub(super) sub_state: Option<String>,
    /// Why nobody is served by it, or not as its definition says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<Problem>,
}

/// systemd's answer, empty where there is none.
pub(super) type States = BTreeMap<String, UnitState>;

/// A definition with its service's name, without suffix, and what the generator says of it.
pub(super) struct Defined<'a> {
    definition: &'a Definition,
    stem: String,
    errors: usize,
    warnings: usize,
    is_open: bool,
    changed: bool,
}

/// All definitions. `is_read` says whether systemd has read this text in a file of this name.
pub(super) fn defined<'a>(
    loaded: &'a [Loaded],
    context: &Context,
    is_read: impl Fn(&str, &str) -> bool,
) -> Vec<Defined<'a>> {
    let output = generate(loaded, context);
    let reports = output.diagnostics;
    let open: BTreeSet<&str> = output
        .broken
        .iter()
        .filter(|broken| !broken.open.is_empty())
        .map(|broken| broken.unit.as_str())
        .collect();
    loaded
        .iter()
        .map(|one| {
            let draft = Draft::new(one, context);
            let own = reports.iter().filter(|report| report.unit == draft.unit());
            let (errors, warnings): (Vec<_>, Vec<_>) =
                own.partition(|report| report.diagnostic.severity == Severity::Error);
            Defined {
                definition: &one.definition,
                changed: draft
                    .files
                    .iter()
                    .filter_map(|(name, _)| Some((name, output.files.get(name)?)))
                    .any(|(name, text)| !is_read(name, text)),
                errors: errors.len(),
                warnings: warnings.len(),
                is_open: open.contains(draft.unit().as_str()),
                stem: draft.stem,
            }
        })
        .collect()
}

impl Defined<'_> {
    /// The names of its services: of one that accepts, a template for each socket.
    fn service_stems(&self) -> Vec<Cow<'_, str>> {
        match self.definition.accepts() && (self.errors == 0 || self.is_open) {
            true => self
                .socket_stems()
                .map(|stem| Cow::Owned([stem, "@"].concat()))
                .collect(),
            false => vec![Cow::Borrowed(self.stem.as_str())],
        }
    }

    fn socket_stems(&self) -> impl Iterator<Item = &str> {
        self.definition.sockets.iter().map(|socket| socket.unit.as_str())
    }
}

/// All units of all definitions, in one question.
pub(super) fn question(definitions: &[Defined<'_>]) -> Question {
    let mut question = Question::default();
    for defined in definitions {
        let services = defined.service_stems();
        let services = services.iter().map(|stem| (stem.as_ref(), ".service"));
        for (stem, suffix) in services.chain(defined.socket_stems().map(|stem| (stem, ".socket"))) {
            if is_template(stem) {
                // A backslash is part of an escaped name, and would quote the next character in a pattern.
                let pattern = instantiate(stem, "*").replace('\\', "\\\\");
                question.patterns.push(pattern + suffix);
            } else if !stem.is_empty() {
                question.names.push(format!("{stem}{suffix}"));
            }
        }
    }
    question
}

pub(super) fn rows(definitions: &[Defined<'_>], states: &States) -> Vec<Row> {
    let mut rows = Vec::new();
    for defined in definitions {
        rows.push(row(defined, None, states));
        if defined.definition.accepts() {
            rows.extend(connections(defined, states));
        } else if is_template(&defined.stem) {
            rows.extend(
                instances(defined, states)
                    .into_iter()
                    .map(|instance| row(defined, Some(instance), states)),
            );
        }
    }
    rows
}

/// The instances of a template that systemd has loaded, by its service or a socket.
fn instances<'s>(defined: &Defined<'_>, states: &'s States) -> BTreeSet<&'s str> {
    let stems = std::iter::once((defined.stem.as_str(), ".service"))
        .chain(defined.socket_stems().map(|stem| (stem, ".socket")));
    stems
        .flat_map(|(stem, suffix)| {
            states
                .keys()
                .filter_map(move |unit| unit.strip_prefix(stem)?.strip_suffix(suffix))
        })
        .filter(|instance| !instance.is_empty())
        .collect()
}

/// The containers that serve a connection now. Their socket is the definition's, and is not said again.
fn connections(defined: &Defined<'_>, states: &States) -> Vec<Row> {
    let services = defined.service_stems();
    let is_ours = |unit: &&String| services.iter().any(|stem| unit.starts_with(stem.as_ref()));
    let units = states
        .iter()
        .filter(|(unit, state)| is_ours(unit) && state.load != "not-found");
    let row = |(unit, state): (&String, &UnitState)| Row {
        name: unit.strip_suffix(".service").unwrap_or(unit).to_owned(),
        sockets: Vec::new(),
        service: described(unit.clone(), Some(state), defined.definition),
        ..row(defined, None, states)
    };
    units.map(row).collect()
}

/// The health that init calls the container by, at the beginning of what it says of itself; `starting` until it has said so.
fn health(state: &UnitState, definition: &Definition) -> Option<&'static str> {
    definition.container.health.as_ref().filter(|_| state.is_up())?;
    let word = state.status.split(|c: char| !c.is_ascii_alphabetic()).next();
    let words = [State::Healthy, State::Unhealthy].map(State::word);
    let known = words.into_iter().find(|known| word == Some(known));
    Some(known.unwrap_or(State::Starting.word()))
}

fn described(unit: String, state: Option<&UnitState>, definition: &Definition) -> Unit {
    Unit {
        load_state: state.map(|state| state.load.clone()),
        active_state: state.map(|state| state.active.clone()),
        sub_state: state.map(|state| state.sub.clone()),
        main_pid: state.and_then(|state| state.main_pid),
        health: state.and_then(|state| health(state, definition)),
        status_text: state
            .filter(|state| state.is_up())
            .map(|state| state.status.clone())
            .filter(|status| !status.is_empty()),
        unit,
    }
}

fn row(defined: &Defined<'_>, instance: Option<&str>, states: &States) -> Row {
    let definition = defined.definition;
    let specifiers = instance.map(|instance| instantiate(&defined.stem, instance).into_owned() + ".service");
    let expanded = |text: &str| match &specifiers {
        Some(unit) => Specifiers::of_unit(unit)
            .expand(text)
            .unwrap_or_else(|_| text.to_owned()),
        None => text.to_owned(),
    };
    let named =
        |stem: &str| instance.map_or_else(|| stem.to_owned(), |instance| instantiate(stem, instance).into_owned());
    let (image, rootfs) = match &definition.container.root {
        Root::Image(image) => (Some(expanded(image)).filter(|image| !image.is_empty()), None),
        Root::Rootfs(path) => (None, Some(expanded(&path.display().to_string()))),
    };
    let unit = named(&defined.stem) + ".service";
    let state = states.get(&unit);
    Row {
        name: named(&definition.name),
        source: definition.source.display().to_string(),
        image,
        rootfs,
        errors: defined.errors,
        warnings: defined.warnings,
        is_open: defined.is_open,
        changed: defined.changed,
        service: described(unit.clone(), state, definition),
        sockets: definition
            .sockets
            .iter()
            .map(|socket| {
                let service = state;
                let name = unit.as_str();
                let unit = named(&socket.unit) + ".socket";
                let state = states.get(&unit);
                Socket {
                    problem: state.and_then(|state| problem((&unit, state), (name, service))),
                    name: socket.name.clone(),
                    listen: socket.listen.iter().map(|listen| expanded(&listen.address)).collect(),
                    active_state: state.map(|state| state.active.clone()),
                    sub_state: state.map(|state| state.sub.clone()),
                    unit,
                }
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::definition::places::Scope;
    use crate::definition::toml;

    fn context() -> Context {
        let output_directory = PathBuf::from("/run/systemd/generator");
        Context {
            scope: Scope::System,
            output_directory,
            shim: PathBuf::from("/shim"),
            systemd_version: 252,
        }
    }

    fn loaded(name: &str, text: &str) -> Loaded {
        let (definition, diagnostics) = toml::parse(&PathBuf::from(format!("/etc/coracle/{name}.toml")), text);
        Loaded {
            definition,
            diagnostics,
        }
    }

    fn state(load: &str, active: &str, sub: &str, main_pid: Option<u32>) -> UnitState {
        UnitState {
            load: load.into(),
            active: active.into(),
            sub: sub.into(),
            main_pid,
            ..UnitState::default()
        }
    }

    const TEMPLATE: &str =
        "[Container]\nRootfs = \"/srv/%i\"\nExec = [\"/x\"]\n[Socket]\nListenStream = \"/run/%i.sock\"\n";

    #[test]
    fn asks_for_all_units_at_once_and_never_for_a_template() {
        let loaded = [
            loaded("a-b", "[Container]\nImage = \"x\"\nPublishPort = \"8080:80\"\n"),
            loaded("at@", TEMPLATE),
        ];
        let question = question(&defined(&loaded, &context(), |_, _| true));
        assert_eq!(question.names, ["a-b.service", "a-b.socket"]);
        assert_eq!(question.patterns, ["at@*.service", "at@*.socket"]);
    }

    #[test]
    fn lists_the_instances_that_systemd_knows() {
        let loaded = [loaded("at@", TEMPLATE)];
        let defined = defined(&loaded, &context(), |_, _| true);
        let states = States::from([
            (
                "at@one.service".to_owned(),
                state("loaded", "active", "running", Some(7)),
            ),
            ("at@two.socket".to_owned(), state("loaded", "active", "listening", None)),
            ("at@.service".to_owned(), state("loaded", "inactive", "dead", None)),
            (
                "other@x.service".to_owned(),
                state("loaded", "active", "running", Some(8)),
            ),
        ]);
        let rows = rows(&defined, &states);
        assert_eq!(
            rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
            ["at@", "at@one", "at@two"]
        );
        assert_eq!(
            (rows[1].service.main_pid, rows[1].rootfs.as_deref()),
            (Some(7), Some("/srv/one"))
        );
        assert_eq!(rows[2].sockets[0].sub_state.as_deref(), Some("listening"));
        assert_eq!(rows[2].sockets[0].listen, ["/run/two.sock"]);
        assert_eq!(rows[2].service.active_state, None);
    }

    #[test]
    fn health_is_what_init_calls_it_where_there_is_a_check() {
        let with = "[Container]\nImage = \"x\"\nHealthCmd = \"true\"\n";
        let health = |text: &str, active: &str, status: &str| {
            let loaded = [loaded("a", text)];
            let mut state = state("loaded", active, "x", Some(7));
            status.clone_into(&mut state.status);
            let states = States::from([("a.service".to_owned(), state)]);
            rows(&defined(&loaded, &context(), |_, _| true), &states)[0]
                .service
                .health
        };
        assert_eq!(health(with, "active", "healthy; idle since 1"), Some("healthy"));
        assert_eq!(health(with, "active", "unhealthy, stopping it: x"), Some("unhealthy"));
        assert_eq!(health(with, "activating", "waits; healthy"), Some("starting"));
        assert_eq!(health(with, "inactive", "healthy"), None);
        assert_eq!(health("[Container]\nImage = \"x\"\n", "active", "healthy"), None);
    }

    #[test]
    fn lists_a_connection_each() {
        let text = "[Container]\nImage = \"x\"\nPublishPort = \"7:7\"\nActivation = \"accept\"\n[Socket.b]\nListenStream = \"/run/b\"\n";
        let loaded = [loaded("a", text)];
        let defined = defined(&loaded, &context(), |_, _| true);
        let question = question(&defined);
        assert_eq!(question.names, ["a.socket", "a-b.socket"]);
        assert_eq!(question.patterns, ["a@*.service", "a-b@*.service"]);
        let running = |pid| state("loaded", "active", "running", Some(pid));
        let states = States::from([
            ("a-b@0-7-8.service".to_owned(), running(7)),
            ("a@1-127.0.0.1:7-127.0.0.1:9.service".to_owned(), running(8)),
            ("a@2.service".to_owned(), state("not-found", "inactive", "dead", None)),
            ("ab@1.service".to_owned(), running(9)),
            ("a.socket".to_owned(), state("loaded", "active", "listening", None)),
        ]);
        let rows = rows(&defined, &states);
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.name.as_str(), row.service.main_pid, row.sockets.len()))
            .collect();
        assert_eq!(
            seen,
            [
                ("a", None, 2),
                ("a-b@0-7-8", Some(7), 0),
                ("a@1-127.0.0.1:7-127.0.0.1:9", Some(8), 0)
            ]
        );
        assert_eq!(rows[0].sockets[0].sub_state.as_deref(), Some("listening"));
    }
}
