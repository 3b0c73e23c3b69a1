//! What is mounted from the host: paths that the administrator wrote, each as the container sees its owners.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID};

use crate::definition::{Owners, Propagation};
use crate::plan::mount::{Kind, Mount};
use crate::run::lend::Lender;
use crate::run::lend::identities::Identities;
use crate::sys::mount::{
    Depth, Filesystem, add_attributes, clone_tree, make_private, make_slave, map_identities, open_place,
};

/// A mount of a path of the host, of which host and container see no more than `propagation` says.
pub fn clone_of(path: &Path, depth: Depth, propagation: Propagation) -> Result<OwnedFd> {
    let place = open_place(path).with_context(|| format!("opening '{}'", path.display()))?;
    let clone = clone_tree(place.as_fd(), depth).and_then(|clone| {
        match propagation {
            Propagation::Private => make_private(clone.as_fd(), depth)?,
            Propagation::Slave => make_slave(clone.as_fd(), depth)?,
            // A clone is one of those that share already.
            Propagation::Shared => {}
        }
        Ok(clone)
    });
    clone.with_context(|| format!("cloning the mount of '{}'", path.display()))
}

/// A mount of a path of the host as the container sees its owners.
pub fn shown(path: &Path, depth: Depth, identities: Option<&Identities>, way_out: &str) -> Result<OwnedFd> {
    let clone = clone_of(path, depth, Propagation::Private)?;
    show(&clone, path, depth, identities, way_out)?;
    Ok(clone)
}

/// Shows `clone`, which is of `path`, with its owners as the container sees them.
pub fn show(clone: &OwnedFd, path: &Path, depth: Depth, identities: Option<&Identities>, way_out: &str) -> Result<()> {
    let Some(identities) = identities else { return Ok(()) };
    map_identities(clone.as_fd(), identities.namespace.as_fd(), depth).with_context(|| {
        let path = path.display();
        format!("mapping the owners of '{path}', which its file system may not be able to: {way_out}")
    })
}

/// What a mount from the host is made of, with its attributes; nothing where the host need not have it and has not.
pub fn source(mount: &Mount, lender: Lender<'_>) -> Result<Option<OwnedFd>> {
    let identities = lender.identities();
    let clone = match &mount.kind {
        Kind::Bind {
            source,
            owners,
            propagation,
        } => {
            let clone = clone_of(source, Depth::Tree, *propagation)?;
            match owners {
                Owners::Inside => show(
                    &clone,
                    source,
                    Depth::Tree,
                    identities,
                    "give the volume the option 'noidmap'",
                )?,
                Owners::Outside => {}
            }
            clone
        }
        Kind::BindIfPresent(source) | Kind::ZoneFile(source) if source.is_file() => {
            clone_of(source, Depth::Mount, Propagation::Private)?
        }
        Kind::HostSysfs => match lender {
            Lender::Root(_) => Filesystem::open("sysfs")
                .and_then(|sysfs| sysfs.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV))
                .context("making a sysfs")?,
            // What is mounted below it may hide something, so no user can have the one without the other.
            Lender::User => clone_of(Path::new("/sys"), Depth::Tree, Propagation::Private)?,
        },
        Kind::New { .. }
        | Kind::Devices
        | Kind::File(_)
        | Kind::BindIfPresent(_)
        | Kind::ZoneFile(_)
        | Kind::Volume(_)
        | Kind::Image(_)
        | Kind::Secret(_)
        | Kind::Credentials(_) => return Ok(None),
    };
    add_attributes(clone.as_fd(), mount.attributes(), Depth::Tree)?;
    Ok(Some(clone))
}
