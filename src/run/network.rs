//! Bridges: what a container with an interface on one needs before it starts, and what has to go when it has ended.
//!
//! netavark(1) makes bridge, interface, addresses and rules, and takes them away again. For that it must be told the same twice, and be
//! shown the container's network namespace, also when everything in it is dead. So a start leaves two files, which the unit's
//! `ExecStopPost=` removes: what netavark was told, and a mount of the namespace. Whoever works on the networks next removes what others
//! have left whose container is gone ([`sweep`]): who is alive is told by a lock on a byte ([`locks`]), which ends with the container's init.
//!
//! Only a container on a bridge pays for any of this.

pub mod join;
pub mod locks;
pub mod names;
pub mod netavark;
pub mod overlap;
pub mod rules;
pub mod sweep;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};
use nix::unistd::Pid;

use crate::plan::network::Bridges;
use crate::run::network::locks::Exclusive;
use crate::run::network::netavark::Verb;
use crate::run::network::sweep::{make_directory, remove};

/// Where the two files of each container are.
pub const DIRECTORY: &str = "/run/coracle/networks";

/// The two files of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// What netavark is told.
    pub request: PathBuf,
    /// The network namespace, mounted.
    pub namespace: PathBuf,
}

impl Files {
    /// Those of `unit`.
    #[must_use]
    pub fn of(unit: &str) -> Self {
        let file = |suffix: &str| Path::new(DIRECTORY).join([unit, suffix].concat());
        Self {
            request: file(".json"),
            namespace: file(".netns"),
        }
    }
}

/// Gives `container`, a process in a network namespace of its own, its interfaces.
///
/// # Errors
/// What netavark says, or what stands in the way of asking it. What was made by then is removed by [`sweep::after`].
pub fn set_up(container: Pid, bridges: &Bridges) -> Result<()> {
    let exclusive = Exclusive::wait()?;
    let files = Files::of(&bridges.unit);
    // Of an earlier run whose cleaning up was killed.
    if files.request.exists() {
        remove(&bridges.unit, &exclusive).context("removing what an earlier run has left")?;
    }
    overlap::check(bridges)?;
    make_directory()?;
    write(&files.request, &bridges.request().to_string())?;
    write(&files.namespace, "")?;
    let namespace = format!("/proc/{container}/ns/net");
    mount(
        Some(namespace.as_str()),
        &files.namespace,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .with_context(|| format!("mounting the network namespace at '{}'", files.namespace.display()))?;
    netavark::call(Verb::Setup, &files).context("setting the network up")?;
    names::await_servers(bridges);
    Ok(())
}

/// Written under another name first: what has its name is whole.
fn write(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&new);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("writing '{}'", path.display()))
}
