//! The shim's part of volumes: finds them on the host, makes those that are new, and shows them to the container.
//!
//! A new volume is filled by the container, since that is who may look into the image ([`crate::run::fill`]). It gets the empty directory, and
//! when it has told that all is in it, the directory gets its name. Killed before that, there is no volume, and the next start begins again.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::Pid;

use crate::definition::volume::Backing;
use crate::plan::mount::Mount;
use crate::plan::volume::Volume;
use crate::run::handover::{Giver, Message, Wish};
use crate::run::lend::identities::Identities;
use crate::run::lend::source::{clone_of, show};
use crate::run::selinux;
use crate::store::volume::{Making, Volumes, is_mounted};
use crate::sys::mount::{Depth, add_attributes};
use crate::sys::process::{is_pending, send_signal};

/// A volume as the container gets it.
#[derive(Debug)]
pub struct Found {
    /// The mount.
    pub mount: OwnedFd,
    /// Whether there is something to be done with it.
    pub state: State,
}

/// Whether a volume has to be filled.
#[derive(Debug)]
pub enum State {
    /// It is what it is.
    Kept,
    /// It is empty, and its container fills it.
    New,
    /// The same, and it becomes a volume by that.
    Making(Making),
}

/// How often a stop is looked for while a volume is filled, and how often systemd is told that this takes its time.
const GLANCE: Duration = Duration::from_millis(250);
const EXTENSION: Duration = Duration::from_secs(10);

/// What is told then: three times as long (sd_notify(3)).
pub const EXTEND: &str = "EXTEND_TIMEOUT_USEC=30000000";

/// Finds or makes the volume of `mount`.
///
/// # Errors
/// It cannot be made or shown, or should be mounted and is not.
pub fn find(volume: &Volume, mount: &Mount, identities: Option<&Identities>) -> Result<Found> {
    let path = volume.directory.as_path();
    let (path, state) = match &volume.name {
        None => {
            std::fs::create_dir(path).with_context(|| format!("making '{}'", path.display()))?;
            selinux::label_new(path, volume.context.as_deref())?;
            (path.to_owned(), State::New)
        }
        Some(name) if volume.settings.backing == Backing::Mount => {
            ensure!(
                is_mounted(path),
                "volume '{name}': nothing is mounted on '{}', see 'systemctl status {}'",
                path.display(),
                path.display()
            );
            (path.to_owned(), State::Kept)
        }
        // Mostly it is there.
        Some(_) if path.is_dir() => (path.to_owned(), State::Kept),
        Some(name) => match volumes(path)?.make(name)? {
            None => (path.to_owned(), State::Kept),
            Some(making) => {
                selinux::label_new(making.path(), volume.context.as_deref())?;
                (making.path().to_owned(), State::Making(making))
            }
        },
    };
    let clone = clone_of(&path, Depth::Tree, volume.propagation)?;
    let way_out = "move the volumes to another file system";
    show(&clone, &path, Depth::Tree, identities, way_out)?;
    let mut attributes = mount.attributes();
    if !matches!(state, State::Kept) {
        // Whoever fills it needs to write; it closes it then.
        attributes &= !libc::MOUNT_ATTR_RDONLY;
    }
    add_attributes(clone.as_fd(), attributes, Depth::Tree)?;
    Ok(Found { mount: clone, state })
}

fn volumes(path: &Path) -> Result<Volumes> {
    Ok(Volumes::at(path.parent().context("a volume lies nowhere")?))
}

/// Waits until the container has filled its new volumes, and gives them their names. `extend` tells systemd to wait too. What the container
/// wants meanwhile is given back: it has failed then.
///
/// # Errors
/// A volume cannot be named, or the start was stopped.
pub fn settle(makings: Vec<(u16, Making)>, container: Pid, giver: &Giver, extend: impl Fn()) -> Result<Wish> {
    if makings.is_empty() {
        return Ok(Wish::None);
    }
    let mut makings = makings;
    let mut extended = Instant::now();
    while !makings.is_empty() {
        match giver.glance(GLANCE)? {
            Wish::Filled(number) => {
                let index = makings.iter().position(|(of, _)| *of == number);
                let index = index.context("the container has filled what it did not have to")?;
                let (_, making) = makings.swap_remove(index);
                making.finish()?;
            }
            Wish::None if is_pending(libc::SIGTERM) => {
                send_signal(container, libc::SIGKILL);
                bail!("stopped while a new volume was filled");
            }
            Wish::None if extended.elapsed() >= EXTENSION => {
                extended = Instant::now();
                extend();
            }
            Wish::None => {}
            wish @ (Wish::Main | Wish::Gone) => return Ok(wish),
        }
    }
    giver.give(Message::Settled, None);
    Ok(Wish::None)
}
