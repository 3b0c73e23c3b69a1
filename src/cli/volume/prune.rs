//! `coracle volume prune`: removes the volumes that nothing names, and what was left behind.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::output::Output;
use crate::cli::scope::Scope;
use crate::cli::volume::rm::remove;
use crate::cli::volume::{Use, enter, marks, users, users_of};
use crate::definition::places::Contents;
use crate::run::cleanup;
use crate::store::Store;

/// Remove the volumes that no definition names
///
/// Volumes of running containers stay, whoever started them. As long as a definition has mistakes, it is not known what it names: then
/// nothing is removed. Writable layers that killed containers have left behind are removed too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coracle volume prune --dry-run\n  coracle volume prune")]
pub struct Arguments {
    /// Say what would be removed, and remove nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Whose store and definitions.
    #[command(flatten)]
    pub scope: Scope,
}

/// Removes them, and prints their names.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    let store = Store::open(&arguments.scope.store())?;
    let volumes = store.volumes();
    let contents = arguments.scope.contents();
    if let Some(broken) = broken(&contents) {
        bail!("'{broken}' has mistakes, so it is not known which volumes it names: mend it first ('coracle check')");
    }
    let users = users(&contents);
    let marks = marks(&arguments.scope);
    enter()?;
    for name in volumes.names()? {
        if !users_of(&users, &name).is_empty() || Use::of(&name, marks.as_ref()) == Use::Running {
            continue;
        }
        if !arguments.dry_run {
            remove(&volumes, &name, marks.as_ref())?;
        }
        output.line(&name)?;
    }
    if !arguments.dry_run {
        volumes.sweep()?;
        if let Some(marks) = &marks {
            cleanup::sweep(&store, marks)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn broken(contents: &Contents) -> Option<String> {
    let containers = contents.definitions.iter().filter(|loaded| loaded.is_broken());
    let volumes = contents.volumes.iter().filter(|loaded| loaded.is_broken());
    let sources = containers.map(|loaded| &loaded.definition.source);
    let mut sources = sources.chain(volumes.map(|loaded| &loaded.definition.source));
    sources.next().map(|source| source.display().to_string())
}
