//! Writes what was decided into the generator's directory.
//!
//! Each file gets its name only when it is whole, so that neither systemd, if the generator is killed, nor a shim that starts during
//! a reload ever reads half a file. Nothing is cleaned up: systemd gives each run an empty directory.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::generate::Output;

/// Writes all files, then all links. What cannot be written does not stop the rest.
///
/// # Errors
/// All that could not be written.
pub fn write(output: &Output, directory: &Path) -> Result<()> {
    if !directory.is_dir() {
        bail!("writing units: '{}' is not a directory", directory.display());
    }
    let mut failures = Vec::new();
    for (index, (name, text)) in output.files.iter().enumerate() {
        let temporary = directory.join(format!(".coracle-{index}"));
        failures.extend(write_file(&temporary, &directory.join(name), text).err());
    }
    let parents: BTreeSet<&Path> = output.links.keys().filter_map(|path| path.parent()).collect();
    for parent in parents {
        let parent = directory.join(parent);
        let made = fs::create_dir_all(&parent).with_context(|| format!("making '{}'", parent.display()));
        failures.extend(made.err());
    }
    for (path, target) in &output.links {
        failures.extend(write_link(target, &directory.join(path)).err());
    }
    // An output directory that cannot be written to fails the same way a thousand times.
    let Some(first) = failures.first() else { return Ok(()) };
    match failures.len() - 1 {
        0 => bail!("{first:#}"),
        more => bail!("{first:#} (and {more} more)"),
    }
}

fn write_file(temporary: &Path, path: &Path, text: &str) -> Result<()> {
    fs::write(temporary, text).with_context(|| format!("writing '{}'", temporary.display()))?;
    fs::rename(temporary, path).with_context(|| format!("renaming '{}' to '{}'", temporary.display(), path.display()))
}

fn write_link(target: &Path, path: &Path) -> Result<()> {
    match symlink(target, path) {
        Err(error)
            if error.kind() == ErrorKind::AlreadyExists && fs::read_link(path).is_ok_and(|old| old == target) =>
        {
            Ok(())
        }
        result => result.with_context(|| format!("linking '{}' to '{}'", path.display(), target.display())),
    }
}
