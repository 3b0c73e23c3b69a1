//! Which containers are to be updated, and from what to what.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, bail};

use crate::cli::scope::Scope;
use crate::cli::units;
use crate::cli::update::{Outcome, Row};
use crate::definition::places::Loaded;
use crate::definition::renewal::AutoUpdate;
use crate::definition::{Definition, Root};
use crate::generate::broken::is_broken;
use crate::generate::draft::Draft;
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::plan::specifier::Specifiers;
use crate::run::record::Record;
use crate::store::Store;
use crate::systemd::Question;
use crate::systemd::look::{self, Closeness, Unit};
use crate::unitfile::name::{instantiate, is_template};

/// A container that may be updated.
#[derive(Debug)]
pub(super) struct Candidate {
    /// What is known of it.
    pub(super) row: Row,
    /// The image's name and both manifests, where it is to be restarted.
    pub(super) change: Option<Change>,
}

/// What a container is to change from, and to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) reference: Reference,
    pub(super) old: Digest,
    pub(super) new: Digest,
}

/// Who has asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Somebody has named it.
    Named,
    /// Its definition asks for it.
    Marked(AutoUpdate),
}

/// A definition, what of it is meant, and why.
struct Target<'l> {
    definition: &'l Definition,
    stem: String,
    /// One instance of a template, where only that is meant.
    instance: Option<String>,
    wish: Wish,
}

impl Target<'_> {
    /// Whether all instances of a template are meant.
    fn is_many(&self) -> bool {
        self.instance.is_none() && is_template(&self.stem)
    }

    fn unit(&self) -> String {
        let instance = self.instance.as_deref().unwrap_or_default();
        format!("{}.service", instantiate(&self.stem, instance))
    }

    fn means(&self, unit: &str) -> bool {
        match self.is_many() {
            true => unit.starts_with(&self.stem) && unit != self.unit(),
            false => unit == self.unit(),
        }
    }
}

/// All that are meant, in the order in which they were named, or by name.
///
/// # Errors
/// One that was named does not exist, or systemd cannot be reached.
pub(super) fn candidates(scope: &Scope, store: &Store, names: &[String]) -> Result<Vec<Candidate>> {
    let loaded = scope.load();
    let targets = match names {
        [] => marked(&loaded, scope),
        names => named(&loaded, scope, names)?,
    };
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let mut question = Question::default();
    for target in &targets {
        match target.is_many() {
            // A backslash is part of an escaped name, and would quote the next character in a pattern.
            true => question
                .patterns
                .push(instantiate(&target.stem, "*").replace('\\', "\\\\") + ".service"),
            false => question.names.push(target.unit()),
        }
    }
    let units = look::units(scope.service_manager(), &question, Closeness::All)?;
    let mut seen = BTreeSet::new();
    let mut candidates = Vec::new();
    for target in &targets {
        for (name, unit) in units.iter().filter(|(name, _)| target.means(name)) {
            if seen.insert(name) {
                candidates.push(candidate(target, name, unit, scope, store)?);
            }
        }
    }
    Ok(candidates)
}

fn marked<'l>(loaded: &'l [Loaded], scope: &Scope) -> Vec<Target<'l>> {
    let context = scope.context();
    let target = |one: &'l Loaded| {
        Some(Target {
            definition: &one.definition,
            stem: Draft::new(one, &context).stem,
            instance: None,
            wish: Wish::Marked(one.definition.container.renewal.auto_update?),
        })
    };
    loaded.iter().filter_map(target).collect()
}

fn named<'l>(loaded: &'l [Loaded], scope: &Scope, names: &[String]) -> Result<Vec<Target<'l>>> {
    let context = scope.context();
    let mut targets = Vec::new();
    for typed in names {
        let wanted = typed.strip_suffix(".service").unwrap_or(typed);
        let mut stems = loaded.iter().map(|one| (one, Draft::new(one, &context).stem));
        let is = |(one, stem): &(&Loaded, String), name: &str| one.definition.name == name || stem == name;
        let whole = stems.clone().find(|found| is(found, wanted));
        let (found, instance) = match (whole, wanted.split_once('@')) {
            (Some(found), _) => (Some(found), None),
            (None, Some((prefix, instance))) => {
                let template = format!("{prefix}@");
                (stems.find(|found| is(found, &template)), Some(instance.to_owned()))
            }
            (None, None) => (None, None),
        };
        let Some((one, stem)) = found else {
            // It says which name is near, or that this one is of 'coracle run'.
            let container = units::find(scope, typed)?;
            bail!(
                "'{}' has no definition: 'coracle run' has started it, and cannot start it again",
                container.name
            );
        };
        targets.push(Target {
            definition: &one.definition,
            stem,
            instance,
            wish: Wish::Named,
        });
    }
    Ok(targets)
}

/// Compares what runs with what the image's name leads to.
fn candidate(target: &Target<'_>, unit: &str, state: &Unit, scope: &Scope, store: &Store) -> Result<Candidate> {
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    let mut row = Row {
        name: match stem == target.stem {
            true => target.definition.name.clone(),
            false => stem.to_owned(),
        },
        unit: unit.to_owned(),
        outcome: Outcome::Skipped,
        image: None,
        from: None,
        to: None,
        remark: String::new(),
    };
    let left = |mut row: Row, outcome, remark: &str| {
        row.outcome = outcome;
        row.remark = remark.to_owned();
        Ok(Candidate { row, change: None })
    };
    let Root::Image(text) = &target.definition.container.root else {
        return left(row, Outcome::Skipped, "it has a root directory and no image");
    };
    let text = Specifiers::of_unit(unit).expand(text)?;
    let reference: Reference = text.parse()?;
    row.image = Some(text);
    if target.wish == Wish::Marked(AutoUpdate::Registry) {
        let remark =
            "AutoUpdate=registry needs a pull, which is not carried out yet: import the image and name the container";
        return left(row, Outcome::Skipped, remark);
    }
    let image = store.find(&reference);
    row.to = image.as_ref().ok().map(|image| image.manifest_digest.to_string());
    if !state.is_up() {
        let remark = match image {
            Ok(_) => "it takes the image when it is started next".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        return left(row, Outcome::Stopped, &remark);
    }
    // What systemd has read counts, and not what the file says by now.
    let resolved = scope.context().output_directory.join(format!("{}.json", target.stem));
    if fs::read_to_string(resolved).is_ok_and(|text| is_broken(&text)) {
        let remark =
            "its definition has mistakes, with which it could not be started again: 'coracle check' shows them";
        return left(row, Outcome::Failed, remark);
    }
    let record = Record::read(&scope.runtime(), unit, &state.invocation);
    let old = record.and_then(|record| record.manifests.into_iter().next());
    row.from = old.as_ref().map(Digest::to_string);
    let new = match image {
        Ok(image) => image.manifest_digest,
        Err(error) => return left(row, Outcome::Failed, &format!("{error:#}")),
    };
    match old {
        None => left(
            row,
            Outcome::Skipped,
            "it is not known what it was started from: restart it once",
        ),
        Some(old) if old == new => left(row, Outcome::Current, ""),
        Some(_) if target.wish != Wish::Named && store.is_refused(&reference, &new)? => left(
            row,
            Outcome::Skipped,
            "this image was refused before: name the container to try it again",
        ),
        Some(old) => {
            row.outcome = Outcome::Due;
            let change = Some(Change { reference, old, new });
            Ok(Candidate { row, change })
        }
    }
}
