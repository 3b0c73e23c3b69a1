//! Takes away what containers on bridges leave: interfaces, bridges, rules, names.
//!
//! Each unit does so after its own end, and whoever does it does it for all that are dead. So what stays behind when this process is killed
//! stays until the next time, and no longer.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{FsType, fstatfs};

use crate::run::network::locks::Exclusive;
use crate::run::network::netavark::{self, STATE, Verb};
use crate::run::network::{DIRECTORY, Files, rules};

/// What statfs(2) calls the file system of namespaces.
const NAMESPACES: FsType = FsType(0x6e73_6673);

/// Removes what `unit` has left, and all others that are dead; nothing is done where it has left nothing.
///
/// # Errors
/// What netavark says.
pub fn after(unit: &str) -> Result<()> {
    if !Files::of(unit).request.exists() {
        return Ok(());
    }
    let exclusive = Exclusive::wait()?;
    let mut result = Ok(());
    for unit in units() {
        if !exclusive.is_alive(&unit)? {
            result = result.and(remove(&unit, &exclusive));
        }
    }
    if units().is_empty() {
        remove_all()?;
    }
    result
}

/// The units that have files.
#[must_use]
pub fn units() -> Vec<String> {
    let entries = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut units: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()))
        .collect();
    units.sort();
    units
}

/// Removes what `unit` has left, whose container is dead.
///
/// # Errors
/// What netavark says, also after everything was made anew.
pub(super) fn remove(unit: &str, exclusive: &Exclusive) -> Result<()> {
    let files = Files::of(unit);
    // Without a namespace netavark was never called.
    if is_namespace(&files.namespace) && netavark::call(Verb::Teardown, &files).is_err() {
        // Something was killed half-way. netavark takes away for certain only what it has made, and makes again what is half there.
        renew(&files).context("making a network namespace to clean up in")?;
        netavark::call(Verb::Setup, &files)
            .and_then(|()| netavark::call(Verb::Teardown, &files))
            .with_context(|| format!("cleaning up the network of '{unit}'"))?;
    }
    forget(&files, exclusive).with_context(|| format!("removing '{}'", files.request.display()))
}

fn forget(files: &Files, _: &Exclusive) -> io::Result<()> {
    while is_namespace(&files.namespace) {
        umount2(&files.namespace, MntFlags::MNT_DETACH)?;
    }
    // What was told goes last: as long as it is there, somebody comes back.
    for file in [&files.namespace, &files.request] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Puts an empty namespace in the place of the container's.
fn renew(files: &Files) -> Result<()> {
    umount2(&files.namespace, MntFlags::MNT_DETACH)?;
    let ours = File::open("/proc/self/ns/net")?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    let mounted = mount(
        Some("/proc/self/ns/net"),
        &files.namespace,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    );
    setns(ours, CloneFlags::CLONE_NEWNET)?;
    Ok(mounted?)
}

fn is_namespace(path: &Path) -> bool {
    let file = File::open(path);
    file.is_ok_and(|file| fstatfs(&file).is_ok_and(|found| found.filesystem_type() == NAMESPACES))
}

/// Makes the directory of the files.
///
/// # Errors
/// What mkdir(2) says.
pub(super) fn make_directory() -> Result<()> {
    for (directory, mode) in [(DIRECTORY, 0o755), (STATE, 0o700)] {
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(directory)
            .with_context(|| format!("making '{directory}'"))?;
    }
    Ok(())
}

/// With the last container on a bridge goes what is for all of them.
fn remove_all() -> Result<()> {
    rules::remove().context("removing netavark's rules")?;
    for directory in [DIRECTORY, STATE] {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing '{directory}'"));
            }
            _ => {}
        }
    }
    Ok(())
}
