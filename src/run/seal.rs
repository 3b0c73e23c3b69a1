//! Keeps this program's own file from those who are in a container while a process of ours is executed there (CVE-2019-5736).
//!
//! Whoever has a program started in a container by us, and a hand in what its path leads to, may have us execute ourselves, and find our file by a link of
//! procfs. Root executes itself through a mount of the file that is read-only and that no path leads to. A user cannot do that, and need not where
//! the file is root's and nobody inside is.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;

use crate::definition::{Definition, UserNamespace};
use crate::sys::mount;

/// What stands behind the name of a sealed program.
const SEALED: &str = " (sealed)";

/// Executes this program anew with `arguments`, its name first, sealed; returns where that is not needed.
///
/// # Errors
/// What the kernel says of the mount; or of a user that the file is not root's.
pub fn seal(arguments: &[impl AsRef<str>]) -> Result<()> {
    if geteuid().is_root() {
        let words: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        let error = mount::execute_read_only(&words);
        return Err(error).context("executing the shim through a read-only mount");
    }
    let file = fs::metadata("/proc/self/exe").context("looking at '/proc/self/exe'")?;
    ensure!(
        file.uid() == 0 && file.mode() & 0o022 == 0,
        "the shim's file can be written to by others than root, and so by who is in the container: let root install it"
    );
    Ok(())
}

/// The same before the start of a container in which programs are started later on, by its own init: health checks. Where nobody inside is root
/// outside, there is nothing that they could do.
///
/// # Errors
/// As [`seal`].
pub fn seal_for_checks(definition: &Definition) -> Result<()> {
    let container = &definition.container;
    let is_harmless = container.user_namespace == UserNamespace::Auto && geteuid().is_root();
    if container.health.is_none() || is_harmless {
        return Ok(());
    }
    let mut arguments: Vec<String> = std::env::args().collect();
    match arguments.first_mut() {
        Some(name) if !name.ends_with(SEALED) => name.push_str(SEALED),
        _ => return Ok(()),
    }
    seal(&arguments)
}
