//! `coracle list`: the definitions, what `coracle run` has started, and the state that systemd has for their units.
//!
//! The definitions come from their files, so that the list is complete before a daemon-reload and without a bus; the states come from
//! systemd alone. What they make together is decided by `rows`, which asks nobody.

pub(in crate::cli) mod problem;
mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::process::ExitCode;

use crate::cli::list::rows::{Row, States, defined, question, rows};
use crate::cli::output::{Cell, Format, Output, Paint, complain};
use crate::cli::run::definitions;
use crate::cli::scope::Scope;
use crate::systemd::look::{self, Closeness};
use clap::Args;

/// List the definitions with the state of their units
///
/// What 'coracle run' has started is listed too, as long as it runs. Of a template, each instance that systemd has loaded is listed below it. Where systemd cannot be reached, its states are shown as '-'.
/// Not on a terminal, the columns are separated by tabs and have no heading: name, active state, sub-state, main PID, state of the
/// sockets ('dead', 'stale' or 'closed' where something is wrong with them), addresses, image, health where it is checked, what the service says of itself.
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

/// Prints the list.
pub fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<ExitCode> {
    let mut loaded = arguments.scope.load();
    let transient = match arguments.scope.root {
        Some(_) => Vec::new(),
        None => definitions(&arguments.scope),
    };
    let sources: BTreeSet<_> = transient
        .iter()
        .map(|one| one.definition.source.display().to_string())
        .collect();
    loaded.extend(transient);
    let context = arguments.scope.context();
    // What 'coracle run' has made has no file there, and needs no reload.
    let is_read = |name: &str, text: &str| {
        arguments.scope.root.is_some()
            || fs::read_to_string(context.output_directory.join(name)).map_or(true, |read| read == text)
    };
    let definitions = defined(&loaded, &context, is_read);
    let states = match arguments.scope.manager() {
        Some(manager) if !definitions.is_empty() => look::units(manager, &question(&definitions), Closeness::Living)
            .unwrap_or_else(|error| {
                complain(&format!("{error:#}; the states of units are not known"));
                States::new()
            }),
        _ => States::new(),
    };
    let mut rows = rows(&definitions, &states);
    // One that has ended meanwhile is no part of the list.
    rows.retain(|row| row.is_known() || !sources.contains(&row.source));
    match arguments.format {
        Format::Json => output.json(&rows)?,
        Format::Table => output.table(
            &[
                "NAME", "ACTIVE", "SUB", "PID", "SOCKETS", "LISTEN", "IMAGE", "HEALTH", "STATUS",
            ],
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
        1 => complain(&format!("1 definition {what}; {hint}")),
        count => complain(&format!("{count} definitions {what}; {hint}")),
    };
    if rows.is_empty() && arguments.format == Format::Table {
        complain(&format!("no definitions in {}", arguments.scope.describe_places()));
    }
    let user = if arguments.scope.user { " --user" } else { "" };
    let definitions = |wrong: fn(&Row) -> bool| {
        let sources: BTreeSet<_> = rows.iter().filter(|row| wrong(row)).map(|row| &row.source).collect();
        sources.len()
    };
    let shown = format!("'coracle check{user}' shows them");
    let shut = definitions(|row| row.errors > 0 && !row.is_open);
    told(shut, "with mistakes that prevent a start", &shown);
    let open = definitions(|row| row.is_open);
    told(
        open,
        "with mistakes that prevent a start, whose sockets stay open",
        &shown,
    );
    let missing = definitions(|row| !row.is_known());
    told(
        missing,
        "not known to systemd yet",
        &format!("run 'systemctl{user} daemon-reload' or 'coracle apply{user}'"),
    );
    let changed = definitions(|row| row.changed && row.is_known());
    told(
        changed,
        "changed since systemd has read it",
        &format!("'coracle apply{user}' has the change carried out"),
    );
    for problem in rows
        .iter()
        .flat_map(|row| &row.sockets)
        .filter_map(|socket| socket.problem.as_ref())
    {
        complain(&format!("{}; '{}{user}' mends it", problem.text, problem.mend));
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
    let sub = if row.is_known() {
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
    let problems = row
        .sockets
        .iter()
        .filter_map(|socket| Some(socket.problem.as_ref()?.kind.word()));
    let problems: BTreeSet<&str> = problems.collect();
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
        match problems.is_empty() {
            true => Cell::new(
                socket_states.into_iter().collect::<Vec<_>>().join(","),
                if sockets_well { Paint::Green } else { Paint::Yellow },
            ),
            false => Cell::new(problems.into_iter().collect::<Vec<_>>().join(","), Paint::Red),
        },
        Cell::plain(listen.join(",")),
        Cell::plain(row.image.clone().or_else(|| row.rootfs.clone()).unwrap_or_default()),
        Cell::new(
            row.service.health.unwrap_or_default(),
            match row.service.health {
                Some("healthy") => Paint::Green,
                Some("unhealthy") => Paint::Red,
                _ => Paint::Yellow,
            },
        ),
        Cell::plain(row.service.status_text.clone().unwrap_or_default()),
    ]
}
