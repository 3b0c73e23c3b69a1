//! Turns definitions into unit files, install links and resolved definitions, without touching the system.
//!
//! What each definition becomes is design in three steps: every definition is drafted on its own ([`draft`]), drafts that would write
//! the same file are refused together, and what is broken by then becomes a service that fails with the reasons, behind its sockets where the
//! mistakes leave these alone ([`broken`]). So one bad definition never stops another, and nothing is ever written twice.
//!
//! Nothing here but [`run`] and what it uses opens a file or reads the environment. The same definitions always give the same bytes:
//! systemd rereads units at every reload, and a socket whose text changed must be restarted (systemd.generator(7)).

pub mod accept;
pub mod broken;
pub mod condition;
pub mod credential;
pub mod draft;
pub mod health;
pub mod install;
pub mod invocation;
pub mod proxy;
pub mod reload;
pub mod report;
pub mod run;
pub mod service;
pub mod socket;
#[cfg(test)]
mod tests;
pub mod timer;
pub mod unit_section;
pub mod version;
pub mod volume;
pub mod write;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::places::{Loaded, Scope};
use crate::generate::broken::Broken;
use crate::generate::draft::{Draft, Fate};
use crate::threads::share;

/// What the generator must know of the system that will run the units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The system's manager or a user's.
    pub scope: Scope,
    /// Where the units and `NAME.json` will lie, as the running system sees it.
    pub output_directory: PathBuf,
    /// The program in `ExecStart=`.
    pub shim: PathBuf,
    /// The major version: 252 is the oldest supported.
    pub systemd_version: u32,
}

/// Everything that is to be written, and everything that is to be said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Path below the output directory, and the file's text. Unit names are text, and text is compared faster than paths.
    pub files: BTreeMap<String, String>,
    /// Path below the output directory, and what the symbolic link says.
    pub links: BTreeMap<String, String>,
    /// The parser's diagnostics and the generator's own, by definition and in the order of its file.
    pub diagnostics: Vec<Report>,
    /// The definitions that cannot be started.
    pub broken: Vec<Broken>,
}

/// A diagnostic and the unit in whose journal it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// `NAME.service`; empty where the mistake belongs to no definition.
    pub unit: String,
    /// The mistake.
    pub diagnostic: Diagnostic,
}

/// Decides what to write for these definitions.
#[must_use]
pub fn generate(loaded: &[Loaded], context: &Context) -> Output {
    let mut drafts = share(loaded, |share| {
        share.iter().map(|one| Draft::new(one, context)).collect()
    });
    refuse_collisions(&mut drafts);
    shut_where_taken(&mut drafts);
    for draft in &mut drafts {
        install::link(draft, context);
    }
    let broken = drafts.iter().filter_map(Broken::of).collect();
    let mut files = Vec::new();
    for (stem, drafts) in broken::by_stem(&drafts) {
        files.extend(broken::files(stem, &drafts, context));
    }
    for draft in &mut drafts {
        if draft.fate() != Fate::Shut {
            files.append(&mut draft.files);
        }
    }
    let mut output = Output {
        files: files.into_iter().collect(),
        broken,
        ..Output::default()
    };
    for mut draft in drafts {
        install_links(&mut draft, &mut output);
        let diagnostics = std::mem::take(&mut draft.diagnostics);
        output
            .diagnostics
            .extend(diagnostics.into_iter().map(|diagnostic| Report {
                unit: draft.unit(),
                diagnostic,
            }));
    }
    output
}

/// Two definitions that would write the same file: an error in both, naming the other, since nobody can say which one is meant.
fn refuse_collisions(drafts: &mut [Draft<'_>]) {
    let mut errors = Vec::new();
    // One mistake is told once: `web.json` collides wherever `web.service` does.
    for (name, indexes) in repeated(drafts, Draft::claims) {
        if name.ends_with(".json") {
            continue;
        }
        for index in &indexes {
            let mut others: Vec<String> = indexes
                .iter()
                .filter(|other| *other != index)
                .map(|other| format!("'{}'", drafts[*other].definition().source.display()))
                .collect();
            others.dedup();
            let message = if others.is_empty() {
                format!("the unit '{name}' would be written twice")
            } else {
                format!(
                    "the unit '{name}' is also made by {}, none of them is started",
                    others.join(", ")
                )
            };
            errors.push((*index, name.to_owned(), message));
        }
    }
    errors.dedup();
    for (index, name, message) in errors {
        let suggestion = "rename one of the files, its sockets, or set 'ServiceName='";
        drafts[index].say_of_unit(&name, Severity::Error, message, Some(suggestion.to_owned()));
    }
}

/// A broken definition whose sockets or what they start would be another's too has none of them. It is not the other's mistake, so nothing is said
/// of it before there is no other one.
fn shut_where_taken(drafts: &mut [Draft<'_>]) {
    if drafts.iter().all(|draft| draft.fate() != Fate::Open) {
        return;
    }
    let taken: Vec<usize> = repeated(drafts, Draft::names)
        .into_iter()
        .flat_map(|(_, indexes)| indexes)
        .collect();
    for index in taken {
        if drafts[index].fate() == Fate::Open {
            drafts[index].shut();
        }
    }
}

/// The names that occur more than once among those that `of` gives of each draft, in order, each with the numbers of the drafts.
fn repeated<'d, 'a, N: Iterator<Item = &'d str>>(
    drafts: &'d [Draft<'a>],
    of: impl Fn(&'d Draft<'a>) -> N,
) -> Vec<(&'d str, Vec<usize>)> {
    let mut names: Vec<(&str, usize)> = Vec::new();
    for (index, draft) in drafts.iter().enumerate() {
        names.extend(of(draft).map(|name| (name, index)));
    }
    names.sort_unstable();
    let alike = names.chunk_by(|one, other| one.0 == other.0);
    alike
        .filter(|alike| alike.len() > 1)
        .map(|alike| (alike[0].0, alike.iter().map(|(_, index)| *index).collect()))
        .collect()
}

/// Adds a draft's links, save for those that would hide a unit or another link.
fn install_links(draft: &mut Draft<'_>, output: &mut Output) {
    for (path, target) in std::mem::take(&mut draft.links) {
        match output.links.entry(path) {
            Entry::Occupied(same) if *same.get() == target => {}
            Entry::Vacant(free) if !output.files.contains_key(free.key()) => _ = free.insert(target),
            taken => {
                let name = taken.key();
                let message = format!("the name '{name}' in [Install] is taken by another unit, ignoring");
                draft.say_of_unit(name, Severity::Warning, message, None);
            }
        }
    }
}
