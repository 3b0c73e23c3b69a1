//! SELinux labels of volumes (`z`, `Z`), where the host runs SELinux; elsewhere there is nothing to do.
//!
//! Containers here have no categories of their own that would tell one from another unless `SecurityLabelLevel=` gives them some, so `Z` is as `z`
//! without it. What it is good for then is that other container engines on the host may read the same files.
//!
//! What is in a new volume has the label of its directory, which has it before there is anything in it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::plan::volume::Labelled;
use crate::store::copy::set_attribute;

/// There where the kernel has SELinux and it is on (selinux(8)).
const ENFORCE: &str = "/sys/fs/selinux/enforce";

/// Labels these directories and files with all that is in them, as far as they are there.
///
/// # Errors
/// One is a part of the system, or what setxattr(2) says.
pub fn label(wanted: &[Labelled]) -> Result<()> {
    if wanted.is_empty() || !Path::new(ENFORCE).exists() {
        return Ok(());
    }
    for Labelled { path, context } in wanted.iter().filter(|wanted| wanted.path.exists()) {
        ensure!(
            may_be_labelled(path),
            "options 'z' and 'Z' would change the labels of '{}', which the system needs as they are",
            path.display()
        );
        set(path, context)?;
    }
    Ok(())
}

/// Labels the directory that is to become a volume.
///
/// # Errors
/// What setxattr(2) says.
pub fn label_new(directory: &Path, context: Option<&str>) -> Result<()> {
    match context {
        Some(context) if Path::new(ENFORCE).exists() => set(directory, context),
        _ => Ok(()),
    }
}

fn set(path: &Path, context: &str) -> Result<()> {
    // The kernel wants the end of the text too.
    set_attribute(path, "security.selinux", &[context.as_bytes(), b"\0"].concat())
        .with_context(|| format!("setting the SELinux label of '{}'", path.display()))
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
