//! `coracle set NAME KEY=VALUE…`: changes properties of a container's unit while it runs.
//!
//! Every limit of a container is a property of its unit, and systemd changes those of a unit that runs. All are read before any is set, and
//! systemd sets all or none.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::cli::output::Output;
use crate::cli::scope::Scope;
use crate::cli::{journal, units};
use crate::systemd::control::{self, Duration};
use crate::systemd::property;

/// Change limits of a container while it runs
///
/// The keys are those of systemd.resource-control(5); an empty value takes one back. Until the next boot, or with --persist for good: systemd
/// then keeps them below /etc/systemd/system.control, stronger than the definition. 'systemctl revert' undoes both.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coracle set web MemoryMax=512M CPUQuota=50%\n  coracle set web TasksMax=\n  coracle set web --persist IOWeight=50"
)]
pub struct Arguments {
    /// The container
    pub name: String,
    /// What to change: MemoryMax=, MemoryHigh=, CPUQuota=, CPUWeight=, TasksMax=, IOWeight=, IPAddressDeny= …
    #[arg(required = true, value_name = "KEY=VALUE")]
    pub properties: Vec<String>,
    /// Until the next boot, which is the default
    #[arg(long, conflicts_with = "persist")]
    pub runtime: bool,
    /// Also after the next boot
    #[arg(long)]
    pub persist: bool,
    /// One of the calling user's service manager
    #[arg(long)]
    pub user: bool,
}

/// Changes them.
pub fn run(arguments: &Arguments, _output: &mut Output) -> Result<ExitCode> {
    let scope = Scope {
        user: arguments.user,
        root: None,
    };
    let manager = scope.service_manager();
    let mut properties = Vec::new();
    for pair in &arguments.properties {
        let (key, value) = property::split(pair)?;
        properties.extend(property::parse(key, value)?);
    }
    let container = units::find(&scope, &arguments.name)?;
    let duration = if arguments.persist {
        Duration::Persistent
    } else {
        Duration::Runtime
    };
    control::set_properties(manager, &container.unit, duration, &properties)?;
    journal::open();
    tracing::info!(
        unit = container.unit,
        properties = arguments.properties.join(" "),
        "properties set"
    );
    Ok(ExitCode::SUCCESS)
}
