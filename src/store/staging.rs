//! What writers need: the store's directories, locks, and a staging directory.
//!
//! Every lock is a flock(2) on a descriptor, so a killed writer holds none. A staging directory without a lock is garbage, and the
//! next writer removes it. The order of locks is: `lock`, then `locks/*` sorted by name, then `index.lock`; nobody waits for one
//! while holding a later one.

use std::cell::Cell;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use crate::image::digest::Digest;
use crate::store::index::Index;
use crate::store::{Store, tree};

/// The right to add to the store: nothing is removed meanwhile.
#[derive(Debug)]
pub struct Adding(#[allow(dead_code)] File);

/// The right to remove from the store: nobody else writes meanwhile.
#[derive(Debug)]
pub struct Removing(#[allow(dead_code)] File);

/// The right to write one layer.
#[derive(Debug)]
pub struct LayerLock {
    path: PathBuf,
    _file: File,
}

/// A directory for what is not complete yet; it vanishes with this value.
#[derive(Debug)]
pub struct Staging {
    /// Where it is.
    pub path: PathBuf,
    directory: File,
    /// How many device nodes of the layers were not made, since this process may not.
    pub left_out: Cell<u64>,
}

impl Store {
    /// Makes the store's directories, and waits for the right to add to it.
    pub fn begin_adding(&self) -> Result<Adding> {
        self.make_directories()?;
        let file = self.lock_file("lock")?;
        // Whoever finds nobody at work clears away what killed writers have left.
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let removing = Removing(file.try_clone().context("locking the store")?);
            self.collect(&removing)?;
        }
        flock(&file, FlockOperation::LockShared).with_context(|| format!("locking '{}'", self.root().display()))?;
        Ok(Adding(file))
    }

    /// Waits until nobody removes anything, and clears nothing away: to change a name takes no right over files that layers have.
    pub fn begin_naming(&self) -> Result<Adding> {
        let file = self.lock_file("lock")?;
        flock(&file, FlockOperation::LockShared).with_context(|| format!("locking '{}'", self.root().display()))?;
        Ok(Adding(file))
    }

    /// Waits for the right to remove.
    pub fn begin_removing(&self) -> Result<Removing> {
        self.make_directories()?;
        let file = self.lock_file("lock")?;
        flock(&file, FlockOperation::LockExclusive).with_context(|| format!("locking '{}'", self.root().display()))?;
        Ok(Removing(file))
    }

    /// Waits for the right to write these layers.
    pub fn lock_layers(&self, layers: &[Digest]) -> Result<Vec<LayerLock>> {
        let mut layers = layers.to_vec();
        layers.sort();
        layers.dedup();
        layers.iter().map(|layer| self.lock_layer(layer)).collect()
    }

    fn lock_layer(&self, layer: &Digest) -> Result<LayerLock> {
        let name = format!("locks/{}", layer.hex());
        let path = self.root().join(&name);
        let context = || format!("locking '{}'", path.display());
        loop {
            let file = self.lock_file(&name)?;
            flock(&file, FlockOperation::LockExclusive).with_context(context)?;
            // The one before may have removed it when it was done.
            if is_still(&path, &file).with_context(context)? {
                return Ok(LayerLock { path, _file: file });
            }
        }
    }

    /// Changes `index.json`: as a whole, once at a time.
    pub fn update_index(&self, change: impl FnOnce(&mut Index)) -> Result<()> {
        let lock = self.lock_file("index.lock")?;
        let path = self.root().join("index.json");
        let context = || format!("writing '{}'", path.display());
        flock(&lock, FlockOperation::LockExclusive).with_context(context)?;
        let mut index = Index::read(self.root())?;
        change(&mut index);
        let new = self.root().join("index.json.new");
        let mut file = File::create(&new).with_context(context)?;
        file.write_all(&index.to_bytes()?).with_context(context)?;
        file.sync_all().with_context(context)?;
        fs::rename(&new, &path).with_context(context)?;
        sync_directory(self.root())
    }

    /// Makes a staging directory.
    pub fn stage(&self) -> Result<Staging> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = self.root().join(format!("staging/{}-{number}", std::process::id()));
            let context = || format!("making '{}'", path.display());
            match DirBuilder::new().mode(0o700).create(&path) {
                // A former process of the same number left it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                other => other.with_context(context)?,
            }
            let directory = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other.with_context(context)?,
            };
            flock(&directory, FlockOperation::LockExclusive).with_context(context)?;
            // Until it was locked it looked like garbage.
            if is_still(&path, &directory).with_context(context)? {
                return Ok(Staging {
                    path,
                    directory,
                    left_out: Cell::new(0),
                });
            }
        }
    }

    /// Removes the staging directories that nobody holds.
    pub fn clear_staging(&self) -> Result<()> {
        let path = self.root().join("staging");
        let context = || format!("clearing '{}'", path.display());
        let staging = File::open(&path).with_context(context)?;
        for entry in fs::read_dir(&path).with_context(context)? {
            let entry = entry.with_context(context)?;
            let Ok(directory) = File::open(entry.path()) else {
                continue;
            };
            if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok() {
                tree::remove(staging.as_fd(), entry.file_name().as_bytes())?;
            }
        }
        Ok(())
    }

    fn make_directories(&self) -> Result<()> {
        let make = |path: &Path| {
            let made = match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                other => other,
            };
            made.with_context(|| format!("making '{}'", path.display()))
        };
        // Layers hold files with setuid bits, and images may be private: nobody else looks in.
        if let Some(parent) = self.root().parent() {
            fs::create_dir_all(parent).with_context(|| format!("making '{}'", parent.display()))?;
        }
        make(self.root())?;
        for name in ["blobs", "blobs/sha256", "layers", "staging", "locks"] {
            make(&self.root().join(name))?;
        }
        let path = self.root().join("oci-layout");
        if !path.exists() {
            fs::write(&path, b"{\"imageLayoutVersion\":\"1.0.0\"}\n")
                .with_context(|| format!("writing '{}'", path.display()))?;
        }
        Ok(())
    }

    fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.root().join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        file.with_context(|| format!("opening '{}'", path.display()))
    }
}

impl Staging {
    /// Brings everything in the staging directory to the disk.
    pub fn sync(&self) -> Result<()> {
        nix::unistd::syncfs(&self.directory).with_context(|| format!("syncing '{}'", self.path.display()))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // If it fails, the next writer tries again.
        if let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name())
            && let Ok(parent) = File::open(parent)
        {
            let _ = tree::remove(parent.as_fd(), name.as_bytes());
        }
    }
}

impl Drop for LayerLock {
    fn drop(&mut self) {
        // Still locked: whoever waits for it sees that the name is gone.
        let _ = fs::remove_file(&self.path);
    }
}

/// Brings the names in a directory to the disk.
pub fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("syncing '{}'", path.display()))
}

/// Whether the file at `path` is the one that is open.
fn is_still(path: &Path, file: &File) -> std::io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(named) => {
            let held = file.metadata()?;
            Ok((named.dev(), named.ino()) == (held.dev(), held.ino()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
