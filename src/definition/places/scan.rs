//! Lists the places: which definitions there are, and which drop-ins. Opens no file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::DirEntry;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::places::read::Listed;
use crate::definition::places::{Places, Scope};

/// What is said of a Quadlet file.
pub(super) const NO_QUADLET: &str = "Quadlet files are not read yet, ignoring";

/// The endings of Quadlet's files.
const QUADLET: &[&[u8]] = &[
    b"container",
    b"volume",
    b"network",
    b"image",
    b"pod",
    b"build",
    b"kube",
    b"artifact",
];

/// How deep sub-folders are read.
const DEPTH_MAX: usize = 16;

/// What is in the places.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// By name, which may be none that a unit can have.
    pub(super) definitions: BTreeMap<OsString, Found>,
    /// What is to be said of everything else.
    pub(super) strays: Vec<Diagnostic>,
    /// By the definition's name, then by file name.
    drop_ins: HashMap<OsString, BTreeMap<OsString, DropIn>>,
    /// Directories by device and inode, so that links do not lead in circles.
    seen: HashSet<(u64, u64)>,
}

/// The file of a definition.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What the listing says it is.
    pub(super) listed: Listed,
    /// In which of the places.
    pub(super) place: usize,
    /// Files of the same name in the same place.
    pub(super) others: Vec<PathBuf>,
}

/// A drop-in: where it is, and what the listing says it is.
pub(super) type DropIn = (PathBuf, Listed);

impl Scan {
    /// What is in these places.
    pub(super) fn of(places: &Places) -> Self {
        let mut scan = Self::default();
        for (index, directory) in places.directories.iter().enumerate() {
            scan.seen.clear();
            scan.is_new(directory);
            scan.directory(places, index, directory, 0);
        }
        scan.name_lonely_drop_ins(places);
        scan
    }

    fn directory(&mut self, places: &Places, place: usize, directory: &Path, depth: usize) {
        for entry in self.entries(places, directory) {
            let file_name = entry.file_name();
            if file_name.as_bytes().starts_with(b".") {
                continue;
            }
            let is_directory = is_directory(&entry);
            let stem = stem(&file_name);
            match (is_directory, drop_in_stem(&file_name), stem) {
                (true, Some(name), _) => self.read_drop_ins(places, &entry.path(), &name),
                (true, None, None) => {
                    let skipped = file_name.as_bytes().ends_with(b".d")
                        || (depth == 0 && is_of_others(places, directory, &file_name));
                    if !skipped && self.is_new(&entry.path()) {
                        if depth < DEPTH_MAX {
                            self.directory(places, place, &entry.path(), depth + 1);
                        } else {
                            let message = format!("sub-folders are read {DEPTH_MAX} deep only, ignoring");
                            self.stray(places, &entry.path(), message);
                        }
                    }
                }
                // A directory that is named as a definition is one that cannot be read.
                (_, _, Some(name)) => self.found(place, name, entry.path(), listed(&entry)),
                (false, _, None) if is_quadlet(&file_name) => self.stray(places, &entry.path(), NO_QUADLET.to_owned()),
                (false, _, None) => {}
            }
        }
    }

    /// Names the drop-ins of definitions that there are not.
    fn name_lonely_drop_ins(&mut self, places: &Places) {
        let mut lonely = Vec::new();
        for (name, drop_ins) in &self.drop_ins {
            if !self.definitions.contains_key(name) {
                lonely.extend(
                    drop_ins
                        .values()
                        .filter_map(|(path, _)| Some((path.parent()?.to_path_buf(), name.clone()))),
                );
            }
        }
        lonely.sort();
        lonely.dedup();
        for (directory, name) in lonely {
            let name = name.to_string_lossy();
            let hint = match name.split_once('@') {
                Some((prefix, instance)) if !instance.is_empty() => {
                    format!("; for an instance make '{name}.toml' a link to '{prefix}@.toml'")
                }
                _ => String::new(),
            };
            self.stray(
                places,
                &directory,
                format!("there is no '{name}.toml' for these drop-ins, ignoring{hint}"),
            );
        }
    }

    fn found(&mut self, place: usize, name: OsString, path: PathBuf, listed: Listed) {
        match self.definitions.get_mut(&name) {
            None => {
                let others = Vec::new();
                self.definitions.insert(
                    name,
                    Found {
                        path,
                        listed,
                        place,
                        others,
                    },
                );
            }
            Some(found) if found.place == place => found.others.push(path),
            Some(_) => {}
        }
    }

    /// Adds the drop-ins in a directory to those of a definition. Those that are there already are stronger.
    pub(super) fn read_drop_ins(&mut self, places: &Places, directory: &Path, name: &OsStr) {
        for entry in self.entries(places, directory) {
            let file_name = entry.file_name();
            if file_name.as_bytes().starts_with(b".") || stem(&file_name).is_none() {
                continue;
            }
            let drop_ins = self.drop_ins.entry(name.to_owned()).or_default();
            drop_ins
                .entry(file_name)
                .or_insert_with(|| (entry.path(), listed(&entry)));
        }
    }

    /// The drop-ins of a definition, in order.
    pub(super) fn drop_ins_of(&self, name: &str) -> Vec<&DropIn> {
        let template = name
            .split_once('@')
            .filter(|(_, instance)| !instance.is_empty())
            .map(|(prefix, _)| OsString::from(format!("{prefix}@")));
        let mut merged = BTreeMap::new();
        for name in template.iter().map(OsString::as_os_str).chain([OsStr::new(name)]) {
            merged.extend(self.drop_ins.get(name).into_iter().flatten());
        }
        merged.into_values().collect()
    }

    /// A directory's entries by name, so that the order never depends on the file system; a missing directory has none.
    fn entries(&mut self, places: &Places, directory: &Path) -> Vec<DirEntry> {
        let listing = std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match listing {
            Ok(mut entries) => {
                entries.sort_by_cached_key(DirEntry::file_name);
                entries
            }
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    self.stray(
                        places,
                        directory,
                        format!("the directory cannot be read: {error}, ignoring"),
                    );
                }
                Vec::new()
            }
        }
    }

    fn is_new(&mut self, directory: &Path) -> bool {
        std::fs::metadata(directory).is_ok_and(|metadata| self.seen.insert((metadata.dev(), metadata.ino())))
    }

    fn stray(&mut self, places: &Places, path: &Path, message: String) {
        let diagnostic = Diagnostic::whole_file(Severity::Warning, &places.as_seen(path), message);
        self.strays.push(diagnostic);
    }
}

/// Follows a link, but asks the kernel only where there is one.
fn is_directory(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(file_type) if file_type.is_symlink() => entry.path().is_dir(),
        Ok(file_type) => file_type.is_dir(),
        Err(_) => false,
    }
}

fn listed(entry: &DirEntry) -> Listed {
    match entry.file_type() {
        Ok(file_type) if file_type.is_file() => Listed::File,
        _ => Listed::Unsure,
    }
}

/// The name of the definition in a file of this name.
pub(super) fn stem(file_name: &OsStr) -> Option<OsString> {
    let stem = file_name.as_bytes().strip_suffix(b".toml")?;
    Some(OsString::from_vec(stem.to_vec()))
}

/// Whether the definition of this name is a network's: its file is `NAME.network.toml`.
pub(super) fn is_network(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".network")
}

/// The name of the definition whose drop-ins are in a directory of this name.
fn drop_in_stem(file_name: &OsStr) -> Option<OsString> {
    let stem = file_name.as_bytes().strip_suffix(b".toml.d")?;
    Some(OsString::from_vec(stem.to_vec()))
}

/// The file whose drop-in this is: `web.toml` of `web.toml.d/x.toml`.
pub(super) fn definition_of_drop_in(path: &Path) -> Option<PathBuf> {
    let directory = path.parent()?;
    let name = drop_in_stem(directory.file_name()?)?;
    let mut file_name = name;
    file_name.push(".toml");
    Some(directory.with_file_name(file_name))
}

/// Whether a file of this name is one of Quadlet's.
pub(super) fn is_quadlet(file_name: &OsStr) -> bool {
    let bytes = file_name.as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.');
    dot.is_some_and(|dot| dot > 0 && QUADLET.contains(&&bytes[dot + 1..]))
}

/// Whether a sub-folder belongs to somebody else: the users' in the system's place, and each user's own in that of all.
fn is_of_others(places: &Places, directory: &Path, file_name: &OsStr) -> bool {
    match places.scope {
        Scope::System => file_name == "users",
        Scope::User => directory.ends_with("coracle/users") && file_name.as_bytes().iter().all(u8::is_ascii_digit),
    }
}
