//! Volumes on disk: `volumes/NAME/`, a directory each, and nothing else.
//!
//! A volume appears whole, by a rename: it is made as `volumes/.new/NAME`, filled there, and locked by who makes it (flock(2)). Whoever needs
//! the same volume meanwhile waits for that lock and then finds the volume; what a killed maker has left is emptied by the next one. A name
//! never begins with a dot, so what does is never a volume.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, RenameFlags, StatxAttributes, StatxFlags, flock, renameat_with, statx,
};
use rustix::io::Errno;

use crate::definition::volume::is_name;
use crate::store::{Store, tree};

/// The volumes of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volumes {
    root: PathBuf,
}

/// A volume that is being made; unless it is finished it is none.
#[derive(Debug)]
pub struct Making {
    path: PathBuf,
    target: PathBuf,
    directory: File,
    parents: [File; 2],
}

impl Store {
    /// The store's volumes.
    #[must_use]
    pub fn volumes(&self) -> Volumes {
        Volumes {
            root: self.root().join("volumes"),
        }
    }
}

impl Volumes {
    /// The volumes in this directory.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where they lie.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where one of them lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The names of all volumes, sorted.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("reading '{}'", self.root.display()))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("reading '{}'", self.root.display()))?;
            let name = entry.file_name().into_string();
            names.extend(name.ok().filter(|name| is_name(name) && entry.path().is_dir()));
        }
        names.sort();
        Ok(names)
    }

    /// Makes the directory for volumes, and that for those that are not complete, where they are not there.
    ///
    /// # Errors
    /// What mkdir(2) says.
    pub fn prepare(&self) -> Result<PathBuf> {
        let new = self.root.join(".new");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&new)
            .with_context(|| format!("making '{}'", new.display()))?;
        Ok(new)
    }

    /// Begins to make a volume; nothing if there is one already, perhaps one that somebody else has just made.
    ///
    /// # Errors
    /// What mkdir(2) says.
    pub fn make(&self, name: &str) -> Result<Option<Making>> {
        ensure!(is_name(name), "'{name}' cannot be a volume's name");
        let target = self.path(name);
        let context = || format!("making the volume '{}'", target.display());
        let new = self.prepare()?;
        let path = new.join(name);
        let create = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        let open = |path: &Path| File::open(path).with_context(context);
        let parents = [open(&new)?, open(&self.root)?];
        loop {
            if target.is_dir() {
                return Ok(None);
            }
            create(&path).with_context(context)?;
            let directory = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                directory => directory.with_context(context)?,
            };
            flock(&directory, FlockOperation::LockExclusive).with_context(context)?;
            // While it was waited for it may have become the volume.
            let (held, named) = (directory.metadata().with_context(context)?, fs::symlink_metadata(&path));
            if !named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
                continue;
            }
            let is_empty = fs::read_dir(&path).with_context(context)?.next().is_none();
            if is_empty {
                return Ok(Some(Making {
                    path,
                    target,
                    directory,
                    parents,
                }));
            }
            tree::remove(parents[0].as_fd(), name.as_bytes()).with_context(context)?;
        }
    }

    /// Removes a volume. It is out of sight at once, and removed then.
    ///
    /// # Errors
    /// There is none, or something is mounted there.
    pub fn remove(&self, name: &str) -> Result<()> {
        ensure!(is_name(name), "'{name}' cannot be a volume's name");
        let path = self.path(name);
        let context = || format!("removing the volume '{name}'");
        let new = self.prepare()?;
        let parent = File::open(&new).with_context(context)?;
        let removed = format!(".removed-{name}");
        self.discard(&parent, removed.as_bytes()).with_context(context)?;
        match renameat_with(CWD, &path, &parent, &removed, RenameFlags::NOREPLACE) {
            Err(Errno::NOENT) => bail!("there is no volume '{name}'"),
            Err(Errno::BUSY) => {
                bail!("removing the volume '{name}': something is mounted there, stop its mount unit first")
            }
            result => result.with_context(context)?,
        }
        tree::remove(parent.as_fd(), removed.as_bytes()).with_context(context)
    }

    /// Removes what killed makers and removers have left.
    ///
    /// # Errors
    /// What unlink(2) says.
    pub fn sweep(&self) -> Result<()> {
        let new = self.root.join(".new");
        let context = || format!("clearing '{}'", new.display());
        let parent = match File::open(&new) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            parent => parent.with_context(context)?,
        };
        for entry in fs::read_dir(&new).with_context(context)? {
            let entry = entry.with_context(context)?;
            let Ok(directory) = File::open(entry.path()) else {
                continue;
            };
            if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok() {
                self.discard(&parent, entry.file_name().as_bytes())?;
            }
        }
        Ok(())
    }

    fn discard(&self, parent: &File, name: &[u8]) -> Result<()> {
        let there = fs::symlink_metadata(self.root.join(".new").join(std::ffi::OsStr::from_bytes(name)));
        match there {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            _ => tree::remove(parent.as_fd(), name),
        }
    }
}

impl Making {
    /// Where it is made.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it a volume, with all that is in it on the disk first: it will not be filled again.
    ///
    /// # Errors
    /// What syncfs(2) and rename(2) say.
    pub fn finish(self) -> Result<()> {
        let context = || format!("making the volume '{}'", self.target.display());
        // By descriptor here and below: /proc and the paths may be out of sight by now.
        let mut entries = Dir::read_from(&self.directory).with_context(context)?;
        let is_empty = std::iter::from_fn(|| entries.read())
            .flatten()
            .all(|entry| matches!(entry.file_name().to_bytes(), b"." | b".."));
        if !is_empty {
            rustix::fs::syncfs(&self.directory).with_context(context)?;
        }
        let [new, volumes] = &self.parents;
        let name = self.target.file_name().unwrap_or_default();
        renameat_with(new, name, volumes, name, RenameFlags::NOREPLACE).with_context(context)
    }
}

/// Whether something is mounted at this path.
#[must_use]
pub fn is_mounted(path: &Path) -> bool {
    let found = statx(CWD, path, AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS);
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::store::Store;

    #[test]
    fn a_volume_appears_whole_and_what_was_left_half_made_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let volumes = Store::open(directory.path()).unwrap().volumes();
        assert_eq!(volumes.names().unwrap(), [""; 0]);
        let making = volumes.make("data").unwrap().unwrap();
        fs::write(making.path().join("half"), "x").unwrap();
        assert_eq!(volumes.names().unwrap(), [""; 0]);
        drop(making);
        let making = volumes.make("data").unwrap().unwrap();
        assert!(!making.path().join("half").exists());
        fs::write(making.path().join("file"), "x").unwrap();
        making.finish().unwrap();
        assert!(volumes.make("data").unwrap().is_none());
        assert_eq!(volumes.names().unwrap(), ["data"]);
        assert!(volumes.path("data").join("file").exists());
        volumes.remove("data").unwrap();
        assert!(
            volumes
                .remove("data")
                .unwrap_err()
                .to_string()
                .contains("there is no volume")
        );
        assert_eq!(volumes.names().unwrap(), [""; 0]);
    }

    #[test]
    fn names_stay_in_their_place() {
        let directory = tempfile::tempdir().unwrap();
        let volumes = Store::open(directory.path()).unwrap().volumes();
        for name in ["../x", "", ".", "..", ".new", "a/b", "a\0b", "-", "ä"] {
            assert!(volumes.make(name).is_err() && volumes.remove(name).is_err(), "{name}");
        }
    }
}
