//! Removes a container's writable layer and its network after it has stopped (`ExecStopPost=`, which systemd runs however the service ended).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::run::failure::{CONFIG, Failure, NAMESPACE, OrFail as _};
use crate::run::network::sweep;
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

/// Removes what `unit` has left, and then the resolved definition that was made for this one run (`coracle run`): as long as that is there,
/// the rest can be found.
///
/// # Errors
/// As [`remove_writable_layer`] and [`remove_resolved`].
pub fn clean_up(unit: &str, resolved: Option<&Path>) -> Result<(), Failure> {
    let store = Store::open(Store::system_root()).or_fail(CONFIG)?;
    let directory = writable_layer(&store, unit).or_fail(CONFIG)?;
    let removed = remove_writable_layer(&directory);
    sweep::after(unit).or_fail(NAMESPACE)?;
    removed.or_fail(NAMESPACE)?;
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
