//! Reads what of the host the payload's environment is made of: the definition's environment files, and the name of the host's time zone.
//!
//! It happens before there is a container. The paths are the administrator's, so links in them are followed; nothing of the image takes
//! part.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::definition::{Container, EnvironmentFile};
use crate::plan::mount::{LOCAL_TIME, ZONES};
use crate::plan::specifier::Specifiers;
use crate::run::failure::{Priority, say};
use crate::unitfile::environment;

/// More than execve(2) would take.
const LIMIT: u64 = 4 << 20;

/// The variables that `files` set, in their order.
///
/// # Errors
/// A file that has to be there cannot be read, or is none.
pub fn read(files: &[EnvironmentFile], specifiers: &Specifiers<'_>) -> Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for file in files {
        let path = specifiers
            .expand(&file.path.to_string_lossy())
            .context("expanding 'EnvironmentFile'")?;
        let text = match text(Path::new(&path)) {
            Err(error) if file.optional && is_missing(&error) => continue,
            text => text.with_context(|| format!("reading the environment file '{path}'"))?,
        };
        let environment = environment::parse(&text);
        for line in environment.skipped {
            let message = format!("{path}:{line}: this is not NAME=VALUE, ignoring");
            say(Priority::Warning, &message);
        }
        variables.extend(environment.variables);
    }
    Ok(variables)
}

fn text(path: &Path) -> Result<String> {
    let file = File::open(path)?;
    ensure!(!file.metadata()?.is_dir(), "it is a directory");
    let mut text = String::new();
    file.take(LIMIT + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= LIMIT, "it is longer than {} MiB", LIMIT >> 20);
    Ok(text)
}

fn is_missing(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

/// The name of the host's time zone, where `container` is to have it.
#[must_use]
pub fn local_zone(container: &Container) -> Option<String> {
    container.timezone.as_ref().filter(|zone| *zone == "local")?;
    let link = std::fs::read_link(LOCAL_TIME).ok()?;
    let (_, name) = link.to_str()?.split_once(ZONES)?;
    let name = name.strip_prefix('/')?;
    // It becomes a part of a path in the container.
    let is_part = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric());
    name.split('/').all(is_part).then(|| name.to_owned())
}
