//! SELinux on the host: whether its policy knows what a definition names, and labels of volumes (`z`, `Z`). A plan has none of that on another host.
//!
//! Containers here have no categories of their own that would tell one from another unless `SecurityLabelLevel=` gives them some, so `Z` is as `z`
//! without it. What it is good for then is that other container engines on the host may read the same files.
//!
//! A new volume has its label before there is anything in it, and what it is filled with is created with the same ([`crate::run::label`]).

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::plan::Plan;
use crate::plan::label::Label;
use crate::plan::volume::Labelled;
use crate::store::copy::set_attribute;

/// Takes a context, and refuses it where the policy has none like it (security_check_context(3)).
const CONTEXT: &str = "/sys/fs/selinux/context";

/// Makes sure that the policy has the contexts of `plan`, before a file system is mounted with one and fails without saying why.
///
/// # Errors
/// It has not, or SELinux is not in use any more.
pub fn check(plan: &Plan) -> Result<()> {
    let Some(Label::Selinux { process, files }) = &plan.label else {
        return Ok(());
    };
    for (context, key) in [(process, "SecurityLabelType"), (files, "SecurityLabelFileType")] {
        let mut policy = OpenOptions::new()
            .write(true)
            .open(CONTEXT)
            .with_context(|| format!("asking SELinux about the context '{context}'"))?;
        match policy.write_all(&terminated(context)) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                bail!("SELinux's policy has no context '{context}': see '{key}' and 'SecurityLabelLevel'")
            }
            written => written.with_context(|| format!("asking SELinux about the context '{context}'"))?,
        }
    }
    Ok(())
}

/// Labels these directories and files with all that is in them, as far as they are there.
///
/// # Errors
/// One is a part of the system, or what setxattr(2) says.
pub fn label(wanted: &[Labelled]) -> Result<()> {
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
    context.map_or(Ok(()), |context| set(directory, context))
}

fn set(path: &Path, context: &str) -> Result<()> {
    set_attribute(path, "security.selinux", &terminated(context))
        .with_context(|| format!("giving '{}' the SELinux context '{context}'", path.display()))
}

/// The kernel wants the end of the text too.
fn terminated(context: &str) -> Vec<u8> {
    [context.as_bytes(), b"\0"].concat()
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
