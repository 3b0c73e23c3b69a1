//! A container's `/dev` where nobody may make nodes: the host's own, each mounted over an empty file.
//!
//! Each is opened once, without following a link, is seen to be the device that it should be, and is mounted by that descriptor.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use libc::{MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID};
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat, makedev, mknodat};

use crate::run::device::{NODES, empty, everybody, fill};
use crate::run::lend::Output;
use crate::run::staging::{DEVICES, Staging};
use crate::sys::mount::{Depth, add_attributes, attach, clone_tree};
use crate::sys::path::file_type;

/// `/dev`, with the nodes and links that every container has, put together in the `staging` area.
///
/// # Errors
/// What the kernel says of a node or a mount, with its path.
pub fn make(outputs: [Output; 2], staging: &Staging) -> Result<OwnedFd> {
    let devices = empty(None)?;
    staging.put(DEVICES, devices.as_fd())?;
    for (name, major, minor) in NODES {
        bind(&devices, name, makedev(major, minor)).with_context(|| format!("mounting the device '/dev/{name}'"))?;
    }
    fill(&devices, outputs)?;
    Ok(clone_tree(devices.as_fd(), Depth::Tree)?)
}

fn bind(devices: &OwnedFd, name: &str, numbers: libc::dev_t) -> Result<()> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let node = open(&Path::new("/dev").join(name), flags, Mode::empty())?;
    let found = fstat(&node)?;
    ensure!(
        file_type(&found) == SFlag::S_IFCHR && found.st_rdev == numbers,
        "the host has something else there"
    );
    let mount = clone_tree(node.as_fd(), Depth::Mount)?;
    add_attributes(mount.as_fd(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, Depth::Mount)?;
    mknodat(devices, name, SFlag::S_IFREG, everybody(), 0)?;
    let place = openat(devices, name, flags, Mode::empty())?;
    Ok(attach(mount.as_fd(), place.as_fd())?)
}
