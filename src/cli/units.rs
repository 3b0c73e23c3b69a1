//! Which unit a container's name means, and which containers run.
//!
//! A container is a definition, an instance of a template, or what `coracle run` has started and not yet ended.

use anyhow::{Result, bail};

use crate::cli::run::containers;
use crate::cli::scope::Scope;
use crate::definition::keys::nearest_of;
use crate::generate::draft::Draft;
use crate::systemd::{self, Manager, Question};
use crate::unitfile::name::{instantiate, is_template};

/// A container and its service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Container {
    /// What it is called here.
    pub(super) name: String,
    /// Its service's full name.
    pub(super) unit: String,
}

/// The names and service stems of all containers that there can be; a template's end in `@`.
fn known(scope: &Scope) -> Vec<(String, String)> {
    let context = scope.context();
    let loaded = scope.load();
    let defined = loaded
        .iter()
        .map(|one| (one.definition.name.clone(), Draft::new(one, &context).stem));
    let transient = containers(scope).into_iter().map(|stem| (stem.clone(), stem));
    defined.chain(transient).filter(|(_, stem)| !stem.is_empty()).collect()
}

/// The container of this name, or of a unit with this name.
///
/// # Errors
/// There is none.
pub(super) fn find(scope: &Scope, typed: &str) -> Result<Container> {
    let wanted = typed.strip_suffix(".service").unwrap_or(typed);
    let known = known(scope);
    let exact = known.iter().find(|(name, stem)| name == wanted || stem == wanted);
    if let Some((name, stem)) = exact.filter(|(_, stem)| !is_template(stem)) {
        return Ok(Container {
            name: name.clone(),
            unit: format!("{stem}.service"),
        });
    }
    if let Some((name, _)) = exact {
        bail!("'{name}' is a template: name one of its instances, such as '{name}NAME'");
    }
    if let Some((prefix, instance)) = wanted.split_once('@') {
        let template = format!("{prefix}@");
        if let Some((_, stem)) = known.iter().find(|(name, stem)| *name == template || *stem == template) {
            let unit = format!("{}.service", instantiate(stem, instance));
            return Ok(Container {
                name: wanted.to_owned(),
                unit,
            });
        }
    }
    match nearest_of(wanted, known.iter().map(|(name, _)| name.as_str())) {
        Some(near) => bail!("there is no container '{typed}', did you mean '{near}'?"),
        None => bail!("there is no container '{typed}'; 'coracle list' shows what is defined"),
    }
}

/// The containers that run, by name.
///
/// # Errors
/// systemd cannot be reached.
pub(super) fn running(scope: &Scope, manager: Manager) -> Result<Vec<Container>> {
    let known = known(scope);
    let mut question = Question::default();
    for (_, stem) in &known {
        match is_template(stem) {
            // A backslash is part of an escaped name, and would quote the next character in a pattern.
            true => question
                .patterns
                .push(instantiate(stem, "*").replace('\\', "\\\\") + ".service"),
            false => question.names.push(format!("{stem}.service")),
        }
    }
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let states = systemd::states(manager, &question)?;
    let is_up = |active: &str| matches!(active, "active" | "reloading" | "activating" | "deactivating");
    let mut running: Vec<_> = states
        .into_iter()
        .filter(|(_, state)| is_up(&state.active))
        .map(|(unit, _)| Container {
            name: name_of(&unit, &known),
            unit,
        })
        .collect();
    running.sort();
    running.dedup();
    Ok(running)
}

/// What a unit is called: its definition's name, unless it is an instance.
fn name_of(unit: &str, known: &[(String, String)]) -> String {
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    let defined = known.iter().find(|(_, other)| other == stem);
    defined.map_or_else(|| stem.to_owned(), |(name, _)| name.clone())
}
