//! Who is alive: locks by which a container shows what on disk is in use, its writable layer and its volumes.
//!
//! They are shared locks on bytes of the file that has the ranges of identities ([`crate::run::identities`]), behind those, at a place that follows
//! from the name. The kernel ends them with the container, whatever ends it. Whoever wants to remove something asks for the lock alone: that
//! fails as long as one container has it. Two names may have one place; then something stays for longer than it must.
//!
//! Each user has a file of their own for it, in `$XDG_RUNTIME_DIR`, which no container has among its files.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::unistd::geteuid;

use crate::plan::Plan;
use crate::plan::mount::Kind;
use crate::run::identities::LOCKS;
use crate::run::place;
use crate::sys::lock::{self, lock_byte, share_byte};

/// The first place: no range of identities has it.
const FIRST: u32 = 1 << 31;

/// What is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The writable layer of a unit.
    Layer(&'a str),
    /// The volume of this name.
    Volume(&'a str),
}

impl Subject<'_> {
    fn place(self) -> u32 {
        let (kind, name) = match self {
            Self::Layer(unit) => (b"layer:".as_slice(), unit),
            Self::Volume(name) => (b"volume:".as_slice(), name),
        };
        // FNV-1a, as for the ranges, and folded: its high bits are the better ones.
        let hash = kind
            .iter()
            .copied()
            .chain(name.bytes())
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let folded = (hash >> 32) ^ hash;
        // Below FIRST, so that the sum fits.
        FIRST + u32::try_from(folded & u64::from(FIRST - 1)).unwrap_or_default()
    }
}

/// The marks of the containers of one user, root's being the system's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks(PathBuf);

impl Marks {
    /// Those of the user that this process runs as, which it must find out before it enters a user namespace.
    #[must_use]
    pub fn of_this_user() -> Self {
        Self(match geteuid().is_root() {
            true => PathBuf::from(LOCKS),
            false => place::runtime().join("coracle/.marks"),
        })
    }

    /// The file, for a container to show on what it uses ([`show`]).
    ///
    /// # Errors
    /// What open(2) says.
    pub fn open(&self) -> Result<OwnedFd> {
        lock::open(&self.0).with_context(|| format!("opening '{}'", self.0.display()))
    }

    /// The file if it is there, whose time says when somebody has last swept.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn existing(&self) -> io::Result<File> {
        File::options().write(true).open(&self.0)
    }

    /// The lock on something that no container uses, as long as the descriptor is open; nothing if one does.
    ///
    /// # Errors
    /// What fcntl(2) says.
    pub fn claim(&self, subject: Subject<'_>) -> Result<Option<OwnedFd>> {
        let locks = self.open()?;
        let is_free = lock_byte(&locks, subject.place().into());
        let is_free = is_free.with_context(|| format!("locking '{}'", self.0.display()))?;
        Ok(is_free.then_some(locks))
    }
}

/// Shows on `locks` what the container of `plan` uses.
///
/// # Errors
/// What fcntl(2) says.
pub fn show(plan: &Plan, locks: &OwnedFd) -> Result<()> {
    let share =
        |subject: Subject<'_>| share_byte(locks, subject.place().into()).context("locking what the container uses");
    share(Subject::Layer(&plan.unit))?;
    for mount in &plan.mounts {
        if let Kind::Volume(volume) = &mount.kind
            && let Some(name) = &volume.name
        {
            share(Subject::Volume(name))?;
        }
    }
    Ok(())
}

/// The file with the system's marks.
///
/// # Errors
/// What open(2) says.
pub fn open() -> Result<OwnedFd> {
    lock::open(Path::new(LOCKS)).with_context(|| format!("opening '{LOCKS}'"))
}

#[cfg(test)]
mod tests {
    use super::{FIRST, Subject};

    #[test]
    fn places_lie_behind_the_ranges_and_differ() {
        let places = [
            Subject::Layer("web.service"),
            Subject::Layer("db.service"),
            Subject::Volume("web.service"),
            Subject::Volume("data"),
        ]
        .map(Subject::place);
        assert!(places.iter().all(|place| *place >= FIRST));
        assert!((1..places.len()).all(|index| !places[..index].contains(&places[index])));
    }
}
