//! `coracle volume rm`: removes volumes with all that is in them.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cli::output::Output;
use crate::cli::scope::Scope;
use crate::cli::volume::{checked, enter, marks, users, users_of};
use crate::run::mark::{Marks, Subject};
use crate::store::Store;
use crate::store::volume::Volumes;

/// Remove volumes
///
/// A volume that a running container uses is never removed, one that a definition names only with --force: the next start makes it anew.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coracle volume rm old-data")]
pub struct Arguments {
    /// The volumes
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Even if a definition names the volume
    #[arg(long, short)]
    pub force: bool,
    /// Whose store and definitions.
    #[command(flatten)]
    pub scope: Scope,
}

/// Removes one after the other; one that cannot be removed does not stop the others.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    let volumes = Store::open(&arguments.scope.store())?.volumes();
    let users = users(&arguments.scope.contents());
    let marks = marks(&arguments.scope);
    enter()?;
    let mut problems = Vec::new();
    for name in &arguments.names {
        let result = checked(name).and_then(|name| match users_of(&users, name).first() {
            Some(user) if !arguments.force => bail!(
                "the volume '{name}' is named by '{}': remove that first, or give '--force'",
                user.display()
            ),
            _ => remove(&volumes, name, marks.as_ref()),
        });
        match result {
            Ok(()) => output.line(name)?,
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    if !problems.is_empty() {
        // What was removed is told before what was not.
        output.finish()?;
        bail!("{}", problems.join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes a volume that no running container uses. No other begins to meanwhile.
pub(super) fn remove(volumes: &Volumes, name: &str, marks: Option<&Marks>) -> Result<()> {
    let claim = match marks {
        None => None,
        Some(marks) => Some(
            marks
                .claim(Subject::Volume(name))?
                .with_context(|| format!("the volume '{name}' is in use by a running container: stop it first"))?,
        ),
    };
    volumes.remove(name)?;
    drop(claim);
    tracing::info!(volume = %name, "removed volume '{name}'");
    Ok(())
}
