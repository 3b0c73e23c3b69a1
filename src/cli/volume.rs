//! `coracle volume`: the volumes of this machine.
//!
//! A volume is a directory; who uses it follows from the definitions and from the locks of running containers. Nothing else is written down.

pub mod create;
pub mod inspect;
pub mod list;
pub mod prune;
pub mod rm;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};

use crate::cli::journal;
use crate::cli::output::Output;
use crate::cli::scope::Scope;
use crate::definition::name::prefix;
use crate::definition::places::Contents;
use crate::definition::volume::{Source, is_name};
use crate::run::mark::{Marks, Subject};
use crate::run::subordinate;

/// List, inspect, create and remove volumes
///
/// A volume is made at the first start of a container that names it (Volume = "NAME:/path"), with the files that the image has in its place.
/// It stays until it is removed here. It is a directory below /var/lib/coracle/volumes; the owners of its files are those that containers see.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coracle volume list\n  coracle volume prune --dry-run")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs. Each is described by its own arguments, from which its help and its manual page are made.
#[derive(Debug, Subcommand)]
#[allow(
    missing_docs,
    reason = "a comment here would stand in the help instead of that description"
)]
pub enum Verb {
    List(list::Arguments),
    Inspect(inspect::Arguments),
    Create(create::Arguments),
    Rm(rm::Arguments),
    Prune(prune::Arguments),
}

/// Does what was typed.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    journal::open();
    match &arguments.verb {
        Verb::List(arguments) => list::run(arguments, output),
        Verb::Inspect(arguments) => inspect::run(arguments, output),
        Verb::Create(arguments) => create::run(arguments, output),
        Verb::Rm(arguments) => rm::run(arguments, output),
        Verb::Prune(arguments) => prune::run(arguments, output),
    }
}

/// What tells which volumes are in use; nothing where they are another system's, whose containers do not run here.
fn marks(scope: &Scope) -> Option<Marks> {
    scope.root.is_none().then(Marks::of_this_user)
}

/// Prepares this process for what it takes to change volumes: without root, for files of others that the user has in containers.
fn enter() -> Result<()> {
    match nix::unistd::geteuid().is_root() {
        true => Ok(()),
        false => subordinate::enter_own(),
    }
}

/// Whether a running container uses a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// One does, or may.
    Running,
    /// None does.
    Idle,
    /// Nobody can say: these are not this system's, or the user may not know.
    Unknown,
}

impl Use {
    fn of(name: &str, marks: Option<&Marks>) -> Self {
        let Some(marks) = marks else { return Self::Unknown };
        match marks.claim(Subject::Volume(name)) {
            Ok(None) => Self::Running,
            Ok(Some(_)) => Self::Idle,
            Err(_) => Self::Unknown,
        }
    }

    const fn word(self) -> Option<&'static str> {
        match self {
            Self::Running => Some("in-use"),
            Self::Idle => Some("idle"),
            Self::Unknown => None,
        }
    }
}

/// The definitions that name each volume, containers' and volumes' own. Of a template's volume, the part before the specifier is known only.
fn users(contents: &Contents) -> BTreeMap<String, Vec<PathBuf>> {
    let mut users: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for loaded in &contents.definitions {
        for volume in &loaded.definition.container.volumes {
            if let Source::Named(named) = &volume.source {
                let pattern = named.name.replace("%p", prefix(loaded.definition.stem()));
                let sources = users.entry(pattern).or_default();
                if !sources.contains(&loaded.definition.source) {
                    sources.push(loaded.definition.source.clone());
                }
            }
        }
    }
    for loaded in &contents.volumes {
        users
            .entry(loaded.definition.name.clone())
            .or_default()
            .push(loaded.definition.source.clone());
    }
    users
}

/// Those of a volume: where a name holds specifiers, of every volume that it may become.
fn users_of<'u>(users: &'u BTreeMap<String, Vec<PathBuf>>, name: &str) -> Vec<&'u PathBuf> {
    users
        .iter()
        .filter(|(pattern, _)| may_be(pattern, name))
        .flat_map(|(_, sources)| sources)
        .collect()
}

/// Whether a name with specifiers may stand for `name`. In doubt it may: then the volume stays.
fn may_be(pattern: &str, name: &str) -> bool {
    let Some((before, _)) = pattern.split_once('%') else {
        return pattern == name;
    };
    // Behind the last percent sign stands its letter.
    let after = pattern
        .rsplit_once('%')
        .and_then(|(_, rest)| rest.get(1..))
        .unwrap_or_default();
    name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
}

/// A name that was typed.
fn checked(name: &str) -> Result<&str> {
    ensure!(
        is_name(name),
        "'{name}' cannot be a volume's name, which is made of letters, digits and '_', '.', '-'"
    );
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::may_be;

    #[test]
    fn names_of_templates_stand_for_many() {
        assert!(may_be("data", "data") && !may_be("data", "data2") && !may_be("data2", "data"));
        assert!(may_be("data-%i", "data-a") && may_be("data-%i", "data-") && !may_be("data-%i", "dat"));
        assert!(may_be("%i-data", "x-data") && !may_be("%i-data", "x-date"));
        assert!(may_be("a-%i-b", "a-x-b") && !may_be("a-%i-b", "a-x-c"));
    }
}
