//! SELinux labels of volumes (`z`, `Z`), where the host runs SELinux; elsewhere there is nothing to do.
//!
//! Containers here have no label of their own, so there are no categories that would tell one from another: `Z` is as `z`. What it is good for is
//! that other container engines on the host may read the same files.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::store::copy::set_attribute;

/// There where the kernel has SELinux and it is on (selinux(8)).
const ENFORCE: &str = "/sys/fs/selinux/enforce";

/// The label of containers' files.
const LABEL: &[u8] = b"system_u:object_r:container_file_t:s0\0";

/// Labels these directories and files with all that is in them.
///
/// # Errors
/// One is a part of the system, or what setxattr(2) says.
pub fn label(paths: &[PathBuf]) -> Result<()> {
    if paths.is_empty() || !Path::new(ENFORCE).exists() {
        return Ok(());
    }
    for path in paths.iter().filter(|path| path.exists()) {
        ensure!(
            may_be_labelled(path),
            "options 'z' and 'Z' would change the labels of '{}', which the system needs as they are",
            path.display()
        );
        set_attribute(path, "security.selinux", LABEL)
            .with_context(|| format!("setting the SELinux label of '{}'", path.display()))?;
    }
    Ok(())
}

/// Whether the system does not depend on the labels there.
fn may_be_labelled(path: &Path) -> bool {
    let system = [
        "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/srv",
        "/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/log",
    ];
    let path: PathBuf = path.components().collect();
    !system.iter().any(|top| path == Path::new(top)) && !path.starts_with("/proc") && !path.starts_with("/sys")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_system_keeps_its_labels() {
        for path in ["/", "/etc/", "/usr", "/proc/self", "/var/lib"] {
            assert!(!super::may_be_labelled(Path::new(path)), "{path}");
        }
        assert!(super::may_be_labelled(Path::new("/srv/data")));
    }
}
