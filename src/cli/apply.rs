//! `coracle apply`: a daemon-reload, and what systemd leaves undone after one.
//!
//! systemd reads new unit files and changes nothing that runs. A socket whose address is another by now claims to listen and does not; one whose
//! options are others keeps the old ones; one whose definition is gone stays half-open; one that is new waits for the next boot. What has changed is
//! found out in two ways, since somebody may have reloaded before: by the generator's files before and after, and by what there really is, which is the
//! manager's own sockets ([`crate::systemd::held`]) and what each container was started from ([`crate::run::record`]).
//!
//! What is to be done is decided by `decide`, which asks nobody.

mod decide;
mod files;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde::Serialize;

use crate::cli::apply::decide::{Action, Seen, Services, Step, decide};
use crate::cli::apply::files::Files;
use crate::cli::broken::{names, sentence};
use crate::cli::journal;
use crate::cli::output::{Cell, Format, Output, Paint, complain};
use crate::cli::scope::Scope;
use crate::generate::generate;
use crate::run::record::Record;
use crate::systemd::jobs::{self, Job};
use crate::systemd::look::{self, Closeness};
use crate::systemd::{Manager, Question};
use crate::unitfile::name::{instantiate, is_template};

/// Reload the definitions, and do what a daemon-reload leaves undone
///
/// Restarts sockets whose addresses or options have changed or on which nobody listens, and those that failed; stops those whose definition is gone; starts
/// what is new and wanted at boot. A container whose socket is restarted is restarted with it. Other containers that run from an older definition
/// are named, and restarted with --restart. Nothing else is touched: what an administrator has stopped stays stopped.
///
/// Not on a terminal, the columns are separated by tabs and have no heading: what was done, unit, why.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coracle check && coracle apply\n  coracle apply --dry-run\n  coracle apply --restart\n\nExit status: 0 done, 1 something failed or a definition has mistakes."
)]
pub struct Arguments {
    /// Restart containers whose definition has changed, and stop those whose definition is gone
    #[arg(long)]
    pub restart: bool,
    /// Say what would be done, and do nothing; systemd is not reloaded
    #[arg(long)]
    pub dry_run: bool,
    /// The calling user's definitions and service manager instead of the system's
    #[arg(long)]
    pub user: bool,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
}

/// A step in what is printed.
#[derive(Debug, Serialize)]
struct Row<'s> {
    unit: &'s str,
    action: &'static str,
    outcome: &'static str,
    why: String,
}

/// Reloads, and does the rest.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<ExitCode> {
    let scope = Scope {
        user: arguments.user,
        root: None,
    };
    ensure!(
        arguments.dry_run || arguments.user || nix::unistd::geteuid().is_root(),
        "only root can reload the system's service manager; your own definitions are applied with '--user'"
    );
    let manager = scope.service_manager();
    let context = scope.context();
    let written = generate(&scope.load(), &context);
    let broken: Vec<&str> = written.broken.iter().map(|one| one.unit.as_str()).collect();
    let mut is_well = broken.is_empty();
    let before = Files::read(&context.output_directory);
    let falls = written.broken.iter().find(|one| before.is_sound(&one.resolved));
    if let Some(falls) = falls.filter(|_| !arguments.dry_run) {
        bail!(
            "nothing was done: '{}' is well, and its definition has mistakes by now, which 'coracle check' shows; after a reload {}",
            falls.unit,
            sentence(falls)
        );
    }
    let after = match arguments.dry_run {
        true => Files::of(&written),
        false => {
            jobs::reload(manager)?;
            Files::read(&context.output_directory)
        }
    };
    let units = look::units(manager, &question(&before, &after), Closeness::All).context("looking at the units")?;
    let started = units
        .iter()
        .filter(|(_, unit)| unit.is_up())
        .filter_map(|(name, unit)| {
            let record = Record::read(&scope.runtime(), name, &unit.invocation)?;
            Some((name.clone(), record.definition))
        });
    let seen = Seen {
        before: &before,
        after: &after,
        units: &units,
        started: &started.collect::<BTreeMap<_, _>>(),
        broken: &written.broken,
    };
    let services = if arguments.restart {
        Services::Restarted
    } else {
        Services::Named
    };
    let steps = decide(&seen, services);
    if !arguments.dry_run && !steps.is_empty() {
        journal::open();
    }
    let mut rows = Vec::new();
    for step in &steps {
        let row = match arguments.dry_run {
            true => row(step, "due", step.why.clone()),
            false => carry_out(manager, step),
        };
        is_well &= row.outcome != "failed";
        rows.push(row);
    }
    match arguments.format {
        Format::Json => output.json(&rows)?,
        Format::Table => {
            let cells: Vec<_> = rows.iter().map(cells).collect();
            output.table(&["DONE", "UNIT", "WHY"], &cells)?;
        }
    }
    output.finish()?;
    let user = if arguments.user { " --user" } else { "" };
    if !broken.is_empty() {
        complain(&format!(
            "{} cannot start because of mistakes; 'coracle check{user}' shows them",
            broken.join(", ")
        ));
    }
    let open: Vec<&String> = written.broken.iter().flat_map(|one| &one.open).collect();
    if !open.is_empty() {
        complain(&format!(
            "nobody is served at {} until the mistakes are mended",
            names(&open)
        ));
    }
    if steps.iter().any(|step| step.action == Action::Name) && !arguments.dry_run {
        complain(&format!("'coracle apply{user} --restart' restarts what is named"));
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn carry_out(manager: Manager, step: &Step) -> Row<'_> {
    let job = match step.action {
        Action::Restart => Job::Restart,
        Action::Start => Job::Start,
        Action::Stop => Job::Stop,
        Action::Name => return row(step, "named", step.why.clone()),
    };
    match jobs::carry_out(manager, job, &step.unit) {
        Ok(()) if job != Job::Stop && is_skipped(manager, &step.unit) => row(
            step,
            "skipped",
            "a condition in [Unit] does not hold on this machine".to_owned(),
        ),
        Ok(()) => {
            tracing::info!(unit = step.unit, "{} '{}': {}", step.action.done(), step.unit, step.why);
            row(step, "done", step.why.clone())
        }
        Err(error) => row(step, "failed", format!("{}; {error:#}", step.why)),
    }
}

/// Whether systemd has not started a socket or a timer, which for it is no failure. A service may have ended by now.
fn is_skipped(manager: Manager, unit: &str) -> bool {
    if unit.ends_with(".service") {
        return false;
    }
    let question = Question {
        names: vec![unit.to_owned()],
        ..Question::default()
    };
    let units = look::units(manager, &question, Closeness::Living).unwrap_or_default();
    units.get(unit).is_some_and(|unit| unit.active == "inactive")
}

fn row<'s>(step: &'s Step, outcome: &'static str, why: String) -> Row<'s> {
    Row {
        unit: &step.unit,
        action: step.action.name(),
        outcome,
        why,
    }
}

fn cells(row: &Row<'_>) -> Vec<Cell> {
    let (word, paint) = match (row.outcome, row.action) {
        ("failed", action) => (format!("{action}-failed"), Paint::Red),
        ("skipped", _) => ("skipped".to_owned(), Paint::Yellow),
        ("due", action) => (action.to_owned(), Paint::Yellow),
        (_, "name") => ("named".to_owned(), Paint::Yellow),
        (_, "stop") => ("stopped".to_owned(), Paint::Green),
        (_, action) => (format!("{action}ed"), Paint::Green),
    };
    vec![
        Cell::new(word, paint),
        Cell::new(row.unit, Paint::Bold),
        Cell::plain(row.why.clone()),
    ]
}

/// All units of both, in one question.
fn question(before: &Files, after: &Files) -> Question {
    let mut question = Question::default();
    let mut names: Vec<&str> = before.units().chain(after.units()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        match name.rsplit_once('.') {
            // A backslash is part of an escaped name, and would quote the next character in a pattern.
            Some((stem, kind)) if is_template(stem) => question
                .patterns
                .push(instantiate(stem, "*").replace('\\', "\\\\") + "." + kind),
            _ => question.names.push(name.to_owned()),
        }
    }
    question
}
