//! What is kept of a container between two commands: a directory with a record, its `config.json` and, until it is started, a socket.
//!
//! There is no other state, and what changes by itself is never written down: whether a container runs is asked of the kernel each
//! time. A container waits to be started as long as its socket is there. Whatever is killed, `delete --force` finds all that is to be removed in
//! the record, which is written before there is anything to remove.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::oci::cgroup::Cgroup;

/// The version of the specification that is followed.
pub const VERSION: &str = "1.2.1";

/// A container's directory.
#[derive(Debug)]
pub struct Directory {
    /// The container's name.
    pub id: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// What is written down of a container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Record {
    /// The directory of its `config.json`.
    pub bundle: PathBuf,
    /// Its root file system.
    pub rootfs: PathBuf,
    /// Its process; 0 while there is none.
    pub pid: i32,
    /// When that has started, in the kernel's own time: another process of this number is not it.
    pub started: u64,
    /// When it was made (RFC 3339).
    pub created: String,
    /// Its control group.
    pub cgroup: Cgroup,
    /// From its `config.json`.
    pub annotations: BTreeMap<String, String>,
    /// Whether `/` of its mount namespace is its root, or another directory is.
    pub is_pivoted: bool,
    /// Whether its mounts are in the host's own mount namespace.
    pub has_host_mounts: bool,
}

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is being made.
    Creating,
    /// It waits to be started.
    Created,
    /// Its program runs.
    Running,
    /// It is frozen.
    Paused,
    /// It has ended.
    Stopped,
}

impl Status {
    /// As the specification calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// Where containers are written down unless the caller says otherwise.
pub const ROOT: &str = "/run/coracle/oci";

const RECORD: &str = "state.json";
const CONFIG: &str = "config.json";
/// The socket on which a container waits to be started.
const START: &str = "start";

impl Directory {
    /// The directory of the container `id` below `root`, whether it is there or not.
    ///
    /// # Errors
    /// The name cannot be one.
    pub fn of(root: &Path, id: &str) -> Result<Self> {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
        ensure!(
            !id.is_empty() && id.len() <= 1024 && id.chars().all(is_fine) && !matches!(id, "." | ".."),
            "'{}' cannot be a container's name: it has letters, digits, and '_', '+', '-', '.'",
            id.escape_default()
        );
        Ok(Self {
            id: id.to_owned(),
            path: root.join(id),
        })
    }

    /// Makes it, and nobody else can.
    ///
    /// # Errors
    /// There is a container of this name.
    pub fn reserve(&self) -> Result<()> {
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        let mut made = make(&self.path);
        for _ in 0..8 {
            // It may be removed again at this moment, with the last container in it.
            if made
                .as_ref()
                .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            {
                let parent = self.path.parent().unwrap_or(Path::new("/"));
                DirBuilder::new().mode(0o700).recursive(true).create(parent)?;
                made = make(&self.path);
            }
        }
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("there is a container '{}' already", self.id)
            }
            made => made.with_context(|| format!("creating '{}'", self.path.display())),
        }
    }

    /// The record.
    ///
    /// # Errors
    /// There is no such container, or its record cannot be read.
    pub fn read(&self) -> Result<Record> {
        let path = self.path.join(RECORD);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!("container '{}' does not exist", self.id)
            }
            text => {
                let record = text
                    .map_err(anyhow::Error::from)
                    .and_then(|text| Ok(serde_json::from_slice(&text)?));
                record.with_context(|| format!("reading '{}'", path.display()))
            }
        }
    }

    /// Writes the record: the old one or the new one is there, whatever is killed.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, record: &Record) -> Result<()> {
        let (path, new) = (self.path.join(RECORD), self.path.join("state.new"));
        let write = || -> Result<()> {
            fs::write(&new, serde_json::to_vec(record)?)?;
            Ok(fs::rename(&new, &path)?)
        };
        write().with_context(|| format!("writing '{}'", path.display()))
    }

    /// Keeps a copy of the bundle's `config.json`: what is changed there later changes nothing here.
    ///
    /// # Errors
    /// What the file system says.
    pub fn keep_config(&self, text: &[u8]) -> Result<()> {
        let path = self.path.join(CONFIG);
        fs::write(&path, text).with_context(|| format!("writing '{}'", path.display()))
    }

    /// The copy.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn config(&self) -> Result<Vec<u8>> {
        let path = self.path.join(CONFIG);
        fs::read(&path).with_context(|| format!("reading '{}'", path.display()))
    }

    /// Where the container waits to be started.
    #[must_use]
    pub fn start(&self) -> PathBuf {
        self.path.join(START)
    }

    /// Locks it against every other command that changes the container.
    ///
    /// # Errors
    /// There is no such container.
    pub fn lock(&self) -> Result<Flock<OwnedFd>> {
        let directory = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!("container '{}' does not exist", self.id)
            }
            directory => directory.with_context(|| format!("opening '{}'", self.path.display()))?,
        };
        Flock::lock(OwnedFd::from(directory), FlockArg::LockExclusive)
            .map_err(|(_, errno)| errno)
            .with_context(|| format!("locking '{}'", self.path.display()))
    }

    /// Removes it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.with_context(|| format!("removing '{}'", self.path.display()))?,
        }
        // The last one leaves nothing; a directory that the caller has named is the caller's.
        if let Some(parent) = self.path.parent().filter(|parent| *parent == Path::new(ROOT)) {
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    /// What the container is doing.
    #[must_use]
    pub fn status(&self, record: &Record) -> Status {
        match record.process() {
            None if record.pid == 0 => Status::Creating,
            None => Status::Stopped,
            Some(_) if self.start().exists() => Status::Created,
            Some(_) if record.cgroup.is_frozen() => Status::Paused,
            Some(_) => Status::Running,
        }
    }

    /// The state as the specification has it, for `state` and for hooks.
    #[must_use]
    pub fn state(&self, record: &Record, status: Status) -> Value {
        let pid = match status {
            Status::Stopped => 0,
            _ => record.pid,
        };
        let mut state = json!({
            "ociVersion": VERSION,
            "id": self.id,
            "status": status.name(),
            "pid": pid,
            "bundle": record.bundle,
        });
        if let (Some(state), false) = (state.as_object_mut(), record.annotations.is_empty()) {
            state.insert("annotations".to_owned(), json!(record.annotations));
        }
        state
    }
}

impl Record {
    /// The container's process, if it is there and no other of its number.
    #[must_use]
    pub fn process(&self) -> Option<Pid> {
        let is_alive = self.pid > 0 && start_time(self.pid) == Some(self.started);
        is_alive.then(|| Pid::from_raw(self.pid))
    }
}

/// When process `pid` has started (proc_pid_stat(5)); none for one that is gone or a zombie.
#[must_use]
pub fn start_time(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have anything in it, even parentheses.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

/// The time now (RFC 3339).
#[must_use]
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = crate::run::date::civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_nanos()
    )
}

#[cfg(test)]
mod tests {
    use super::{Directory, start_time};
    use std::path::Path;

    #[test]
    fn a_name_cannot_lead_elsewhere() {
        for bad in ["", ".", "..", "a/b", "../x", "a b", "a\nb", "ä"] {
            assert!(Directory::of(Path::new("/run/x"), bad).is_err(), "{bad}");
        }
        assert!(Directory::of(Path::new("/run/x"), "web_1.2+3-4").is_ok());
    }

    #[test]
    fn a_process_has_a_time_and_a_missing_one_has_none() {
        assert!(start_time(std::process::id().cast_signed()).is_some());
        assert_eq!(start_time(i32::MAX), None);
    }
}
