//! `coracle volume create`: makes volumes before a container needs them.

use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cli::output::Output;
use crate::cli::scope::Scope;
use crate::cli::volume::{checked, enter};
use crate::definition::volume::Backing;
use crate::store::Store;

/// Make empty volumes
///
/// It is seldom needed: a container makes the volumes it names, and fills them from its image. One that is made here is not filled. Its owner
/// is the one that NAME.volume.toml says, root otherwise.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  coracle volume create data && tar x -C \"$(coracle volume inspect data | jq -r .path)\" <backup.tar"
)]
pub struct Arguments {
    /// The volumes
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Whose store and definitions.
    #[command(flatten)]
    pub scope: Scope,
}

/// Makes one after the other, and prints their names.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    let volumes = Store::open(&arguments.scope.store())?.volumes();
    let contents = arguments.scope.contents();
    // So that it belongs to the user and not to whoever is root in the namespace.
    volumes.prepare()?;
    enter()?;
    for name in &arguments.names {
        let name = checked(name)?;
        let of_name = |loaded: &&crate::definition::volume::LoadedVolume| loaded.definition.name == *name;
        let settings = contents
            .volumes
            .iter()
            .find(of_name)
            .map(|loaded| loaded.definition.settings.clone());
        let settings = settings.unwrap_or_default();
        ensure!(
            settings.backing == Backing::Directory,
            "the volume '{name}' is mounted by '{}', start that",
            crate::generate::volume::unit(name)
        );
        let making = volumes.make(name)?;
        let making = making.with_context(|| format!("there is a volume '{name}' already"))?;
        let path = making.path();
        std::os::unix::fs::chown(path, settings.user, settings.group)
            .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("making the volume '{name}'"))?;
        making.finish()?;
        tracing::info!(volume = %name, "created volume '{name}'");
        output.line(name)?;
    }
    Ok(ExitCode::SUCCESS)
}
