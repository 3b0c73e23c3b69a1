//! Stacks directories with overlayfs: the root of a container, and the files of an image that is mounted somewhere.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID};

use crate::plan::Plan;
use crate::run::lend::identities::{Identities, owner};
use crate::run::staging::{GROUND, LAYERS, SKELETON, Staging, WRITABLE};
use crate::sys::mount::{Filesystem, attach, mount_overlay, open_place};

/// The directory that holds all layers: one mount shows them all.
pub fn layers_directory(layers: &[PathBuf]) -> Result<&Path> {
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

/// Where each of `layers` is to be found when what [`layers_directory`] says of them is mounted at `place`.
#[must_use]
pub fn layers_in(place: &Path, layers: &[PathBuf]) -> Vec<PathBuf> {
    match layers {
        [_] => vec![place.to_owned()],
        layers => layers
            .iter()
            .filter_map(|layer| layer.file_name())
            .map(|name| place.join(name))
            .collect(),
    }
}

/// The layers with the writable one over them, mounted over the staging area.
pub fn overlay(plan: &Plan, staging: &Staging, identities: Option<&Identities>, manner: Manner<'_>) -> Result<OwnedFd> {
    let place = staging.path();
    let writable = match plan.writable_layer {
        Some(_) => place.join(WRITABLE),
        None => place.to_owned(),
    };
    let (upper, work) = (writable.join("upper"), writable.join("work"));
    let images = layers_in(&place.join(LAYERS), &plan.layers);
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
        manner,
        place,
    })
    .with_context(|| format!("mounting an overlay over '{}'", plan.layers[0].display()))?;
    Ok(mount)
}

/// How directories are stacked.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'s> {
    /// The SELinux context of all files in it, instead of their own.
    pub context: Option<&'s str>,
    /// Flags of overlayfs.
    pub flags: &'static [&'static str],
}

/// Directories to stack.
#[derive(Debug)]
pub struct Stack<'s> {
    /// Lowest first.
    pub layers: &'s [&'s Path],
    /// The upper layer, and a directory for overlayfs to work in.
    pub writable: Option<(&'s Path, &'s Path)>,
    /// How.
    pub manner: Manner<'s>,
    /// Where it is mounted.
    pub place: &'s Path,
}

/// Stacks them, and mounts that on the place.
pub fn stack(stack: &Stack<'_>) -> Result<OwnedFd> {
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
pub fn look_alike(image: &Path, upper: &Path, identities: Option<&Identities>) -> io::Result<()> {
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
