//! Finds and reads the definition files: which directories count, which file wins, what is masked, what is merged.
//!
//! - Of several definitions of one name the one in the strongest place counts; if that one is empty or a link to `/dev/null`,
//!   there is none.
//! - Sub-folders are read too, but for those that end in `.d`. Two files of one name in one place are a mistake in both.
//! - `NAME.toml.d/*.toml` from all places and sub-folders are merged over the definition in the order of their file names; of several
//!   with one file name the one in the strongest place counts. An instance `web@x` takes those of its template `web@` as well, its
//!   own being stronger.
//! - `NAME.network.toml` defines a network, by the same rules; it becomes a part of each definition that names it ([`networks`]). So does
//!   `NAME.volume.toml` with a volume ([`volume`]).
//! - Hidden files are left alone, and so is every name that does not end in `.toml`, except Quadlet's, which are named.
//!
//! No file stops another: what cannot be read becomes a definition whose diagnostics say so.

pub mod networks;
mod read;
mod scan;
pub mod security;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::definition::certainty::Certainty;
use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::places::read::{Content, Listed, Problem};
use crate::definition::places::scan::{Found, Scan};
use crate::definition::volume::{self, LoadedVolume};
use crate::definition::{Definition, name, toml};
use crate::threads::share;

/// The directories with definitions, strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Prefixed with the root that tests inject.
    pub directories: Vec<PathBuf>,
    /// That root: `/` on a real system. Paths are told without it.
    pub root: PathBuf,
    /// Whose definitions they are.
    pub scope: Scope,
}

/// Which systemd the definitions are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The system's.
    System,
    /// A user's.
    User,
}

/// A definition with everything that is to be said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// As much as could be understood. It is only to be started if nothing [`is_broken`](Self::is_broken).
    pub definition: Definition,
    /// All mistakes, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
}

/// All that is in the places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The definitions, sorted by name.
    pub definitions: Vec<Loaded>,
    /// The volumes' definitions, likewise.
    pub volumes: Vec<LoadedVolume>,
    /// What is to be said of files and directories that make no definition: Quadlet's files, unreadable directories.
    pub strays: Vec<Diagnostic>,
}

impl Loaded {
    /// Whether any diagnostic is an error.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    fn broken(name: String, source: PathBuf, diagnostics: Vec<Diagnostic>) -> Self {
        let definition = Definition {
            name,
            source,
            ..Definition::default()
        };
        Self {
            definition,
            diagnostics,
        }
    }
}

impl Places {
    /// `/etc/coracle`, `/run/coracle`, `/usr/lib/coracle` below `root`, but for the `users` in them.
    #[must_use]
    pub fn system(root: &Path) -> Self {
        let directories = ["etc/coracle", "run/coracle", "usr/lib/coracle"]
            .map(|place| root.join(place))
            .into();
        Self {
            directories,
            root: root.to_path_buf(),
            scope: Scope::System,
        }
    }

    /// `CONFIG/coracle`, `/etc/coracle/users/UID`, `/etc/coracle/users` below `root`. `config` is the user's configuration
    /// directory as the user sees it, most often `~/.config`.
    #[must_use]
    pub fn user(root: &Path, config: &Path, uid: u32) -> Self {
        let users = root.join("etc/coracle/users");
        let config = root.join(config.strip_prefix("/").unwrap_or(config));
        Self {
            directories: vec![config.join("coracle"), users.join(uid.to_string()), users],
            root: root.to_path_buf(),
            scope: Scope::User,
        }
    }

    /// A path as it is named to the administrator.
    fn as_seen(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.root) {
            Ok(rest) => Path::new("/").join(rest),
            Err(_) => path.to_path_buf(),
        }
    }
}

/// The definitions in the places, sorted by name, without [`Contents::strays`].
#[must_use]
pub fn load(places: &Places) -> Vec<Loaded> {
    load_all(places).definitions
}

/// Everything in the places.
#[must_use]
pub fn load_all(places: &Places) -> Contents {
    let scan = Scan::of(places);
    let networks = networks::load(places, &scan);
    let mut volumes = load_volumes(places, &scan);
    let found: Vec<_> = scan
        .definitions
        .iter()
        .filter(|(name, _)| !scan::is_network(name) && !is_volume(name))
        .collect();
    let mut definitions: Vec<_> = share(&found, |found| {
        let loaded = found
            .iter()
            .filter_map(|(name, found)| load_found(places, &scan, name, found))
            .map(|loaded| networks::link(loaded, &networks, places.scope));
        loaded.collect()
    });
    definitions.sort_by(|a, b| a.definition.name.cmp(&b.definition.name));
    if !definitions.is_empty() {
        let module = security::find(&places.root);
        definitions
            .iter_mut()
            .for_each(|one: &mut Loaded| one.definition.security_module = module);
    }
    networks::join(&mut definitions, places.scope);
    volume::link(&mut definitions, &mut volumes);
    if places.scope == Scope::User {
        volume::refuse_mounts(&mut definitions);
    }
    let mut strays = scan.strays;
    strays.extend(networks.into_values().flat_map(|network| network.diagnostics));
    strays.sort_by(|a, b| {
        let order = (&a.file, a.line, a.column, &a.message);
        order.cmp(&(&b.file, b.line, b.column, &b.message))
    });
    Contents {
        definitions,
        volumes,
        strays,
    }
}

/// Whether the file of this name without `.toml` defines a volume.
fn is_volume(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(b".volume")
}

/// Files on their own, as `coracle check FILE…` reads them: with the drop-ins in the directories beside them, whatever the places hold.
/// For a drop-in it is the definition that it belongs to. The networks that they name are found beside them or in `places`.
#[must_use]
pub fn load_files(files: &[PathBuf], places: &Places) -> Contents {
    let mut contents = Contents::default();
    for file in files {
        match load_file(file) {
            Ok(loaded) => contents.definitions.push(loaded),
            Err(diagnostics) => contents.strays.extend(diagnostics),
        }
    }
    contents.definitions = networks::complete(contents.definitions, places);
    contents
}

/// One of them; for a network's definition, what is to be said of it.
fn load_file(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    // A drop-in means nothing on its own.
    if let Some(definition) = scan::definition_of_drop_in(path).filter(|definition| definition.exists()) {
        return load_file(&definition);
    }
    let file_name = path.file_name().unwrap_or(path.as_os_str());
    let Some(stem) = scan::stem(file_name) else {
        let message = match scan::is_quadlet(file_name) {
            true => scan::NO_QUADLET.to_owned(),
            false => "a definition's file name ends in '.toml'".to_owned(),
        };
        let diagnostics = vec![Diagnostic::whole_file(Severity::Error, path, message)];
        return Ok(Loaded::broken(
            name::escape(file_name.as_encoded_bytes()),
            path.to_path_buf(),
            diagnostics,
        ));
    };
    let places = Places {
        directories: Vec::new(),
        root: PathBuf::from("/"),
        scope: Scope::System,
    };
    let mut scan = Scan::default();
    let mut directory = path.as_os_str().to_owned();
    directory.push(".d");
    scan.read_drop_ins(&places, Path::new(&directory), &stem);
    let found = Found {
        path: path.to_path_buf(),
        listed: Listed::Unsure,
        place: 0,
        others: Vec::new(),
    };
    let masks = "the file is empty: it masks definitions of this name in weaker places";
    let masks = || vec![Diagnostic::whole_file(Severity::Warning, path, masks.to_owned())];
    let said = if scan::is_network(&stem) {
        Some(networks::load_found(&places, &scan, &stem, &found).map(|network| network.diagnostics))
    } else if is_volume(&stem) {
        Some(load_volume(&places, &scan, &stem, &found).map(|volume| volume.diagnostics))
    } else {
        None
    };
    if let Some(said) = said {
        let mut diagnostics = said.unwrap_or_else(masks);
        diagnostics.extend(scan.strays);
        return Err(diagnostics);
    }
    let mut loaded = load_found(&places, &scan, &stem, &found).unwrap_or_else(|| {
        let name = stem.to_string_lossy().into_owned();
        Loaded::broken(name, path.to_path_buf(), masks())
    });
    loaded.diagnostics.extend(scan.strays);
    Ok(loaded)
}

/// What was read of a definition: the file and its drop-ins.
struct Read {
    name: String,
    source: PathBuf,
    text: String,
    drop_ins: Vec<(PathBuf, String)>,
    problems: Vec<Diagnostic>,
}

/// The definition of a file that was found; nothing if it is masked.
fn load_found(places: &Places, scan: &Scan, name: &OsStr, found: &Found) -> Option<Loaded> {
    let read = match read_found(places, scan, name, found)? {
        Ok(read) => read,
        Err(broken) => return Some(*broken),
    };
    let (mut definition, mut diagnostics) = toml::parse_merged(&read.name, &read.source, &read.text, &read.drop_ins);
    if !read.problems.is_empty() {
        // A drop-in can be about anything.
        definition.passthrough.certainty = Certainty::Doubtful;
    }
    diagnostics.extend(read.problems);
    Some(Loaded {
        definition,
        diagnostics,
    })
}

/// The volumes' definitions, sorted by name.
fn load_volumes(places: &Places, scan: &Scan) -> Vec<LoadedVolume> {
    let found = scan.definitions.iter().filter(|(name, _)| is_volume(name));
    found
        .filter_map(|(name, found)| load_volume(places, scan, name, found))
        .collect()
}

/// The volume's definition of a file that was found; nothing if it is masked.
fn load_volume(places: &Places, scan: &Scan, name: &OsStr, found: &Found) -> Option<LoadedVolume> {
    let stem = |name: &str| name.strip_suffix(".volume").unwrap_or(name).to_owned();
    let (definition, diagnostics) = match read_found(places, scan, name, found)? {
        Ok(read) => {
            let stem = stem(&read.name);
            let (definition, mut diagnostics) = toml::parse_volume(&stem, &read.source, &read.text, &read.drop_ins);
            diagnostics.extend(read.problems);
            (definition, diagnostics)
        }
        Err(broken) => {
            let definition = volume::Definition {
                stem: stem(&broken.definition.name),
                name: stem(&broken.definition.name),
                source: broken.definition.source,
                ..volume::Definition::default()
            };
            (definition, broken.diagnostics)
        }
    };
    Some(LoadedVolume {
        definition,
        diagnostics,
    })
}

/// Reads a file that was found; nothing if it is masked.
fn read_found(places: &Places, scan: &Scan, name: &OsStr, found: &Found) -> Option<Result<Read, Box<Loaded>>> {
    let source = places.as_seen(&found.path);
    let error = |problem: Problem| problem.diagnostic(&source);
    let broken = |name: String, diagnostics: Vec<Diagnostic>| {
        Some(Err(Box::new(Loaded::broken(name, source.clone(), diagnostics))))
    };
    let escaped = || name::escape(name.as_encoded_bytes());
    let Some(name) = name.to_str() else {
        return broken(
            escaped(),
            vec![error(Problem::new("the file's name is not valid UTF-8, rename it"))],
        );
    };
    if let Some(why) = name::mistake(name) {
        return broken(escaped(), vec![error(Problem::new(format!("{why}, rename the file")))]);
    }
    if source.to_str().is_none() {
        let why = "the directory's name is not valid UTF-8, rename it";
        return broken(name.to_owned(), vec![error(Problem::new(why))]);
    }
    if !found.others.is_empty() {
        let all: Vec<_> = std::iter::once(&found.path)
            .chain(&found.others)
            .map(|path| places.as_seen(path))
            .collect();
        let mut diagnostics = Vec::new();
        for file in &all {
            let others: Vec<_> = all
                .iter()
                .filter(|other| *other != file)
                .map(|other| format!("'{}'", other.display()))
                .collect();
            let message = format!(
                "'{name}' is also defined by {}, remove or rename one of them",
                others.join(" and ")
            );
            diagnostics.push(Diagnostic::whole_file(Severity::Error, file, message));
        }
        return broken(name.to_owned(), diagnostics);
    }
    let text = match read::read(&found.path, found.listed) {
        Ok(Content::Masked) => return None,
        Ok(Content::Text(text)) => text,
        Err(problem) => return broken(name.to_owned(), vec![error(problem)]),
    };
    let mut drop_ins = Vec::new();
    let mut problems = Vec::new();
    for (path, listed) in scan.drop_ins_of(name) {
        let seen = places.as_seen(path);
        match read::read(path, *listed) {
            Ok(Content::Masked) => {}
            Ok(Content::Text(text)) => drop_ins.push((seen, text)),
            Err(problem) => problems.push(problem.diagnostic(&seen)),
        }
    }
    Some(Ok(Read {
        name: name.to_owned(),
        source: source.clone(),
        text,
        drop_ins,
        problems,
    }))
}

#[cfg(test)]
mod tests;
