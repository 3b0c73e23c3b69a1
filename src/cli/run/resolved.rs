//! The resolved definitions of containers without a file: below `/run/coracle/run`, each until its container has ended.
//!
//! The service's `ExecStopPost=` removes its own. What a killed `coracle run` or a killed cleaning up has left is swept by the next
//! `coracle run`. A lock on the file tells the two from one that is about to be used: it is held from before the file has a name until
//! systemd has taken the unit, so a file without a lock and without a unit is nobody's.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg};
use nix::unistd::{geteuid, linkat};

use crate::cli::scope::Scope;
use crate::generate::run::SHIM;
use crate::run::cleanup::{clean_up, remove_resolved};
use crate::systemd::{self, Manager, Question};

/// Where they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directory(PathBuf);

/// One of them, which is removed again unless it is kept.
#[derive(Debug)]
pub(super) struct Written {
    path: PathBuf,
    lock: Flock<File>,
    fate: Fate,
}

/// What becomes of a definition when this process has no more use for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Removed,
    Kept,
}

impl Directory {
    /// The system's, or the user's.
    pub(super) fn of(scope: &Scope) -> Self {
        Self(scope.runtime().join("coracle/run"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The file of a container.
    pub(super) fn file(&self, stem: &str) -> PathBuf {
        self.0.join(format!("{stem}.json"))
    }

    /// The stems of the containers that have one.
    pub(super) fn stems(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut stems: Vec<_> = names
            .filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()))
            .collect();
        stems.sort();
        stems
    }

    /// Writes a definition under its name, which nothing else may have.
    pub(super) fn write(&self, stem: &str, text: &str) -> Result<Written> {
        let path = self.file(stem);
        // Whoever removes the last file removes the directory too, perhaps just now.
        for _ in 0..100 {
            match self.try_write(&path, text) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    bail!("there is a container '{stem}' already, choose another name with --name, or stop that one")
                }
                written => return written.with_context(|| format!("writing '{}'", path.display())),
            }
        }
        bail!("writing '{}': its directory vanishes again and again", path.display())
    }

    fn try_write(&self, path: &Path, text: &str) -> io::Result<Written> {
        if let Some(parent) = self.0.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let nameless = OpenOptions::new()
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_TMPFILE)
            .open(&self.0)?;
        let lock = Flock::lock(nameless, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
        (&*lock).write_all(text.as_bytes())?;
        // By its name in /proc: naming a descriptor directly takes a capability before Linux 6.10.
        let name = format!("/proc/self/fd/{}", lock.as_raw_fd());
        linkat(AT_FDCWD, name.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?;
        Ok(Written {
            path: path.to_owned(),
            lock,
            fate: Fate::Removed,
        })
    }

    /// Removes what containers have left that are gone. What cannot be removed now may be the next time.
    pub(super) fn sweep(&self, manager: Manager) {
        let abandoned: Vec<_> = self
            .stems()
            .into_iter()
            .filter_map(|stem| Some((self.lock(&stem)?, stem)))
            .collect();
        if abandoned.is_empty() {
            return;
        }
        let names = abandoned.iter().map(|(_, stem)| format!("{stem}.service")).collect();
        let Ok(states) = systemd::states(
            manager,
            &Question {
                names,
                patterns: Vec::new(),
            },
        ) else {
            return;
        };
        for (_lock, stem) in &abandoned {
            let state = states.get(&format!("{stem}.service"));
            if state.is_some_and(|state| matches!(state.active.as_str(), "inactive" | "failed")) {
                let _ = clean(&format!("{stem}.service"), &self.file(stem));
            }
        }
    }

    fn lock(&self, stem: &str) -> Option<Flock<File>> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(self.file(stem))
            .ok()?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()
    }
}

/// Removes what a container has left. A user's may lie where only a process in a namespace can remove it, which this one must not become.
fn clean(unit: &str, resolved: &Path) -> Result<()> {
    if geteuid().is_root() {
        return clean_up(unit, Some(resolved)).map_err(|failure| failure.error);
    }
    let mut shim = Command::new(SHIM);
    let shim = shim
        .args(["--cleanup", unit])
        .arg(resolved)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    shim.status().with_context(|| format!("executing '{SHIM}'"))?;
    Ok(())
}

impl Written {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it to the container's own cleaning up.
    pub(super) fn keep(mut self) {
        self.fate = Fate::Kept;
    }
}

impl Drop for Written {
    /// Where no container has come of it; for one that has ended this finds nothing. Another one's of the same name has another inode.
    fn drop(&mut self) {
        let has_name = self.lock.metadata().is_ok_and(|metadata| metadata.nlink() > 0);
        if self.fate == Fate::Removed && has_name {
            // What is left is swept by the next one.
            let _ = remove_resolved(&self.path);
        }
    }
}
