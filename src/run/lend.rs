//! The shim's part of the root: what takes the rights of the host.
//!
//! The layers are stacked, `/dev` gets its nodes, and what is mounted from the host is opened, all as mounts that the container then puts
//! in place itself. Only paths of the host are looked up here, those that the administrator wrote and the store's.
//!
//! Where the container has a user namespace, its layers and volumes are shown as that one sees identities: nothing is ever
//! given another owner on disk.

pub mod user;

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
use crate::run::handover::{Gift, Giver, Message};
use crate::run::secret::Secrets;
use crate::run::staging::{DEVICES, GROUND, LAYERS, SKELETON, Staging, WRITABLE};
use crate::run::volume::{self, State};
use crate::run::{device, image};
use crate::store::volume::Making;
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

/// With whose rights it is done.
#[derive(Debug, Clone, Copy)]
pub enum Lender<'a> {
    /// The host's root, for a container with the host's identities or these.
    Root(Option<&'a Identities>),
    /// A user, who is in the container's namespaces already and has no right but there ([`user`]).
    User,
}

impl<'a> Lender<'a> {
    fn identities(self) -> Option<&'a Identities> {
        match self {
            Lender::Root(identities) => identities,
            Lender::User => None,
        }
    }

    fn manner(self, plan: &Plan) -> Manner<'_> {
        Manner {
            context: plan.file_context(),
            flags: match self {
                Lender::Root(_) => &[],
                // Without root the layers' attributes are `user.overlay.*`.
                Lender::User => &["userxattr"],
            },
        }
    }
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
    lender: Lender<'_>,
    locks: Vec<OwnedFd>,
    giver: &Giver,
) -> Result<Vec<(u16, Making)>> {
    ensure!(plan.mounts.len() <= usize::from(u16::MAX), "there are too many mounts");
    let identities = lender.identities();
    let (user, group) = owner(identities, 0, 0).context("the container's identities have no root")?;
    let shown = |path: &Path| shown(path, Depth::Mount, identities, "set 'UserNS' to 'host'");
    // All that is the host's is taken before its mounts become the container's.
    let layers = shown(layers_directory(&plan.layers)?)?;
    let writable = plan.writable_layer.as_deref();
    let writable = writable.map(shown).transpose()?;
    let nodes = device::find(&plan.devices)?;
    let secrets = Secrets::read(plan)?;
    let mut sources = Vec::new();
    let mut makings = Vec::new();
    let mut images = Vec::new();
    for (number, mount) in (0_u16..).zip(&plan.mounts) {
        let context = || format!("mounting '{}'", mount.target.display());
        match &mount.kind {
            Kind::Volume(volume) => {
                let found = volume::find(volume, mount, identities).with_context(context)?;
                let message = match found.state {
                    State::Kept => Message::Mount(number),
                    State::New => Message::Fresh(number),
                    State::Making(making) => {
                        makings.push((number, making));
                        Message::Fresh(number)
                    }
                };
                sources.push((message, found.mount));
            }
            Kind::Image(image) => images.push((number, image::parts(image, identities).with_context(context)?)),
            _ => {
                let source = source(mount, lender).with_context(context)?;
                sources.extend(source.map(|source| (Message::Mount(number), source)));
            }
        }
    }

    if let Lender::Root(_) = lender {
        if !giver.await_apart() {
            return Ok(Vec::new());
        }
        mount::join(container).context("joining the container's mount namespace")?;
        make_files_as(user, group).context("making files as the container's root")?;
    }
    let staging = Staging::create(plan)?;
    staging.put(LAYERS, layers.as_fd())?;
    if let Some(writable) = &writable {
        staging.put(WRITABLE, writable.as_fd())?;
    }
    let mut parts = Vec::new();
    for (number, parts_of) in &images {
        if let Some(Kind::Image(image)) = plan.mounts.get(usize::from(*number)).map(|mount| &mount.kind) {
            let part = image::mount(*number, image, parts_of, lender.manner(plan), &staging);
            parts.push(part.with_context(|| format!("mounting the image '{}'", image.reference))?);
        }
    }
    for (number, mount) in (0_u16..).zip(&plan.mounts) {
        if let Kind::Secret(secret) = &mount.kind {
            let file = secrets.file(number, secret, &staging);
            sources.push((
                Message::Mount(number),
                file.with_context(|| format!("making the secret '{}'", secret.name))?,
            ));
        }
    }
    let root = overlay(plan, &staging, lender)?;
    if let Lender::User = lender {
        staging.make_place(DEVICES)?;
    }
    staging.close()?;
    let mut gifts: Vec<Gift> = locks.into_iter().map(|lock| (Message::Lock, Some(lock))).collect();
    gifts.push((Message::Root, Some(root)));
    let mut parts = parts.into_iter();
    for (number, mount) in (0_u16..).zip(&plan.mounts) {
        let part = match &mount.kind {
            Kind::New { .. } => continue,
            Kind::Devices => Some(match lender {
                Lender::Root(_) => device::make(outputs, &nodes, plan.file_context())?,
                Lender::User => device::bound::make(outputs, &staging)?,
            }),
            Kind::File(_) => Some(staging.made_file(usize::from(number))?),
            Kind::Image(_) => parts.next(),
            Kind::Credentials(_) => Some(secrets.directory(number).context("making the credentials")?),
            Kind::Bind { .. }
            | Kind::BindIfPresent(_)
            | Kind::ZoneFile(_)
            | Kind::HostSysfs
            | Kind::Secret(_)
            | Kind::Volume(_) => {
                let is_of = |(message, _): &(Message, OwnedFd)| matches!(message, Message::Mount(of) | Message::Fresh(of) if *of == number);
                match sources.iter().position(is_of).map(|index| sources.swap_remove(index)) {
                    Some((message, part)) => {
                        gifts.push((message, Some(part)));
                        continue;
                    }
                    None => None,
                }
            }
        };
        gifts.push((Message::Mount(number), part));
    }
    giver.give_all(&gifts);
    Ok(makings)
}

/// A mount of a path of the host, of which host and container see no more than `propagation` says.
pub(super) fn clone_of(path: &Path, depth: Depth, propagation: Propagation) -> Result<OwnedFd> {
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
pub(super) fn shown(path: &Path, depth: Depth, identities: Option<&Identities>, way_out: &str) -> Result<OwnedFd> {
    let clone = clone_of(path, depth, Propagation::Private)?;
    show(&clone, path, depth, identities, way_out)?;
    Ok(clone)
}

/// Shows `clone`, which is of `path`, with its owners as the container sees them.
pub(super) fn show(
    clone: &OwnedFd,
    path: &Path,
    depth: Depth,
    identities: Option<&Identities>,
    way_out: &str,
) -> Result<()> {
    let Some(identities) = identities else { return Ok(()) };
    map_identities(clone.as_fd(), identities.namespace.as_fd(), depth).with_context(|| {
        let path = path.display();
        format!("mapping the owners of '{path}', which its file system may not be able to: {way_out}")
    })
}

/// What a mount from the host is made of, with its attributes; nothing where the host need not have it and has not.
fn source(mount: &Mount, lender: Lender<'_>) -> Result<Option<OwnedFd>> {
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

/// The directory that holds all layers: one mount shows them all.
pub(super) fn layers_directory(layers: &[PathBuf]) -> Result<&Path> {
    match layers {
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
fn overlay(plan: &Plan, staging: &Staging, lender: Lender<'_>) -> Result<OwnedFd> {
    let identities = lender.identities();
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
    let mount = stack(&Stack {
        layers: &layers,
        writable: Some((&upper, &work)),
        manner: lender.manner(plan),
        place,
    })
    .with_context(|| format!("mounting an overlay over '{}'", plan.layers[0].display()))?;
    Ok(mount)
}

/// How directories are stacked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner<'s> {
    /// The SELinux context of all files in it, instead of their own.
    context: Option<&'s str>,
    /// Flags of overlayfs.
    flags: &'static [&'static str],
}

/// Directories to stack.
#[derive(Debug)]
pub(super) struct Stack<'s> {
    /// Lowest first.
    pub(super) layers: &'s [&'s Path],
    /// The upper layer, and a directory for overlayfs to work in.
    pub(super) writable: Option<(&'s Path, &'s Path)>,
    /// How.
    pub(super) manner: Manner<'s>,
    /// Where it is mounted.
    pub(super) place: &'s Path,
}

/// Stacks them, and mounts that on the place.
pub(super) fn stack(stack: &Stack<'_>) -> Result<OwnedFd> {
    match overlay_by_descriptor(stack) {
        Ok(mount) => {
            attach(mount.as_fd(), open_place(stack.place)?.as_fd()).context("mounting it")?;
            Ok(mount)
        }
        // Before Linux 6.5 the new API does not take layers one by one.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => overlay_by_option_string(stack),
        Err(error) => Err(error.into()),
    }
}

/// The root has the owner and mode of its uppermost directory, which is ours: they are to be the image's.
pub(super) fn look_alike(image: &Path, upper: &Path, identities: Option<&Identities>) -> io::Result<()> {
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

fn overlay_by_descriptor(stack: &Stack<'_>) -> io::Result<OwnedFd> {
    let filesystem = Filesystem::open("overlay")?;
    filesystem.set("source", "coracle")?;
    for layer in stack.layers.iter().rev() {
        filesystem.set("lowerdir+", text(layer)?)?;
    }
    if let Some((upper, work)) = stack.writable {
        filesystem.set("upperdir", text(upper)?)?;
        filesystem.set("workdir", text(work)?)?;
        // The layer vanishes at the stop, so nothing of it ever needs to be synced (volatile, Linux 5.10).
        filesystem.flag("volatile")?;
    }
    for flag in stack.manner.flags {
        filesystem.flag(flag)?;
    }
    if let Some(context) = stack.manner.context {
        filesystem.set("context", context)?;
    }
    // A device node in an image is the host's device. Programs gain no rights by what they are anyway (no_new_privs).
    filesystem.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
}

fn overlay_by_option_string(stack: &Stack<'_>) -> Result<OwnedFd> {
    // In quotes, since it has commas.
    let context = stack.manner.context;
    let mut options = context.map_or_else(String::new, |context| format!("context=\"{context}\","));
    if let Some((upper, work)) = stack.writable {
        options.push_str(&format!("upperdir={},workdir={},volatile,", text(upper)?, text(work)?));
    }
    for flag in stack.manner.flags {
        options.push_str(&format!("{flag},"));
    }
    options.push_str("lowerdir=");
    for (number, layer) in stack.layers.iter().rev().enumerate() {
        options.push_str(if number == 0 { "" } else { ":" });
        options.push_str(text(layer)?);
    }
    if options.len() >= 4096 {
        bail!(
            "the image has {} layers, more than a kernel before Linux 6.5 can stack here",
            stack.layers.len()
        );
    }
    mount_overlay(stack.place, &options)?;
    Ok(open_place(stack.place)?)
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
