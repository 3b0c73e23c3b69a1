//! Sets the kernel parameters that the container has of its own.
//!
//! They are written through a procfs that is mounted nowhere, so that nothing which an image or a volume has put at /proc can be written
//! to in its place, and beneath it without links and without crossing into another file system. The container's first process does it
//! before it has a root: in its namespaces, with their rights and no others. Either all apply or the start fails.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use crate::definition::Sysctl;
use crate::sys::mount::Filesystem;
use crate::sys::process::set_domain_name;

/// Sets `sysctls` in order.
///
/// # Errors
/// The kernel does not have one, or does not take its value.
pub fn apply(sysctls: &[Sysctl]) -> Result<()> {
    if sysctls.is_empty() {
        return Ok(());
    }
    let procfs = Filesystem::open("proc")?
        .mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
        .context("mounting a procfs for the kernel parameters")?;
    ensure!(
        fstatfs(&procfs)?.filesystem_type() == PROC_SUPER_MAGIC,
        "the procfs for the kernel parameters is none"
    );
    for Sysctl { path, value } in sysctls {
        set(procfs.as_fd(), path, value).with_context(|| {
            let name = path.replace('/', ".");
            format!("setting the kernel parameter '{name}' to '{value}'")
        })?;
    }
    Ok(())
}

fn set(procfs: BorrowedFd<'_>, path: &str, value: &str) -> Result<()> {
    if path == "kernel/domainname" {
        // The file is the host's root's even where the name is not.
        return Ok(set_domain_name(value)?);
    }
    let file = match open(procfs, &Path::new("sys").join(path)) {
        Err(Errno::ENOENT) => Err(io::Error::other("the kernel has no such parameter in a container")),
        result => result.map_err(io::Error::from),
    }?;
    let mut file = File::from(file);
    // In one piece: each write is a value of its own.
    let text = format!("{value}\n");
    let written = file.write(text.as_bytes())?;
    ensure!(written == text.len(), "only {written} bytes of it were taken");
    Ok(())
}

fn open(procfs: BorrowedFd<'_>, path: &Path) -> nix::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    openat2(procfs, path, OpenHow::new().flags(flags).resolve(resolve))
}
