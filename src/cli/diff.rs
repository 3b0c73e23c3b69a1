//! `coracle diff`: what a running container has written, against its image.
//!
//! The writable layer is read as it lies on the host. What Coracle itself has made there, the places of mounts that the image does not
//! have, is not told.

mod changes;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::cli::diff::changes::{Kind, changes};
use crate::cli::inside;
use crate::cli::output::{Cell, Format, Output, Paint};
use crate::definition::Resolved;
use crate::plan::network::likely;
use crate::run::{planning, subordinate};
use crate::store::Store;

/// Show what a container has changed in its root file system
///
/// A line a path: A for what was added, C for what was changed, D for what was deleted. What lies in volumes and in memory is no part of the root
/// file system. All of it is gone when the container stops.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coracle diff web\n  coracle diff web --format json | jq -r '.[] | select(.kind == \"added\").path'"
)]
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

/// Prints it.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<ExitCode> {
    let scope = inside::scope(arguments.user);
    let manager = scope.service_manager();
    let container = inside::find(&scope, &arguments.name)?;
    let main = inside::main_process(manager, &container)?;
    let resolved = inside::resolved(&main)?;
    let reading = || format!("reading '{}'", resolved.display());
    let text = fs::read_to_string(&resolved).with_context(reading)?;
    let definition = match serde_json::from_str(&text).with_context(reading)? {
        Resolved::Container(definition) => definition,
        Resolved::Broken(diagnostics) => bail!("{}", diagnostics.join("\n")),
    };
    let store = Store::open(&scope.store())?;
    let addresses = likely(&definition.container.network, &container.unit);
    let (plan, _) = planning::plan(&definition, &container.unit, &[], Path::new("/"), &store, &addresses)?;
    let Some(writable) = &plan.writable_layer else {
        bail!("'{}' cannot write to its root file system (ReadOnly=)", container.name);
    };
    let places = plan.mounts.iter().map(|mount| mount.target.as_path());
    let places = places.chain([Path::new(&plan.process.working_directory)]);
    let ours: BTreeSet<PathBuf> = places.flat_map(Path::ancestors).map(Path::to_path_buf).collect();
    if !nix::unistd::geteuid().is_root() {
        // What others of the container have closed is open to its root only.
        subordinate::enter_own()?;
    }
    let changes = changes(&writable.join("upper"), &plan.layers, &ours)?;
    match arguments.format {
        Format::Json => output.json(&changes)?,
        Format::Table => {
            for change in &changes {
                let (letter, paint) = match change.kind {
                    Kind::Added => ("A", Paint::Green),
                    Kind::Changed => ("C", Paint::Yellow),
                    Kind::Deleted => ("D", Paint::Red),
                };
                let path = Cell::plain(change.path.to_string_lossy());
                let line = format!("{} {}", output.paint(paint, letter), path.shown());
                output.line(&line)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
