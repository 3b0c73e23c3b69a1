//! Volumes: what a container mounts by `Volume=`, and volumes that have a definition of their own, `NAME.volume.toml`.
//!
//! A volume with a name is a directory below [`DIRECTORY`], made at the first start that needs it. Its settings are those of the
//! definition that names it, and the same for all containers: they are copied into each container's own definition when all files have been
//! read ([`link`]), so that a start reads one file only.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::places::Loaded;
use crate::definition::{Exec, Owners, Propagation};
use crate::unitfile::line::Line;

/// Where volumes lie.
pub const DIRECTORY: &str = "/var/lib/coracle/volumes";

/// Whether something can be mounted there in a container.
#[must_use]
pub fn is_free(path: &Path) -> bool {
    let is_free = path.components().all(|part| part != Component::ParentDir)
        && !["/proc", "/sys"].iter().any(|top| path.starts_with(top));
    is_free && path.parent().is_some()
}

/// One `Volume=[SOURCE:]TARGET[:OPTIONS]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// What is mounted.
    pub source: Source,
    /// Absolute path in the container.
    pub target: PathBuf,
    /// `ro` was given.
    #[serde(default)]
    pub read_only: bool,
    /// `noidmap` was given, or not.
    #[serde(default)]
    pub owners: Owners,
    /// `rslave`, `rshared`, or neither.
    #[serde(default, skip_serializing_if = "Propagation::is_private")]
    pub propagation: Propagation,
    /// `noexec` was given: no program on it can be executed.
    #[serde(default, skip_serializing_if = "Exec::is_allowed")]
    pub exec: Exec,
    /// `subpath=`: what of it is mounted, relative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<PathBuf>,
    /// `U`: the program's user is to own it.
    #[serde(default, skip_serializing_if = "Owner::is_any")]
    pub owner: Owner,
    /// `z` or `Z`.
    #[serde(default, skip_serializing_if = "Label::is_kept")]
    pub label: Label,
}

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A path of the host, absolute.
    Path(PathBuf),
    /// A directory with a name.
    Named(Named),
    /// A directory that lives and dies with the container.
    Anonymous(Copying),
    /// The files of an image, as a reference was written.
    Image {
        /// The reference.
        reference: String,
        /// `rw`: changes go to a layer that vanishes with the container.
        writable: bool,
    },
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Named(named) => f.write_str(&named.name),
            Self::Anonymous(_) => f.write_str("(anonymous)"),
            Self::Image { reference, .. } => write!(f, "image {reference}"),
        }
    }
}

/// A volume with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name; may hold specifiers.
    pub name: String,
    /// What its own definition says, if it has one, and `nocopy` of the container.
    #[serde(default, skip_serializing_if = "Settings::are_default")]
    pub settings: Settings,
    /// `NAME` of `NAME.volume`: there must be a definition of that name.
    #[serde(skip)]
    pub stem: Option<String>,
    /// Where it is named, and what is wrong there if it must have a definition and has none.
    #[serde(skip)]
    pub place: Option<Diagnostic>,
}

/// How a volume with a name is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `Copy=`, or `nocopy`.
    #[serde(skip_serializing_if = "Copying::is_default")]
    pub copy: Copying,
    /// `User=`: the number of its owner, as containers see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// `Group=`, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// `Device=` or `Type=`: something must be mounted there.
    #[serde(skip_serializing_if = "Backing::is_directory")]
    pub backing: Backing,
}

impl Settings {
    fn are_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a new volume gets the files that the image has in its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Copying {
    /// `copy`.
    #[default]
    Copy,
    /// `nocopy`.
    Nothing,
}

impl Copying {
    fn is_default(&self) -> bool {
        *self == Self::Copy
    }
}

/// What a volume with a name consists of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backing {
    /// A directory.
    #[default]
    Directory,
    /// A file system that a mount unit mounts.
    Mount,
}

impl Backing {
    fn is_directory(&self) -> bool {
        *self == Self::Directory
    }
}

/// A new file system without anything on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Memory {
    /// tmpfs(5).
    #[default]
    Tmpfs,
    /// In memory, without a limit but the unit's, and never swapped out.
    Ramfs,
    /// Terminals (devpts).
    Devpts,
}

impl Memory {
    pub(in crate::definition) fn is_tmpfs(&self) -> bool {
        *self == Self::Tmpfs
    }
}

/// Who is to own a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Whoever does.
    #[default]
    Any,
    /// The program's user: it is said where that is not so, since nothing on disk is ever given another owner.
    Program,
}

impl Owner {
    fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

/// The SELinux label of a volume's files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// As it is.
    #[default]
    Kept,
    /// That of all containers' files (`z`), where the host runs SELinux.
    OfContainers,
    /// That of this one's files (`Z`), with the level that it has.
    OfThisOne,
}

impl Label {
    fn is_kept(&self) -> bool {
        *self == Self::Kept
    }
}

/// One volume's definition: `NAME.volume.toml` with its drop-ins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// The file's stem, without `.volume`.
    pub stem: String,
    /// The file.
    pub source: PathBuf,
    /// The drop-ins that were merged over it, in order.
    pub drop_ins: Vec<PathBuf>,
    /// `VolumeName=`, or the stem.
    pub name: String,
    /// How it is made.
    pub settings: Settings,
    /// `Label=`, for people and tools.
    pub labels: Vec<(String, String)>,
    /// Where `VolumeName=` stands.
    pub name_place: Option<Diagnostic>,
    /// The lines of the mount unit's `[Mount]`, where it has one.
    pub mount: Vec<Line>,
}

/// A volume's definition with everything that is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedVolume {
    /// As much as could be understood.
    pub definition: Definition,
    /// All mistakes, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
}

impl LoadedVolume {
    /// Whether any diagnostic is an error.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

/// Whether a volume can have this name: it becomes the name of a directory.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.len() <= 200 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(is_plain)
}

/// Gives each container the settings of the volumes that it names, and says which definitions are missing or wrong.
pub fn link(containers: &mut [Loaded], volumes: &mut [LoadedVolume]) {
    refuse_twins(volumes);
    for loaded in containers {
        for volume in &mut loaded.definition.container.volumes {
            if let Source::Named(named) = &mut volume.source {
                loaded
                    .diagnostics
                    .extend(named.link(volumes, &loaded.definition.source));
            }
        }
    }
}

/// Volumes that are file systems of their own, in a user's containers: an error, which is known only when the two are linked.
pub fn refuse_mounts(containers: &mut [Loaded]) {
    for loaded in containers {
        for volume in &loaded.definition.container.volumes {
            let Source::Named(named) = &volume.source else { continue };
            if named.settings.backing != Backing::Mount {
                continue;
            }
            let message = format!(
                "the volume '{}' is a file system of its own, and to mount one needs root",
                named.name
            );
            let error = Diagnostic::at(
                named.place.as_ref(),
                Severity::Error,
                &loaded.definition.source,
                message,
            );
            let suggestion =
                "leave out its 'Device' and 'Type', and it is a directory; or name the path where root has mounted it";
            loaded.diagnostics.push(error.suggesting(suggestion.to_owned()));
        }
    }
}

/// Two definitions of one volume: an error in both.
fn refuse_twins(volumes: &mut [LoadedVolume]) {
    let names: Vec<(String, PathBuf)> = volumes
        .iter()
        .map(|one| (one.definition.name.clone(), one.definition.source.clone()))
        .collect();
    for (index, loaded) in volumes.iter_mut().enumerate() {
        let twin = names
            .iter()
            .enumerate()
            .find(|(other, (name, _))| *other != index && *name == loaded.definition.name);
        if let Some((_, (name, source))) = twin {
            let message = format!("the volume '{name}' is also defined by '{}'", source.display());
            let definition = &loaded.definition;
            let error = Diagnostic::at(
                definition.name_place.as_ref(),
                Severity::Error,
                &definition.source,
                message,
            );
            loaded
                .diagnostics
                .push(error.suggesting("set another 'VolumeName' in one of them".to_owned()));
            loaded.diagnostics.sort_by_key(|one| one.order(&definition.drop_ins));
        }
    }
}

impl Named {
    /// Takes the settings of its definition; a mistake if it must have one and has none, or if that one has mistakes: without what it says the
    /// volume would be another one. `container` is the file that names it.
    fn link(&mut self, volumes: &[LoadedVolume], container: &Path) -> Option<Diagnostic> {
        let found = volumes.iter().find(|one| match &self.stem {
            Some(stem) => one.definition.stem == *stem,
            None => one.definition.name == self.name,
        });
        let Some(found) = found else {
            return self.place.clone().filter(|_| self.stem.is_some());
        };
        if found.is_broken() {
            let why = format!(
                "the volume's definition '{}' has mistakes",
                found.definition.source.display()
            );
            return Some(Diagnostic::at(self.place.as_ref(), Severity::Error, container, why));
        }
        let copy = self.settings.copy;
        self.name.clone_from(&found.definition.name);
        self.settings = found.definition.settings.clone();
        if copy == Copying::Nothing {
            self.settings.copy = copy;
        }
        None
    }
}
