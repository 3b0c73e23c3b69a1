//! What the generator has written, or would write: units, resolved definitions, and by which targets they are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::generate::Output;
use crate::generate::broken::is_sound;
use crate::generate::service::COMMENT;
use crate::unitfile::name::is_template;

/// Files of ours, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Files {
    texts: BTreeMap<String, String>,
    /// Each unit that is started at boot, with the units that want it.
    wanted: BTreeMap<String, BTreeSet<String>>,
}

impl Files {
    /// What the generator would write.
    pub(super) fn of(output: &Output) -> Self {
        let links = output.links.keys().filter_map(|path| wish(path));
        Self::new(output.files.clone(), links)
    }

    /// What lies in its directory. What cannot be read is not there.
    pub(super) fn read(directory: &Path) -> Self {
        let mut texts = BTreeMap::new();
        let mut links = Vec::new();
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if entry.path().is_dir() {
                let inside = fs::read_dir(entry.path()).into_iter().flatten().flatten();
                links.extend(inside.filter_map(|link| Some(format!("{name}/{}", link.file_name().to_str()?))));
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                texts.insert(name, text);
            }
        }
        // Other generators write here too.
        let ours = |name: &str| texts.get(name).is_some_and(|text| text.contains(COMMENT));
        let kept: BTreeSet<String> = texts
            .keys()
            .filter(|name| match name.strip_suffix(".json") {
                Some(stem) => ours(&format!("{stem}.service")),
                None => ours(name),
            })
            .cloned()
            .collect();
        texts.retain(|name, _| kept.contains(name));
        Self::new(texts, links.iter().filter_map(|path| wish(path)))
    }

    pub(super) fn new(texts: BTreeMap<String, String>, links: impl Iterator<Item = (String, String)>) -> Self {
        let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (unit, by) in links {
            wanted.entry(unit).or_default().insert(by);
        }
        Self { texts, wanted }
    }

    /// The text of a file; of an instance, its template's.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let own = self.texts.get(name);
        own.or_else(|| self.texts.get(&template_of(name)?)).map(String::as_str)
    }

    /// Whether there is such a file, and it is the resolved definition of a container.
    pub(super) fn is_sound(&self, resolved: &str) -> bool {
        self.texts.get(resolved).is_some_and(|text| is_sound(text))
    }

    /// The units.
    pub(super) fn units(&self) -> impl Iterator<Item = &str> {
        self.texts
            .keys()
            .map(String::as_str)
            .filter(|name| !name.ends_with(".json"))
    }

    /// What starts it at boot.
    pub(super) fn wanted_by(&self, unit: &str) -> impl Iterator<Item = &str> {
        self.wanted.get(unit).into_iter().flatten().map(String::as_str)
    }

    /// The units that are started at boot.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &str> {
        self.wanted.keys().map(String::as_str)
    }

    /// The value of a key, the last one.
    pub(super) fn value(&self, unit: &str, key: &str) -> Option<&str> {
        let lines = self.text(unit)?.lines().rev();
        lines
            .filter_map(|line| line.split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// A section's lines, without its head.
    pub(super) fn section(&self, unit: &str, section: &str) -> Option<Vec<&str>> {
        let head = format!("[{section}]");
        let lines = self.text(unit)?.lines().skip_while(|line| *line != head).skip(1);
        Some(
            lines
                .take_while(|line| !line.starts_with('['))
                .filter(|line| !line.is_empty())
                .collect(),
        )
    }
}

/// `web@.socket` of `web@a.socket`.
fn template_of(name: &str) -> Option<String> {
    let (stem, kind) = name.rsplit_once('.')?;
    let (prefix, _) = stem.split_once('@').filter(|_| !is_template(stem))?;
    Some(format!("{prefix}@.{kind}"))
}

/// The unit and by what it is wanted, of a link such as `sockets.target.wants/web.socket`.
fn wish(path: &str) -> Option<(String, String)> {
    let (directory, unit) = path.split_once('/')?;
    let (by, kind) = directory.rsplit_once('.')?;
    matches!(kind, "wants" | "requires" | "upholds").then(|| (unit.to_owned(), by.to_owned()))
}
