//! `coracle top NAME`: the processes of a container, as the host and as the container number them.

mod process;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::cli::output::{Cell, Format, Output, Paint};
use crate::cli::scope::Scope;
use crate::cli::stats::row::short;
use crate::cli::top::process::Process;
use crate::cli::units;
use crate::systemd::{cgroup, control};

/// List the processes of a container
///
/// All processes of its unit, Coracle's own init among them: its number inside is 1. Not on a terminal, the columns are separated by tabs
/// and have no heading: number on the host, number inside, user (of the host), processor time in seconds, resident memory in bytes, command.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coracle top web\n  coracle top web --format json | jq '.[].pid'")]
pub struct Arguments {
    /// The container
    pub name: String,
    /// One of the calling user's service manager
    #[arg(long)]
    pub user: bool,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
}

/// Prints them.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<ExitCode> {
    let scope = Scope {
        user: arguments.user,
        root: None,
    };
    let manager = scope.service_manager();
    let container = units::find(&scope, &arguments.name)?;
    let services = control::services(manager, std::slice::from_ref(&container.unit))?;
    let service = services.into_iter().next().context("systemd gave no answer")?;
    let Some(group) = service.control_group else {
        bail!(
            "'{}' is not running ({} is {})",
            container.name,
            container.unit,
            service.active
        );
    };
    let pids = cgroup::processes(&cgroup::directory(&group))?;
    // One that has ended since is no part of the list.
    let processes: Vec<_> = pids.into_iter().filter_map(Process::read).collect();
    match arguments.format {
        Format::Json => output.json(&processes)?,
        Format::Table => {
            let on_terminal = io::stdout().is_terminal();
            let rows: Vec<_> = processes.iter().map(|process| cells(process, on_terminal)).collect();
            output.table(&["PID", "INSIDE", "USER", "CPU", "RSS", "COMMAND"], &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn cells(process: &Process, for_people: bool) -> Vec<Cell> {
    let rss = match for_people {
        true => short(process.rss),
        false => process.rss.to_string(),
    };
    vec![
        Cell::new(process.pid.to_string(), Paint::Bold),
        Cell::plain(process.inside.map(|pid| pid.to_string()).unwrap_or_default()),
        Cell::plain(process.user.clone()),
        Cell::plain(format!(
            "{}.{:02}",
            process.cpu_usec / 1_000_000,
            process.cpu_usec % 1_000_000 / 10_000
        )),
        Cell::plain(rss),
        Cell::plain(process.command.clone()),
    ]
}
