//! `coracle image rm`: takes names out of the store, and the files that nothing needs then.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::image::reference;
use crate::cli::output::Output;
use crate::cli::scope::Scope;
use crate::definition::Root;
use crate::definition::volume::Source;
use crate::image::reference::Reference;
use crate::store::Store;
use crate::store::remove::InUse;

/// Remove images
///
/// An image that a definition names or a running container uses is kept unless --force is given. Layers that other images need stay.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coracle image rm docker.io/library/nginx:1.26")]
pub struct Arguments {
    /// The images
    #[arg(value_name = "REFERENCE", required = true)]
    pub references: Vec<String>,
    /// Even if a definition names the image, or a running container uses it (its files then go once they are free)
    #[arg(long, short)]
    pub force: bool,
    /// Whose store and definitions.
    #[command(flatten)]
    pub scope: Scope,
}

/// A definition that names an image.
struct User {
    reference: Reference,
    definition: PathBuf,
}

/// Removes one after the other; one that cannot be removed does not stop the others.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    let store = Store::open(&arguments.scope.store())?;
    let users = users(&arguments.scope);
    arguments.scope.enter_store()?;
    let mut problems = Vec::new();
    for text in &arguments.references {
        match remove(text, arguments, &store, &users) {
            Ok(name) => {
                tracing::info!(image = %name, "removed image '{name}'");
                output.line(&name)?;
            }
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

/// All definitions that name an image, running or not: the next connection may start them.
fn users(scope: &Scope) -> Vec<User> {
    let mut users = Vec::new();
    for definition in scope.load().into_iter().map(|loaded| loaded.definition) {
        let root = match &definition.container.root {
            Root::Image(name) => Some(name),
            Root::Rootfs(_) => None,
        };
        let mounted = definition
            .container
            .volumes
            .iter()
            .filter_map(|volume| match &volume.source {
                Source::Image { reference, .. } => Some(reference),
                _ => None,
            });
        users.extend(root.into_iter().chain(mounted).filter_map(|name| {
            Some(User {
                reference: name.parse().ok()?,
                definition: definition.source.clone(),
            })
        }));
    }
    users
}

fn remove(text: &str, arguments: &Arguments, store: &Store, users: &[User]) -> Result<String> {
    let reference = reference(text)?;
    let in_use = if arguments.force { InUse::Force } else { InUse::Refuse };
    if in_use == InUse::Refuse
        && let Some(user) = users.iter().find(|user| means_the_same(&user.reference, &reference))
    {
        bail!(
            "image '{reference}' is named by '{}': remove that first, or give '--force'",
            user.definition.display()
        );
    }
    store.remove(&reference, in_use)
}

/// Whether removing `removed` takes what `used` names.
fn means_the_same(used: &Reference, removed: &Reference) -> bool {
    if used.name() != removed.name() {
        return false;
    }
    match (used.digest(), removed.digest()) {
        (Some(used), Some(removed)) => used == removed,
        (None, None) => used.tag() == removed.tag(),
        // One by its digest, one by its tag: it may be the same image, and it is better to ask.
        _ => true,
    }
}
