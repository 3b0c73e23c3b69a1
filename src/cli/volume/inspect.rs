//! `coracle volume inspect`: everything about one volume, as JSON.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use crate::cli::output::Output;
use crate::cli::scope::Scope;
use crate::cli::volume::{Use, checked, enter, marks, users, users_of};
use crate::definition::volume::{Backing, Copying};
use crate::store::Store;
use crate::store::volume::is_mounted;

/// Show a volume's directory, owner, settings and users as JSON
///
/// The settings are those of its definition NAME.volume.toml; a volume without one has the defaults.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coracle volume inspect data | jq -r .path")]
pub struct Arguments {
    /// The volume
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Whose store and definitions.
    #[command(flatten)]
    pub scope: Scope,
}

/// Prints the volume.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    let name = checked(&arguments.name)?;
    let path = Store::open(&arguments.scope.store())?.volumes().path(name);
    let contents = arguments.scope.contents();
    let marks = marks(&arguments.scope);
    // Owners are then those that containers see.
    enter()?;
    let metadata = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("there is no volume '{name}'"),
        metadata => metadata.with_context(|| format!("looking at '{}'", path.display()))?,
    };
    let users = users(&contents);
    let of_name = |loaded: &&crate::definition::volume::LoadedVolume| loaded.definition.name == name;
    let definition = contents.volumes.iter().find(of_name).map(|loaded| &loaded.definition);
    let settings = definition
        .map(|definition| definition.settings.clone())
        .unwrap_or_default();
    let labels: serde_json::Map<_, _> = definition
        .into_iter()
        .flat_map(|definition| &definition.labels)
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    output.json(&json!({
        "name": name,
        "path": path,
        "state": Use::of(name, marks.as_ref()).word(),
        "uid": metadata.uid(),
        "gid": metadata.gid(),
        "mode": format!("{:04o}", metadata.mode() & 0o7777),
        "copy": settings.copy == Copying::Copy,
        "mount": (settings.backing == Backing::Mount).then(|| crate::generate::volume::unit(name)),
        "mounted": is_mounted(&path),
        "labels": labels,
        "definition": definition.map(|definition| &definition.source),
        "definitions": users_of(&users, name),
    }))?;
    Ok(ExitCode::SUCCESS)
}
