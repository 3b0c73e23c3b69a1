//! Gives the payload its label, which it bears from its exec on.
//!
//! The kernel is told through files of procfs that only the process itself can write. Whoever controls an image must not have them written
//! elsewhere, or nowhere (CVE-2019-16884, CVE-2025-52881): what is opened is made sure to be procfs, from its root on, and beneath it no other
//! mount is entered. So a label applies or the start fails.

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::fstat;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::write;

use crate::plan::label::{Label, Missing};
use crate::sys::mount::Filesystem;

/// The number of procfs's root directory (`PROC_ROOT_INO`).
const PROC_ROOT: u64 = 1;

/// Has the next program that this process executes run under `label`.
///
/// # Errors
/// The kernel does not know the label, or does not let this process take it.
pub fn take(label: &Label) -> Result<()> {
    match label {
        Label::AppArmor { profile, missing } => {
            let command = format!("exec {profile}");
            match tell(AT_FDCWD, "/proc", "thread-self/attr/apparmor/exec", &command)? {
                Ok(()) => Ok(()),
                Err(Errno::ENOENT) if *missing == Missing::IsIgnored => Ok(()),
                Err(Errno::ENOENT) => bail!(
                    "AppArmor has no profile '{profile}': load it with apparmor_parser(8), or set 'AppArmor' to 'unconfined'"
                ),
                Err(errno) => Err(errno).with_context(|| format!("taking the AppArmor profile '{profile}'")),
            }
        }
        Label::Selinux { process, .. } => match tell(AT_FDCWD, "/proc", "thread-self/attr/exec", process)? {
            Ok(()) => Ok(()),
            Err(Errno::EINVAL) => bail!("SELinux's policy has no context '{process}': see 'SecurityLabelType'"),
            Err(errno) => Err(errno).with_context(|| format!("taking the SELinux context '{process}'")),
        },
    }
}

/// Why a program that may be executed was refused, where it was SELinux: a process may not come into the label by an exec, or not by this file.
#[must_use]
pub fn explain(label: Option<&Label>, errno: Errno) -> Option<String> {
    match (label, errno) {
        (Some(Label::Selinux { process, .. }), Errno::EACCES | Errno::EPERM) => Some(format!(
            "SELinux's policy does not let it be run as '{process}': load the module that comes with Coracle (semodule -i \
             /usr/share/selinux/packages/coracle.cil), and see ausearch(8) for what was denied"
        )),
        _ => None,
    }
}

/// Has this process create files with the SELinux `context`, if there is one, and with an empty one as the policy says again. The root `root` has its
/// procfs already, which this process no longer has elsewhere.
///
/// # Errors
/// The kernel does not let it.
pub fn new_files(root: BorrowedFd<'_>, context: Option<&str>) -> Result<()> {
    let Some(context) = context else { return Ok(()) };
    tell(root, "proc", "thread-self/attr/fscreate", context)?
        .with_context(|| format!("creating files with the SELinux context '{context}'"))
}

/// Gives all files of a new file system the SELinux `context`, if there is one.
///
/// # Errors
/// What fsconfig(2) says.
pub fn files(filesystem: &Filesystem, context: Option<&str>) -> Result<()> {
    let Some(context) = context else { return Ok(()) };
    let set = filesystem.set("context", context);
    set.with_context(|| format!("giving a file system the SELinux context '{context}'"))
}

/// Writes to a file of procfs below the container's /proc, which is `procfs` seen from `root`. What the kernel says of it is inside.
fn tell(root: BorrowedFd<'_>, procfs: &str, path: &str, text: &str) -> Result<nix::Result<()>> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let procfs: OwnedFd = openat2(root, procfs, how).context("opening '/proc'")?;
    ensure!(
        fstatfs(&procfs)?.filesystem_type() == PROC_SUPER_MAGIC && fstat(&procfs)?.st_ino == PROC_ROOT,
        "what is mounted on '/proc' is no procfs, so no label can be set"
    );
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    let how = OpenHow::new()
        .flags(OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
        .resolve(resolve);
    let file = openat2(&procfs, path, how).with_context(|| format!("opening '/proc/{path}'"))?;
    Ok(match write(&file, text.as_bytes()) {
        Ok(written) if written == text.len() => Ok(()),
        Ok(_) => Err(Errno::EINVAL),
        Err(errno) => Err(errno),
    })
}
