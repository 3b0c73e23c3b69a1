//! `coracle stats`: what the running containers use, from their units' control groups.
//!
//! systemd says which control group a unit has, the kernel what is used in it; nothing here keeps anything but the last look, from which the
//! share of a processor is told. What this host does not count (a controller that is not there) is shown as `-`.

pub(in crate::cli) mod row;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use crate::cli::output::{Format, Output, complain};
use crate::cli::scope::Scope;
use crate::cli::stats::row::{Look, Numbers, Row};
use crate::cli::units::{self, Container};
use crate::systemd::{Manager, cgroup, control};

/// Show what running containers use: processor, memory, tasks, input and output
///
/// Without NAME, of all that run. On a terminal the table is renewed until Ctrl-C. Anywhere else it is printed once, with tabs between the
/// columns and exact numbers (bytes, percent of one processor): name, CPU, memory, its limit, tasks, read, written, restarts. A '-' is what
/// this host does not count, or a limit that is not set.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coracle stats\n  coracle stats web --no-stream\n  coracle stats --format json | jq -r '.[] | select(.memory > 1e9) | .name'"
)]
pub struct Arguments {
    /// Only these containers
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Print the table once
    #[arg(long)]
    pub no_stream: bool,
    /// Seconds between two looks
    #[arg(short = 'n', long, default_value = "2", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub interval: u64,
    /// Those of the calling user's service manager
    #[arg(long)]
    pub user: bool,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
}

/// How long the first look and the second one are apart.
const FIRST: Duration = Duration::from_millis(300);

const HEADING: [&str; 8] = ["NAME", "CPU", "MEMORY", "LIMIT", "TASKS", "READ", "WRITTEN", "RESTARTS"];

/// Clears the terminal from its upper left corner on.
const CLEAR: &[u8] = b"\x1b[H\x1b[J";

/// Prints the table, once or again and again.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<ExitCode> {
    let scope = Scope {
        user: arguments.user,
        root: None,
    };
    let manager = scope.service_manager();
    let named = arguments
        .names
        .iter()
        .map(|name| units::find(&scope, name))
        .collect::<Result<Vec<_>>>()?;
    let on_terminal = io::stdout().is_terminal();
    let numbers = if on_terminal { Numbers::Short } else { Numbers::Exact };
    let once = arguments.no_stream || !on_terminal || arguments.format == Format::Json;
    let mut before = look(&named, &scope, manager)?;
    let mut pause = FIRST;
    loop {
        if !before.is_empty() {
            sleep(pause);
        }
        pause = Duration::from_secs(arguments.interval);
        let now = look(&named, &scope, manager)?;
        let rows: Vec<Row> = now
            .iter()
            .map(|(container, look)| Row::of(container, look, before.get(container)))
            .collect();
        match arguments.format {
            Format::Json => output.json(&rows)?,
            Format::Table => {
                if !once {
                    output.bytes(CLEAR)?;
                }
                output.table(&HEADING, &rows.iter().map(|row| row.cells(numbers)).collect::<Vec<_>>())?;
            }
        }
        output.finish()?;
        if once {
            if rows.is_empty() && arguments.format == Format::Table {
                complain("no container is running");
            }
            return Ok(ExitCode::SUCCESS);
        }
        if now.is_empty() {
            sleep(pause);
        }
        before = now;
    }
}

/// One look at all that is wanted.
fn look(named: &[Container], scope: &Scope, manager: Manager) -> Result<BTreeMap<Container, Look>> {
    let containers = match named {
        [] => units::running(scope, manager)?,
        named => named.to_vec(),
    };
    let units: Vec<_> = containers.iter().map(|container| container.unit.clone()).collect();
    let services = control::services(manager, &units)?;
    let looks = services.into_iter().map(|service| Look {
        usage: service
            .control_group
            .map(|group| cgroup::usage(&cgroup::directory(&group))),
        restarts: service.restarts,
        at: Instant::now(),
    });
    Ok(containers.into_iter().zip(looks).collect())
}
