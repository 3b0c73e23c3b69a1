//! The shim's part of the root: what takes the rights of the host.
//!
//! The layers are stacked, `/dev` gets its nodes, and what is mounted from the host is opened, all as mounts that the container then puts
//! in place itself. Only paths of the host are looked up here, those that the administrator wrote and the store's.
//!
//! Where the container has a user namespace, its layers and volumes are shown as that one sees identities: nothing is ever
//! given another owner on disk.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID};
use nix::unistd::{Gid, Pid, Uid};

use crate::definition::{Owners, Propagation};
use crate::plan::Plan;
use crate::plan::mount::{Kind, Mount};
use crate::run::device;
use crate::run::handover::{Gift, Giver, Message};
use crate::run::staging::{GROUND, LAYERS, SKELETON, Staging, WRITABLE};
use crate::sys::mount::{
    self, Depth, Filesystem, add_attributes, attach, clone_tree, make_private, make_slave, map_identities,
    mount_overlay, open_place,
};
use crate::sys::user::{Extent, make_files_as};

/// Where the payload's standard output or error leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A file, a pipe or a terminal, which can be opened again by name.
    Reopenable,
    /// The journal's socket, which cannot; nor can what belongs to a user of the host whom the container does not have. `/dev/stdout` must be
    /// something else.
    Unopenable,
}

/// The container's identities, where they are not the host's.
#[derive(Debug)]
pub struct Identities {
    /// Its user namespace.
    pub namespace: OwnedFd,
    /// Its users.
    pub users: Vec<Extent>,
    /// Its groups.
    pub groups: Vec<Extent>,
}

/// The host's identity of one inside.
fn outside(extents: &[Extent], id: u32) -> Option<u32> {
    let within = |extent: &&Extent| id >= extent.inside && id - extent.inside < extent.count;
    let extent = extents.iter().find(within)?;
    Some(extent.outside + (id - extent.inside))
}

/// The host's identities of a user and a group inside.
fn owner(identities: Option<&Identities>, user: u32, group: u32) -> Option<(Uid, Gid)> {
    let (user, group) = match identities {
        None => (user, group),
        Some(identities) => (outside(&identities.users, user)?, outside(&identities.groups, group)?),
    };
    Some((Uid::from_raw(user), Gid::from_raw(group)))
}

/// Makes everything for `container`, and gives it over together with `locks`. Afterwards this process is in the container's mount namespace.
/// If the container has failed meanwhile, and so has no use for it, nothing is given.
///
/// # Errors
/// What the kernel says of a mount, with the path it was for.
pub fn lend(
    plan: &Plan,
    outputs: [Output; 2],
    container: Pid,
    identities: Option<&Identities>,
    locks: Vec<OwnedFd>,
    giver: &Giver,
) -> Result<()> {
    ensure!(plan.mounts.len() <= usize::from(u16::MAX), "there are too many mounts");
    let (user, group) = owner(identities, 0, 0).context("the container's identities have no root")?;
    let shown = |path: &Path| shown(path, Depth::Mount, identities, "set 'UserNS' to 'host'");
    // All that is the host's is taken before its mounts become the container's.
    let layers = shown(layers_directory(plan)?)?;
    let writable = plan.writable_layer.as_deref();
    let writable = writable.map(shown).transpose()?;
    let nodes = device::find(&plan.devices)?;
    let mut sources = Vec::new();
    for (number, mount) in (0_u16..).zip(&plan.mounts) {
        if let Some(source) =
            source(mount, identities).with_context(|| format!("mounting '{}'", mount.target.display()))?
        {
            sources.push((number, source));
        }
    }

    if !giver.await_apart() {
        return Ok(());
    }
    mount::join(container).context("joining the container's mount namespace")?;
    make_files_as(user, group).context("making files as the container's root")?;
    let staging = Staging::create(plan)?;
    staging.put(LAYERS, layers.as_fd())?;
    if let Some(writable) = &writable {
        staging.put(WRITABLE, writable.as_fd())?;
    }
    let root = overlay(plan, &staging, identities)?;
    staging.close()?;
    let mut gifts: Vec<Gift> = locks.into_iter().map(|lock| (Message::Lock, Some(lock))).collect();
    gifts.push((Message::Root, Some(root)));
    let mut sources = sources.into_iter().peekable();
    for (number, mount) in (0_u16..).zip(&plan.mounts) {
        let part = match &mount.kind {
            Kind::New { .. } => continue,
            Kind::Devices => Some(device::make(outputs, &nodes)?),
            Kind::File(_) => Some(staging.made_file(usize::from(number))?),
            Kind::Bind { .. } | Kind::BindIfPresent(_) | Kind::ZoneFile(_) | Kind::HostSysfs => {
                sources.next_if(|(of, _)| *of == number).map(|(_, part)| part)
            }
        };
        gifts.push((Message::Mount(number), part));
    }
    giver.give_all(&gifts);
    Ok(())
}

/// A mount of a path of the host, of which host and container see no more than `propagation` says.
fn clone_of(path: &Path, depth: Depth, propagation: Propagation) -> Result<OwnedFd> {
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
fn shown(path: &Path, depth: Depth, identities: Option<&Identities>, way_out: &str) -> Result<OwnedFd> {
    let clone = clone_of(path, depth, Propagation::Private)?;
    show(&clone, path, depth, identities, way_out)?;
    Ok(clone)
}

/// Shows `clone`, which is of `path`, with its owners as the container sees them.
fn show(clone: &OwnedFd, path: &Path, depth: Depth, identities: Option<&Identities>, way_out: &str) -> Result<()> {
    let Some(identities) = identities else { return Ok(()) };
    map_identities(clone.as_fd(), identities.namespace.as_fd(), depth).with_context(|| {
        let path = path.display();
        format!("mapping the owners of '{path}', which its file system may not be able to: {way_out}")
    })
}

/// What a mount from the host is made of, with its attributes; nothing where the host need not have it and has not.
fn source(mount: &Mount, identities: Option<&Identities>) -> Result<Option<OwnedFd>> {
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
        Kind::HostSysfs => Filesystem::open("sysfs")
            .and_then(|sysfs| sysfs.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV))
            .context("making a sysfs")?,
        Kind::New { .. } | Kind::Devices | Kind::File(_) | Kind::BindIfPresent(_) | Kind::ZoneFile(_) => {
            return Ok(None);
        }
    };
    add_attributes(clone.as_fd(), mount.attributes(), Depth::Tree)?;
    Ok(Some(clone))
}

/// The directory that holds all layers: one mount shows them all.
fn layers_directory(plan: &Plan) -> Result<&Path> {
    match plan.layers.as_slice() {
        [] => bail!("there are no layers"),
        [only] => Ok(only),
        [first, others @ ..] => {
            let parent = first.parent().context("a layer lies nowhere")?;
            let is_beside = |layer: &PathBuf| layer.parent() == Some(parent);
            ensure!(others.iter().all(is_beside), "the layers do not lie beside each other");
            Ok(parent)
        }
    }
}

/// The layers with the writable one over them, mounted over the staging area.
fn overlay(plan: &Plan, staging: &Staging, identities: Option<&Identities>) -> Result<OwnedFd> {
    let place = staging.path();
    let writable = match plan.writable_layer {
        Some(_) => place.join(WRITABLE),
        None => place.to_owned(),
    };
    let (upper, work) = (writable.join("upper"), writable.join("work"));
    let shown = place.join(LAYERS);
    let images: Vec<PathBuf> = match plan.layers.as_slice() {
        [_] => vec![shown],
        layers => layers
            .iter()
            .filter_map(|layer| layer.file_name())
            .map(|name| shown.join(name))
            .collect(),
    };
    if let Some(top) = plan.layers.last() {
        let alike = match &plan.writable_layer {
            // On disk the owners are those inside.
            Some(writable) => look_alike(top, &writable.join("upper"), None),
            None => look_alike(top, &upper, identities),
        };
        alike.with_context(|| format!("looking at '{}'", top.display()))?;
    }
    let (ground, skeleton) = (place.join(GROUND), place.join(SKELETON));
    let layers: Vec<&Path> = [ground.as_path()]
        .into_iter()
        .chain(images.iter().map(PathBuf::as_path))
        .chain([skeleton.as_path()])
        .collect();
    let mounted = match overlay_by_descriptor(&layers, &upper, &work) {
        Ok(mount) => {
            attach(mount.as_fd(), open_place(place)?.as_fd()).context("mounting the root")?;
            Ok(mount)
        }
        // Before Linux 6.5 the new API does not take layers one by one.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            overlay_by_option_string(&layers, place, &upper, &work)
        }
        Err(error) => Err(error.into()),
    };
    mounted.with_context(|| format!("mounting an overlay over '{}'", plan.layers[0].display()))
}

/// The root has the owner and mode of its uppermost directory, which is ours: they are to be the image's.
fn look_alike(image: &Path, upper: &Path, identities: Option<&Identities>) -> io::Result<()> {
    let metadata = fs::metadata(image)?;
    let is_plain = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777) == (0, 0, 0o755);
    if is_plain && identities.is_none() {
        return Ok(());
    }
    if let Some((user, group)) = owner(identities, metadata.uid(), metadata.gid()) {
        std::os::unix::fs::chown(upper, Some(user.as_raw()), Some(group.as_raw()))?;
    }
    fs::set_permissions(upper, metadata.permissions())
}

fn overlay_by_descriptor(layers: &[&Path], upper: &Path, work: &Path) -> io::Result<OwnedFd> {
    let filesystem = Filesystem::open("overlay")?;
    filesystem.set("source", "coracle")?;
    for layer in layers.iter().rev() {
        filesystem.set("lowerdir+", text(layer)?)?;
    }
    filesystem.set("upperdir", text(upper)?)?;
    filesystem.set("workdir", text(work)?)?;
    // The layer vanishes at the stop, so nothing of it ever needs to be synced (volatile, Linux 5.10).
    filesystem.flag("volatile")?;
    // A device node in an image is the host's device. Programs gain no rights by what they are anyway (no_new_privs).
    filesystem.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
}

fn overlay_by_option_string(layers: &[&Path], place: &Path, upper: &Path, work: &Path) -> Result<OwnedFd> {
    let mut options = format!("upperdir={},workdir={},volatile,lowerdir=", text(upper)?, text(work)?);
    for (number, layer) in layers.iter().rev().enumerate() {
        options.push_str(if number == 0 { "" } else { ":" });
        options.push_str(text(layer)?);
    }
    if options.len() >= 4096 {
        bail!(
            "the image has {} layers, more than a kernel before Linux 6.5 can stack here",
            layers.len() - 2
        );
    }
    mount_overlay(place, &options)?;
    Ok(open_place(place)?)
}

/// A path as an overlay option, in which commas, colons and backslashes would mean something.
fn text(path: &Path) -> io::Result<&str> {
    let text = path.to_str().filter(|text| !text.contains([',', ':', '\\']));
    text.ok_or_else(|| {
        io::Error::other(format!(
            "the path '{}' has characters that overlayfs does not take",
            path.display()
        ))
    })
}
