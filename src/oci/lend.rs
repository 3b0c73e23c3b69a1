//! What a container is made of that comes from the host: its root, the sources of its bind mounts, its devices.
//!
//! All of it is opened before there is a container. What is there in any case becomes detached mounts that nobody else sees, and the
//! container's process has them from its birth. A bind mount's source is made into one when its turn comes in the file's order: the kernel lists mounts in
//! the order in which they were made (Linux 6.8), and a container's are to be seen in the order in which they are written.
//! Only paths of the host are looked up here, which the caller wrote. Whatever lies in the root is looked up by the container.

use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::Pid;

use crate::oci::plan::Plan;
use crate::oci::plan::device::Node;
use crate::oci::plan::mount::{Kind, Mount, Owners, Propagation};
use crate::oci::plan::namespace;
use crate::sys::mount::{Depth, change_attributes, clone_tree, map_identities, open_place, propagate};
use crate::sys::path::file_type;
use crate::sys::process::{Parent, clone_process, send_signal, wait_for};
use crate::sys::user::{self, Extent};

/// What the host lends.
#[derive(Debug)]
pub struct Lent {
    /// A mount of the root and of what is mounted below it.
    pub root: OwnedFd,
    /// The host's nodes, for a container that can make none, in the order of the plan.
    pub nodes: Vec<Option<OwnedFd>>,
    /// The host's sysfs, likewise.
    pub sysfs: Option<OwnedFd>,
}

/// Opens everything.
///
/// # Errors
/// Something is not there, with its path.
pub fn lend(plan: &Plan) -> Result<Lent> {
    let root = clone(&plan.root, Depth::Tree).with_context(|| format!("opening the root '{}'", plan.root.display()))?;
    let is_directory = file_type(&fstat(root.as_fd())?) == SFlag::S_IFDIR;
    ensure!(is_directory, "the root '{}' is no directory", plan.root.display());
    // What is mounted on the host later comes in, and nothing goes out, unless the file says otherwise.
    let (propagation, depth) = plan.propagation.unwrap_or((Propagation::Slave, Depth::Tree));
    // One that is shared belongs to a new group, and not to the host's.
    let flag = if propagation == Propagation::Slave {
        libc::MS_SLAVE
    } else {
        libc::MS_PRIVATE
    };
    propagate(root.as_fd(), flag, depth)?;
    let has_users = plan.namespaces.is_own(namespace::Kind::User);
    let nodes = if has_users {
        plan.nodes.iter().map(node).collect::<Result<_>>()?
    } else {
        Vec::new()
    };
    let sysfs = has_users.then(|| clone(Path::new("/sys"), Depth::Tree)).transpose()?;
    if let Some(sysfs) = &sysfs {
        propagate(sysfs.as_fd(), libc::MS_SLAVE, Depth::Tree)?;
    }
    Ok(Lent { root, nodes, sysfs })
}

/// The sources of the plan's bind mounts, by the mounts' numbers: where each of them is, and not yet a mount of its own.
#[derive(Debug)]
pub struct Sources(Vec<Option<OwnedFd>>);

impl Sources {
    /// Opens them.
    ///
    /// # Errors
    /// One is not there, with its path.
    pub fn open(plan: &Plan) -> Result<Self> {
        let open = |mount: &Mount| -> Result<Option<OwnedFd>> {
            let Kind::Bind { source, .. } = &mount.kind else {
                return Ok(None);
            };
            let opened = open_place(source).with_context(|| format!("opening '{}'", source.display()));
            let opened = opened.with_context(|| format!("mounting '{}'", mount.target.display()))?;
            Ok(Some(opened))
        };
        plan.mounts.iter().map(open).collect::<Result<_>>().map(Self)
    }

    /// Makes what the mounts of these numbers are made of, for the process `container`.
    ///
    /// # Errors
    /// One of them has no source, or the kernel does not take its options.
    pub fn lend(&self, plan: &Plan, numbers: Range<usize>, container: Pid) -> Result<Vec<OwnedFd>> {
        let lend = |number: usize| -> Result<OwnedFd> {
            let source = self.0.get(number).and_then(Option::as_ref);
            let (mount, source) = plan
                .mounts
                .get(number)
                .zip(source)
                .context("no such mount has a source")?;
            let making = || -> Result<OwnedFd> {
                let part = source_of(mount, source.as_fd())?;
                if let Owners::Container(depth) = &mount.owners {
                    let namespace = File::open(format!("/proc/{container}/ns/user"))?;
                    map_identities(part.as_fd(), namespace.as_fd(), *depth).context("mapping its owners")?;
                }
                Ok(part)
            };
            making().with_context(|| format!("mounting '{}'", mount.target.display()))
        };
        numbers.map(lend).collect()
    }
}

fn clone(path: &Path, depth: Depth) -> Result<OwnedFd> {
    Ok(clone_tree(open_place(path)?.as_fd(), depth)?)
}

/// What a bind mount is made of, with its flags.
fn source_of(mount: &Mount, place: BorrowedFd<'_>) -> Result<OwnedFd> {
    let Kind::Bind { source, depth } = &mount.kind else {
        bail!("it is no bind mount");
    };
    let clone = clone_tree(place, *depth).with_context(|| format!("cloning '{}'", source.display()))?;
    // A clone belongs to the group that the original shares with others: only what is meant to goes back there.
    if mount
        .propagation
        .iter()
        .all(|(propagation, _)| *propagation != Propagation::Shared)
    {
        propagate(clone.as_fd(), libc::MS_SLAVE, Depth::Tree)?;
    }
    if !mount.recursive.is_nothing() {
        change_attributes(clone.as_fd(), mount.recursive, Depth::Tree)?;
    }
    if !mount.change.is_nothing() {
        change_attributes(clone.as_fd(), mount.change, Depth::Mount)?;
    }
    for (propagation, depth) in &mount.propagation {
        propagate(clone.as_fd(), propagation.flag(), *depth)?;
    }
    if let Owners::Mapped { users, groups, depth } = &mount.owners {
        let namespace = throwaway_namespace(users, groups).context("making a user namespace for its owners")?;
        map_identities(clone.as_fd(), namespace.as_fd(), *depth).with_context(|| {
            format!(
                "mapping the owners of '{}', which its file system may not be able to",
                source.display()
            )
        })?;
    }
    Ok(clone)
}

/// A user namespace with these maps, in which nobody is.
fn throwaway_namespace(users: &[Extent], groups: &[Extent]) -> Result<OwnedFd> {
    match clone_process(libc::CLONE_NEWUSER, Parent::Caller, None)? {
        None => loop {
            nix::unistd::pause();
        },
        Some(pid) => {
            let made = || -> Result<OwnedFd> {
                user::map_identities(pid, users, groups)?;
                Ok(File::open(format!("/proc/{pid}/ns/user"))?.into())
            };
            let made = made();
            send_signal(pid, libc::SIGKILL);
            wait_for(pid)?;
            made
        }
    }
}

/// The host's node of the same numbers, looked at so that it is no other; nothing for a FIFO, which anybody can make.
fn node(node: &Node) -> Result<Option<OwnedFd>> {
    if node.kind == SFlag::S_IFIFO {
        return Ok(None);
    }
    let clone = clone(&node.path, Depth::Mount);
    let clone = clone.with_context(|| format!("opening the host's '{}'", node.path.display()))?;
    let found = fstat(clone.as_fd())?;
    if file_type(&found) != node.kind || found.st_rdev != node.numbers {
        bail!("the host's '{}' is another device", node.path.display());
    }
    propagate(clone.as_fd(), libc::MS_PRIVATE, Depth::Mount)?;
    Ok(Some(clone))
}
