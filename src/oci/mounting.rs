//! Puts a bundle's mounts in place, in order.
//!
//! Every target lies in a tree that the image controls: it is opened below the root without leaving it, made where it is missing, and
//! mounted on by descriptor. `/proc`, `/sys` and `/dev` must be directories and no links, with nothing that leads elsewhere before them.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use libc::MOUNT_ATTR_RDONLY;
use nix::fcntl::OFlag;

use crate::oci::channel::{self, End};
use crate::oci::copy_up::copy_up;
use crate::oci::plan::Plan;
use crate::oci::plan::mount::{Content, Kind, Mount};
use crate::oci::plan::namespace;
use crate::run::rootfs::{is_directory, new_filesystem};
use crate::sys::mount::{Change, Depth, attach, change_attributes, clone_tree, open_place, propagate};
use crate::sys::path::{Links, make_directory_in_root, make_file_in_root, open_in_root};

/// Mounts everything of `plan` in `root`. What the host's part in it is, `maker` lends when its turn comes.
///
/// # Errors
/// What the kernel says of a mount, with the path it was for.
pub fn mount_all(plan: &Plan, root: BorrowedFd<'_>, maker: &End, sysfs: Option<&OwnedFd>) -> Result<()> {
    let is_bind = |mount: &&Mount| matches!(mount.kind, Kind::Bind { .. });
    // As many as stand one after the other are asked for at once.
    let mut lent = Vec::new().into_iter();
    for (number, mount) in plan.mounts.iter().enumerate() {
        let mut source = None;
        if is_bind(&mount) {
            if lent.len() == 0 {
                let following = plan.mounts.iter().skip(number).take(channel::AT_ONCE);
                let count = following.take_while(is_bind).count();
                lent = maker.ask_for(number..number + count)?.into_iter();
            }
            source = lent.next();
        }
        one(plan, mount, root, source, sysfs).with_context(|| format!("mounting '{}'", mount.target.display()))?;
    }
    Ok(())
}

fn one(
    plan: &Plan,
    mount: &Mount,
    root: BorrowedFd<'_>,
    source: Option<OwnedFd>,
    sysfs: Option<&OwnedFd>,
) -> Result<()> {
    let part = match &mount.kind {
        Kind::Bind { .. } => source.context("nobody has opened its source")?,
        Kind::ControlGroup => control_group(plan, mount)?,
        Kind::New {
            filesystem, parameters, ..
        } => match new_filesystem(filesystem, parameters, mount.change.set) {
            Err(error) if filesystem == "sysfs" && is_forbidden(&error) && sysfs.is_some() => {
                // Without a network namespace of its own a user namespace has no sysfs either: the host's is all there can be.
                let sysfs = clone_tree(sysfs.context("there is no sysfs")?.as_fd(), Depth::Tree);
                let sysfs = sysfs.context("cloning the host's sysfs")?;
                change_attributes(sysfs.as_fd(), read_only(mount.change), Depth::Tree)?;
                sysfs
            }
            part => part?,
        },
    };
    let is_top = ["/proc", "/sys", "/dev"]
        .iter()
        .any(|top| mount.target == Path::new(top));
    let target = if !is_directory(part.as_fd())? {
        make_file_in_root(root, &mount.target)?
    } else if is_top {
        make_directory_in_root(root, &mount.target, Links::Refuse)
            .context("it must be a directory, and no link or anything else")?
    } else {
        make_directory_in_root(root, &mount.target, Links::Inside)?
    };
    if let Kind::New {
        content: Content::Copied,
        ..
    } = mount.kind
    {
        let old = open_in_root(root, &mount.target, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Links::Inside)?;
        attach(part.as_fd(), target.as_fd())?;
        copy_up(old.as_fd(), part.as_fd()).context("copying what was there")?;
        // Only now: into a mount that can be written.
        change_attributes(part.as_fd(), mount.change, Depth::Mount)?;
    } else {
        attach(part.as_fd(), target.as_fd())?;
    }
    if !matches!(mount.kind, Kind::Bind { .. }) {
        for (propagation, depth) in &mount.propagation {
            propagate(part.as_fd(), propagation.flag(), *depth)?;
        }
    }
    Ok(())
}

fn is_forbidden(error: &anyhow::Error) -> bool {
    let error = error.root_cause().downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn read_only(change: Change) -> Change {
    Change {
        set: change.set | MOUNT_ATTR_RDONLY,
        clear: 0,
    }
}

/// The container's control group: the tree as a namespace of its own shows it, or the part of the host's tree that is the container's.
fn control_group(plan: &Plan, mount: &Mount) -> Result<OwnedFd> {
    let own = plan.namespaces.is_own(namespace::Kind::Cgroup);
    if own {
        match new_filesystem("cgroup2", &[], mount.change.set) {
            Err(error) if is_forbidden(&error) => {}
            part => return part,
        }
    }
    let text = fs::read_to_string("/proc/self/cgroup").context("reading '/proc/self/cgroup'")?;
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    let top = crate::oci::cgroup::mount_point().context("the host has no control groups of version 2")?;
    // In a namespace of its own that part is called '/': what the host's mount shows at its top is not.
    let place = open_place(&if own { top.to_owned() } else { top.join(path) })?;
    let part = clone_tree(place.as_fd(), Depth::Mount)?;
    change_attributes(part.as_fd(), read_only(mount.change), Depth::Mount)?;
    Ok(part)
}
