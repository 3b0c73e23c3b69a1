//! What the writable layer of an overlay changes against the layers below it (overlayfs, kernel's document "Overlay Filesystem").
//!
//! A name of the writable layer is a whiteout (deleted), a directory, which may be opaque (what lies below is deleted, unless it is there
//! again), or anything else. Both sides are walked by descriptors and no link is followed: the container writes here while we look.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::dir::Dir;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use serde::Serialize;

use crate::sys::path::file_type;

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    /// Absolute, as the container sees it.
    pub(super) path: PathBuf,
    /// What has become of it.
    pub(super) kind: Kind,
}

/// What has become of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// It was not there.
    Added,
    /// It has another content, owner, mode or time; or, of a directory, something in it is another.
    Changed,
    /// It is there no more.
    Deleted,
}

/// No image is deeper that anybody runs.
const DEEPEST: usize = 512;

/// What `upper` changes against `layers`, the lowest first, sorted by path. Of `ours` is nothing said: places of mounts and what leads
/// to them, where the image does not have them.
pub(super) fn changes(upper: &Path, layers: &[PathBuf], ours: &BTreeSet<PathBuf>) -> Result<Vec<Change>> {
    let open = |path: &Path| {
        let found = openat(AT_FDCWD, path, DIRECTORY, Mode::empty());
        found.with_context(|| format!("opening '{}'", path.display()))
    };
    let lower = layers
        .iter()
        .rev()
        .map(|layer| open(layer))
        .collect::<Result<Vec<_>>>()?;
    let mut comparison = Comparison {
        changes: Vec::new(),
        ours,
    };
    comparison.directory(open(upper)?, Path::new("/"), &lower, 0)?;
    comparison.changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(comparison.changes)
}

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

struct Comparison<'a> {
    changes: Vec<Change>,
    ours: &'a BTreeSet<PathBuf>,
}

/// What lower layers have under a name.
enum Below {
    Nothing,
    Something,
    /// Directories, whose contents are merged, the topmost first.
    Directories(Vec<OwnedFd>),
}

impl Comparison<'_> {
    /// Compares what is in the directory `path`.
    fn directory(&mut self, upper: OwnedFd, path: &Path, lower: &[OwnedFd], depth: usize) -> Result<()> {
        ensure!(depth < DEEPEST, "'{}' lies too deep", path.display());
        let is_opaque = is_opaque(&upper);
        let names = names(&upper).with_context(|| format!("reading '{}'", path.display()))?;
        for name in &names {
            let path = path.join(OsStr::from_bytes(name));
            // One that has gone meanwhile has not changed.
            let Some(found) = stat(&upper, name) else { continue };
            let below = below(lower, name);
            if is_whiteout(&found) {
                if !matches!(below, Below::Nothing) {
                    self.say(path, Kind::Deleted);
                }
                continue;
            }
            let kind = match below {
                Below::Nothing => Kind::Added,
                Below::Something | Below::Directories(_) => Kind::Changed,
            };
            let before = self.changes.len();
            if file_type(&found) == SFlag::S_IFDIR {
                let inner = openat(&upper, OsStr::from_bytes(name), DIRECTORY, Mode::empty());
                let below = match below {
                    Below::Directories(below) => below,
                    _ => Vec::new(),
                };
                if let Ok(inner) = inner {
                    self.directory(inner, &path, &below, depth + 1)?;
                }
            }
            let is_ours = kind == Kind::Added && self.changes.len() == before && self.ours.contains(&path);
            if !is_ours {
                self.say(path, kind);
            }
        }
        if is_opaque {
            self.hidden(path, lower, &names)?;
        }
        Ok(())
    }

    /// What an opaque directory hides and has not again.
    fn hidden(&mut self, path: &Path, lower: &[OwnedFd], kept: &[Vec<u8>]) -> Result<()> {
        let mut hidden = BTreeSet::new();
        for layer in lower {
            hidden.extend(names(layer).with_context(|| format!("reading '{}'", path.display()))?);
        }
        for name in hidden.iter().filter(|name| !kept.contains(name)) {
            if !matches!(below(lower, name), Below::Nothing) {
                self.say(path.join(OsStr::from_bytes(name)), Kind::Deleted);
            }
        }
        Ok(())
    }

    fn say(&mut self, path: PathBuf, kind: Kind) {
        self.changes.push(Change { path, kind });
    }
}

fn below(lower: &[OwnedFd], name: &[u8]) -> Below {
    let mut directories = Vec::new();
    for layer in lower {
        let Some(found) = stat(layer, name) else { continue };
        if file_type(&found) != SFlag::S_IFDIR {
            return match directories.is_empty() {
                true if is_whiteout(&found) => Below::Nothing,
                true => Below::Something,
                false => Below::Directories(directories),
            };
        }
        let Ok(directory) = openat(layer, OsStr::from_bytes(name), DIRECTORY, Mode::empty()) else {
            return Below::Something;
        };
        let ends_here = is_opaque(&directory);
        directories.push(directory);
        if ends_here {
            break;
        }
    }
    match directories.is_empty() {
        true => Below::Nothing,
        false => Below::Directories(directories),
    }
}

fn names(directory: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    let again = openat(directory, ".", DIRECTORY, Mode::empty())?;
    for entry in Dir::from_fd(again)?.iter() {
        names.push(entry?.file_name().to_bytes().to_vec());
    }
    names.retain(|name| !matches!(name.as_slice(), b"." | b".."));
    names.sort();
    Ok(names)
}

fn stat(directory: &OwnedFd, name: &[u8]) -> Option<FileStat> {
    fstatat(directory, OsStr::from_bytes(name), AtFlags::AT_SYMLINK_NOFOLLOW).ok()
}

fn is_whiteout(found: &FileStat) -> bool {
    file_type(found) == SFlag::S_IFCHR && found.st_rdev == 0
}

fn is_opaque(directory: &OwnedFd) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"].iter().any(|name| {
        let mut value = [0; 1];
        rustix::fs::fgetxattr(directory, *name, &mut value) == Ok(1) && value == *b"y"
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use nix::sys::stat::{Mode, SFlag, mknod};
    use rustix::fs::{XattrFlags, setxattr};

    use super::{Kind, changes};

    fn tree(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match file.rsplit('/').next().unwrap().strip_prefix("gone-") {
                Some(name) => mknod(&path.with_file_name(name), SFlag::S_IFCHR, Mode::empty(), 0).unwrap(),
                None => fs::write(&path, "").unwrap(),
            }
        }
    }

    #[test]
    fn additions_changes_and_deletions_are_told() {
        let place = tempfile::tempdir().unwrap();
        let [low, high, upper] = ["low", "high", "upper"].map(|name| place.path().join(name));
        tree(&low, &["etc/a", "etc/b", "opt/x/1", "opt/x/2", "gone/deep", "usr/only"]);
        tree(&high, &["etc/c", "gone-gone"]);
        tree(
            &upper,
            &[
                "etc/a",
                "etc/gone-b",
                "etc/new",
                "opt/x/2",
                "opt/x/3",
                "gone-usr",
                "gone-gone",
                "mnt/vol/x",
                "work/dir/y",
            ],
        );
        for emptied in ["mnt/vol/x", "work/dir/y"] {
            fs::remove_file(upper.join(emptied)).unwrap();
        }
        setxattr(upper.join("opt/x"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
        let ours: BTreeSet<PathBuf> = ["/mnt", "/mnt/vol"].map(PathBuf::from).into();
        let found = changes(&upper, &[low, high], &ours).unwrap();
        let lines: Vec<String> = found
            .iter()
            .map(|change| {
                let letter = match change.kind {
                    Kind::Added => 'A',
                    Kind::Changed => 'C',
                    Kind::Deleted => 'D',
                };
                format!("{letter} {}", change.path.display())
            })
            .collect();
        let wanted = "C /etc|C /etc/a|D /etc/b|A /etc/new|C /opt|C /opt/x|D /opt/x/1|C /opt/x/2|A /opt/x/3|D /usr|A /work|A /work/dir";
        assert_eq!(lines.join("|"), wanted);
    }
}
