//! Removes a container's writable layer and its network after it has stopped (`ExecStopPost=`, which systemd runs however the service ended).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;

use crate::run::failure::{CONFIG, Failure, NAMESPACE, OrFail as _};
use crate::run::mark::{Marks, Subject};
use crate::run::network::sweep::after;
use crate::run::{overdue, place, record, subordinate};
use crate::store::Store;

/// Where the writable layer of `unit` lies.
///
/// # Errors
/// A unit name that is a path.
pub fn writable_layer(store: &Store, unit: &str) -> Result<PathBuf> {
    ensure!(
        !unit.is_empty() && !unit.contains('/') && unit != "." && unit != "..",
        "'{unit}' is not a unit name"
    );
    // A colon or a backslash, as instances have them, means something in overlayfs' options; no unit name has a plus or an equals sign.
    let name = unit.replace(':', "+").replace('\\', "=");
    Ok(store.root().join("containers").join(name))
}

/// How often containers that stop look for what others have left.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Whether nobody has swept for a while. The time of the last sweep is the time of the file with the locks, in which nothing is ever written.
fn is_due(marks: &Marks) -> bool {
    let is_old = |file: &File| {
        file.metadata()?
            .modified()
            .map(|time| time.elapsed().unwrap_or_default() >= SWEEP_INTERVAL)
    };
    let Ok(file) = marks.existing() else {
        return false;
    };
    is_old(&file).unwrap_or(false) && file.set_modified(SystemTime::now()).is_ok()
}

/// The unit that a writable layer of this name is of.
fn unit_of(name: &str) -> String {
    name.replace('+', ":").replace('=', "\\")
}

/// Removes the writable layers of containers that are gone: a kill can reach the cleaning up too. Nothing is waited for; a container that is
/// about to start is alive.
///
/// # Errors
/// The directory cannot be read; a layer that cannot be removed now may be the next time.
pub fn sweep(store: &Store, marks: &Marks) -> Result<()> {
    overdue::sweep();
    for unit in record::units() {
        if marks.claim(Subject::Layer(&unit))?.is_some() {
            record::forget(&unit);
        }
    }
    let containers = store.root().join("containers");
    let entries = match fs::read_dir(&containers) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("reading '{}'", containers.display()))?,
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("reading '{}'", containers.display()))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if let Some(_alone) = marks.claim(Subject::Layer(&unit_of(&name)))? {
            let directory = entry.path();
            remove_writable_layer(&directory).or_else(|error| remove_among_own(&directory, error))?;
        }
    }
    Ok(())
}

/// Removes what `unit` has left, and then the resolved definition that was made for this one run (`coracle run`): as long as that is there,
/// the rest can be found.
///
/// # Errors
/// As [`remove_writable_layer`] and [`remove_resolved`].
pub fn clean_up(unit: &str, resolved: Option<&Path>) -> Result<(), Failure> {
    record::forget(unit);
    overdue::note(unit);
    let store = place::store().or_fail(CONFIG)?;
    let marks = Marks::of_this_user();
    let is_root = geteuid().is_root();
    let directory = writable_layer(&store, unit).or_fail(CONFIG)?;
    let removed = remove_writable_layer(&directory).or_else(|error| remove_among_own(&directory, error));
    // No user has a network that anything would be left of.
    if is_root {
        after(unit).or_fail(NAMESPACE)?;
    }
    removed.or_fail(NAMESPACE)?;
    // For others that could not do it themselves; whatever comes of it, this one has cleaned up.
    if is_due(&marks) {
        let _ = sweep(&store, &marks);
    }
    resolved.map_or(Ok(()), remove_resolved).or_fail(NAMESPACE)
}

/// Removes the resolved definition of a single run, and its directory with the last one.
///
/// # Errors
/// What unlink(2) says, unless it is gone already.
pub fn remove_resolved(resolved: &Path) -> Result<()> {
    match fs::remove_file(resolved) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("removing '{}'", resolved.display()));
        }
        _ => {}
    }
    if let Some(directory) = resolved.parent() {
        // Whoever is about to put another one there makes the directory again.
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}

/// Removes a writable layer in which files belong to identities that were lent to the user: only in a namespace of theirs can that be done.
fn remove_among_own(directory: &Path, error: anyhow::Error) -> Result<()> {
    let is_denied = error.downcast_ref::<io::Error>().map(io::Error::kind) == Some(io::ErrorKind::PermissionDenied);
    if !is_denied || geteuid().is_root() {
        return Err(error);
    }
    // overlayfs closes its own directories even to their owner; often nothing else is in the way.
    for own in ["work/work", "work/work/incompat", "work/work/incompat/volatile"] {
        let _ = fs::set_permissions(directory.join(own), fs::Permissions::from_mode(0o700));
    }
    if remove_writable_layer(directory).is_ok() {
        return Ok(());
    }
    subordinate::enter_own()?;
    remove_writable_layer(directory)
}

/// Removes a writable layer. It is no error if there is none.
///
/// # Errors
/// What unlink(2) says.
pub fn remove_writable_layer(directory: &Path) -> Result<()> {
    // Removal goes by directory descriptors and never follows a link, whatever the payload has left there.
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing '{}'", directory.display()))
        }
        _ => Ok(()),
    }
}
