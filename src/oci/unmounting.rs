//! Takes the mounts of a container off that has the host's own mount namespace.
//!
//! They lie on its root, over a tmpfs that bears the container's name: only what is above that is the container's, so a root that the engine has
//! mounted itself is never taken away, whatever has been killed before.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, umount2};

/// What the tmpfs of the container `id` is called.
#[must_use]
pub fn name(id: &str) -> String {
    format!("coracle-oci:{id}")
}

/// Takes them off from `root`.
///
/// # Errors
/// What umount2(2) says.
pub fn unmount(root: &Path, id: &str) -> Result<()> {
    let (place, name) = (escaped(root), name(id));
    // Two are the rule; a number that cannot be is no reason to go on for ever.
    for _ in 0..64 {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading '/proc/self/mountinfo'")?;
        if !mounts.lines().any(|line| is_ours(line, &place, &name)) {
            return Ok(());
        }
        umount2(root, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .with_context(|| format!("unmounting '{}'", root.display()))?;
    }
    ensure!(false, "there is no end of mounts on '{}'", root.display());
    Ok(())
}

/// Whether a line of mountinfo (proc_pid_mountinfo(5)) is the tmpfs `name` on `place`.
fn is_ours(line: &str, place: &str, name: &str) -> bool {
    let Some((mount, filesystem)) = line.split_once(" - ") else {
        return false;
    };
    mount.split(' ').nth(4) == Some(place) && filesystem.split(' ').nth(1) == Some(name)
}

/// A path as mountinfo has it.
fn escaped(path: &Path) -> String {
    let mut text = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => text.extend(format!("\\{byte:03o}").bytes()),
            other => text.push(*other),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{escaped, is_ours};
    use std::path::Path;

    #[test]
    fn only_the_containers_own_tmpfs_is_found() {
        let place = escaped(Path::new("/srv/a b"));
        let line = |name: &str| format!("36 25 0:33 / /srv/a\\040b rw,nosuid shared:1 - tmpfs {name} rw");
        assert!(is_ours(&line("coracle-oci:x"), &place, "coracle-oci:x"));
        assert!(!is_ours(&line("coracle-oci:y"), &place, "coracle-oci:x"));
        assert!(!is_ours(&line("coracle-oci:x"), "/srv", "coracle-oci:x"));
    }
}
