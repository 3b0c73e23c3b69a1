//! Where the things of a container lie that its definition does not name: the system's, or those of the user whose manager starts it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::unistd::geteuid;

use crate::store::Store;

/// The store of the user that this process runs as; root's is the system's.
///
/// # Errors
/// A user without a home.
pub fn store() -> Result<Store> {
    if geteuid().is_root() {
        return Store::open(Store::system_root());
    }
    let home = || directory("HOME").map(|home| home.join(".local/share"));
    let data = directory("XDG_DATA_HOME").or_else(home);
    let data = data.context("looking for your images: neither $XDG_DATA_HOME nor $HOME is an absolute path")?;
    Store::open(&data.join("coracle"))
}

/// Where what lasts until the next boot lies: `/run`, or the user's directory of that kind.
#[must_use]
pub fn runtime() -> PathBuf {
    if geteuid().is_root() {
        return PathBuf::from("/run");
    }
    directory("XDG_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", geteuid())))
}

/// The names of what lies there of Coracle's.
#[must_use]
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(runtime().join("coracle")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// The directory that a variable names; a relative one is to be ignored (XDG base directory specification).
fn directory(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| Path::is_absolute(path))
}
