//! `coracle list`: the definitions, and the state that systemd has for their units.
//!
//! The definitions come from their files, so that the list is complete before a daemon-reload and without a bus; the states come from
//! systemd alone. What they make together is decided by [`rows`], which asks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::cli::output::{Cell, Format, Output, Paint};
use crate::cli::scope::Scope;
use crate::definition::diagnostic::Severity;
use crate::definition::places::Loaded;
use crate::definition::{Definition, Root};
use crate::generate::draft::Draft;
use crate::generate::{Context, generate};
use crate::systemd::{self, Question, UnitState};
use crate::unitfile::name::{instantiate, is_template};

/// List the definitions with the state of their units
///
/// Of a template, each instance that systemd has loaded is listed below it. Where systemd cannot be reached, its states are shown as '-'.
/// Not on a terminal, the columns are separated by tabs and have no heading: name, active state, sub-state, main PID, state of the
/// sockets, addresses, image.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coracle list\n  coracle list | awk -F'\\t' '$2 == \"failed\" { print $1 }'\n  coracle list --format json | jq -r '.[].service.unit'"
)]
pub struct Arguments {
    /// Whose definitions.
    #[command(flatten)]
    pub scope: Scope,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
}

/// A definition, or an instance of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row {
    name: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rootfs: Option<String>,
    errors: usize,
    warnings: usize,
    service: Unit,
    sockets: Vec<Socket>,
}

/// A unit with its state, which is `null` where systemd was not asked or could not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Unit {
    unit: String,
    load_state: Option<String>,
    active_state: Option<String>,
    sub_state: Option<String>,
    #[serde(rename = "main-pid")]
    main_pid: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Socket {
    name: String,
    listen: Vec<String>,
    unit: String,
    active_state: Option<String>,
    sub_state: Option<String>,
}

/// systemd's answer, empty where there is none.
type States = BTreeMap<String, UnitState>;

/// Prints the list.
pub fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<ExitCode> {
    let loaded = arguments.scope.load();
    let definitions = defined(&loaded, &arguments.scope.context());
    let states = match arguments.scope.manager() {
        Some(manager) if !definitions.is_empty() => {
            systemd::states(manager, &question(&definitions)).unwrap_or_else(|error| {
                eprintln!("coracle: {error:#}; the states of units are not known");
                States::new()
            })
        }
        _ => States::new(),
    };
    let rows = rows(&definitions, &states);
    match arguments.format {
        Format::Json => output.json(&rows)?,
        Format::Table => output.table(
            &["NAME", "ACTIVE", "SUB", "PID", "SOCKETS", "LISTEN", "IMAGE"],
            &rows.iter().map(cells).collect::<Vec<_>>(),
        )?,
    }
    output.finish()?;
    hint(&rows, arguments);
    Ok(ExitCode::SUCCESS)
}

/// What the list cannot say in its columns.
fn hint(rows: &[Row], arguments: &Arguments) {
    let told = |count: usize, what: &str, hint: &str| match count {
        0 => {}
        1 => eprintln!("coracle: 1 definition {what}; {hint}"),
        count => eprintln!("coracle: {count} definitions {what}; {hint}"),
    };
    let user = if arguments.scope.user { " --user" } else { "" };
    let broken = rows.iter().filter(|row| row.errors > 0).count();
    told(
        broken,
        "with mistakes that prevent a start",
        &format!("'coracle check{user}' shows them"),
    );
    let missing = rows
        .iter()
        .filter(|row| row.service.load_state.as_deref() == Some("not-found"))
        .count();
    told(
        missing,
        "not known to systemd yet",
        &format!("run 'systemctl{user} daemon-reload'"),
    );
}

/// A definition with its service's name, without suffix, and what the generator says of it.
struct Defined<'a> {
    definition: &'a Definition,
    stem: String,
    errors: usize,
    warnings: usize,
}

fn defined<'a>(loaded: &'a [Loaded], context: &Context) -> Vec<Defined<'a>> {
    let reports = generate(loaded, context).diagnostics;
    loaded
        .iter()
        .map(|one| {
            let draft = Draft::new(one, context);
            let own = reports.iter().filter(|report| report.unit == draft.unit());
            let (errors, warnings): (Vec<_>, Vec<_>) =
                own.partition(|report| report.diagnostic.severity == Severity::Error);
            Defined {
                definition: &one.definition,
                stem: draft.stem,
                errors: errors.len(),
                warnings: warnings.len(),
            }
        })
        .collect()
}

impl Defined<'_> {
    fn socket_stems(&self) -> impl Iterator<Item = &str> {
        self.definition.sockets.iter().map(|socket| socket.unit.as_str())
    }
}

/// All units of all definitions, in one question.
fn question(definitions: &[Defined<'_>]) -> Question {
    let mut question = Question::default();
    for defined in definitions {
        let services = std::iter::once((defined.stem.as_str(), ".service"));
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

fn rows(definitions: &[Defined<'_>], states: &States) -> Vec<Row> {
    let mut rows = Vec::new();
    for defined in definitions {
        rows.push(row(defined, None, states));
        if is_template(&defined.stem) {
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

fn row(defined: &Defined<'_>, instance: Option<&str>, states: &States) -> Row {
    let definition = defined.definition;
    let named = |stem: &str| instance.map_or_else(|| stem.to_owned(), |instance| instantiate(stem, instance));
    let (image, rootfs) = match &definition.container.root {
        Root::Image(image) => (Some(image.clone()).filter(|image| !image.is_empty()), None),
        Root::Rootfs(path) => (None, Some(path.display().to_string())),
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
        service: Unit {
            load_state: state.map(|state| state.load.clone()),
            active_state: state.map(|state| state.active.clone()),
            sub_state: state.map(|state| state.sub.clone()),
            main_pid: state.and_then(|state| state.main_pid),
            unit,
        },
        sockets: definition
            .sockets
            .iter()
            .map(|socket| {
                let unit = named(&socket.unit) + ".socket";
                let state = states.get(&unit);
                Socket {
                    name: socket.name.clone(),
                    listen: socket.listen.iter().map(|listen| listen.address.clone()).collect(),
                    active_state: state.map(|state| state.active.clone()),
                    sub_state: state.map(|state| state.sub.clone()),
                    unit,
                }
            })
            .collect(),
    }
}

fn cells(row: &Row) -> Vec<Cell> {
    let state = row.service.active_state.as_deref();
    let paint = match state {
        Some("active" | "reloading") => Paint::Green,
        Some("failed") => Paint::Red,
        Some("inactive") => Paint::Dim,
        Some(_) => Paint::Yellow,
        None => Paint::Plain,
    };
    let loaded = row.service.load_state.as_deref() != Some("not-found");
    let sub = if loaded {
        row.service.sub_state.clone()
    } else {
        Some("not-found".to_owned())
    };
    // Several sockets in one state are one word.
    let socket_states: BTreeSet<&str> = row
        .sockets
        .iter()
        .filter_map(|socket| socket.sub_state.as_deref())
        .collect();
    let sockets_well = row
        .sockets
        .iter()
        .all(|socket| socket.active_state.as_deref() == Some("active"));
    let listen: Vec<&str> = row
        .sockets
        .iter()
        .flat_map(|socket| &socket.listen)
        .map(String::as_str)
        .collect();
    vec![
        Cell::new(row.name.clone(), if row.errors > 0 { Paint::Red } else { Paint::Bold }),
        Cell::new(state.unwrap_or_default(), paint),
        Cell::new(sub.unwrap_or_default(), paint),
        Cell::plain(row.service.main_pid.map(|pid| pid.to_string()).unwrap_or_default()),
        Cell::new(
            socket_states.into_iter().collect::<Vec<_>>().join(","),
            if sockets_well { Paint::Green } else { Paint::Yellow },
        ),
        Cell::plain(listen.join(",")),
        Cell::plain(row.image.clone().or_else(|| row.rootfs.clone()).unwrap_or_default()),
    ]
}
