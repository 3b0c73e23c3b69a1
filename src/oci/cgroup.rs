//! A container's control group: where it is, its processes, and its end.
//!
//! Version 2 only (cgroups(7)). Who owns the tree says the caller: with `--systemd-cgroup` systemd makes a scope for the container, else it is a
//! directory of ours. Where there is no tree that can be written and nothing was asked of it, a container does without.

pub mod device;
pub mod limits;
pub mod place;
pub mod scope;

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::sys::process::send_signal;

/// The control group of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Its directory; none for a container that has no group of its own.
    pub directory: Option<PathBuf>,
    /// systemd's scope, if it is one.
    pub scope: Option<String>,
    /// How many of the directories above it were made for it.
    pub made: usize,
}

/// Where the tree is mounted, if it is.
#[must_use]
pub fn mount_point() -> Option<&'static Path> {
    let is_tree = |path: &&Path| statfs(*path).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC);
    [Path::new("/sys/fs/cgroup"), Path::new("/sys/fs/cgroup/unified")]
        .into_iter()
        .find(is_tree)
}

/// The group of process `pid`, below the mount point.
///
/// # Errors
/// It cannot be read.
pub fn of_process(pid: &str) -> Result<PathBuf> {
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading '{path}'"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("0::"));
    Ok(PathBuf::from(line.unwrap_or("/")))
}

impl Cgroup {
    /// Makes the directory.
    ///
    /// # Errors
    /// What the file system says.
    pub fn make(&mut self) -> Result<()> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        // Counted first: those that are there are others'.
        self.made = directory
            .ancestors()
            .skip(1)
            .take_while(|above| !above.exists())
            .count();
        fs::create_dir_all(directory).with_context(|| format!("creating the control group '{}'", directory.display()))
    }

    /// Opens it, for a process to be born there.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(&self) -> Result<Option<OwnedFd>> {
        let open = |directory: &PathBuf| {
            let opened = File::open(directory).map(OwnedFd::from);
            opened.with_context(|| format!("opening the control group '{}'", directory.display()))
        };
        self.directory.as_ref().map(open).transpose()
    }

    /// Writes to one of its files.
    ///
    /// # Errors
    /// The group has no such file, or does not take the value.
    pub fn set(&self, file: &str, value: &str) -> io::Result<()> {
        match &self.directory {
            Some(directory) => fs::write(directory.join(file), value),
            None => Err(io::Error::other("the container has no control group of its own")),
        }
    }

    /// Whether its processes stand still.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let read = |directory: &PathBuf| fs::read_to_string(directory.join("cgroup.events")).ok();
        let events = self.directory.as_ref().and_then(read);
        events.is_some_and(|events| events.lines().any(|line| line == "frozen 1"))
    }

    /// The processes in it and in the groups below it.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        let mut pids = Vec::new();
        if let Some(directory) = &self.directory {
            collect(directory, &mut pids);
        }
        pids.sort_unstable();
        pids
    }

    /// Sends a signal to all of them.
    pub fn signal(&self, number: i32) {
        if number == libc::SIGKILL && self.set("cgroup.kill", "1").is_ok() {
            return;
        }
        self.processes().into_iter().for_each(|pid| send_signal(pid, number));
    }

    /// Kills what is left in it and removes it.
    ///
    /// # Errors
    /// It does not get empty.
    pub fn remove(&self) -> Result<()> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        if let Some(scope) = &self.scope {
            return self.remove_scope(scope, directory);
        }
        // Mostly it is empty.
        let mut result = Ok(());
        for attempt in 0..100 {
            if attempt > 0 {
                sleep(Duration::from_millis(if attempt < 10 { 1 } else { 20 }));
            }
            if attempt % 10 == 1 && !self.processes().is_empty() {
                self.signal(libc::SIGKILL);
                // What stands still cannot die before Linux 5.14.
                let _ = self.set("cgroup.freeze", "0");
            }
            result = match attempt {
                0 => fs::remove_dir(directory),
                _ => remove_tree(directory),
            };
            if result.is_ok() {
                break;
            }
        }
        result.with_context(|| format!("removing the control group '{}'", directory.display()))?;
        // Another container may be in one of those, and then it stays.
        for above in directory.ancestors().skip(1).take(self.made) {
            if fs::remove_dir(above).is_err() {
                break;
            }
        }
        Ok(())
    }
}

impl Cgroup {
    /// systemd removes its own: when the last process is gone, or else when it is asked to.
    fn remove_scope(&self, scope: &str, directory: &Path) -> Result<()> {
        if !self.processes().is_empty() {
            self.signal(libc::SIGKILL);
            let _ = self.set("cgroup.freeze", "0");
        }
        for attempt in 0..100 {
            if !directory.exists() {
                return Ok(());
            }
            if attempt == 10 {
                scope::forget(scope, directory);
            }
            sleep(Duration::from_millis(if attempt < 10 { 2 } else { 20 }));
        }
        bail!("systemd does not stop '{scope}'")
    }
}

fn collect(directory: &Path, pids: &mut Vec<Pid>) {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw));
    for below in groups_below(directory) {
        collect(&below, pids);
    }
}

fn groups_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.map(|entry| entry.path()).collect()
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY)) => {
            for below in groups_below(directory) {
                remove_tree(&below)?;
            }
            fs::remove_dir(directory)
        }
        result => result,
    }
}
