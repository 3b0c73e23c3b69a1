//! The shim's part of images that are mounted somewhere in the container: their layers, stacked.
//!
//! One that cannot be written has no upper layer, and an empty directory below its own, since an overlay without an upper layer is of two at least.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::plan::volume::Image;
use crate::run::lend::identities::Identities;
use crate::run::lend::overlay::{Manner, Stack, layers_directory, layers_in, look_alike, stack};
use crate::run::lend::source::shown;
use crate::run::staging::{IMAGE, IMAGE_WRITABLE, Staging};
use crate::sys::mount::Depth;

/// What an image is made of, as the container sees its owners.
#[derive(Debug)]
pub struct Parts {
    layers: OwnedFd,
    writable: Option<OwnedFd>,
}

/// Opens the layers, and makes the place for what is written.
///
/// # Errors
/// What the kernel says of a mount or a directory.
pub fn parts(image: &Image, identities: Option<&Identities>) -> Result<Parts> {
    let way_out = "set 'UserNS' to 'host'";
    let layers = shown(layers_directory(&image.layers)?, Depth::Mount, identities, way_out)?;
    let writable = match &image.writable {
        None => None,
        Some(path) => {
            for (directory, mode) in [
                (path.clone(), 0o700),
                (path.join("upper"), 0o755),
                (path.join("work"), 0o700),
            ] {
                std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), mode)
                    .create(&directory)
                    .with_context(|| format!("making '{}'", directory.display()))?;
            }
            if let Some(top) = image.layers.last() {
                look_alike(top, &path.join("upper"), None)
                    .with_context(|| format!("looking at '{}'", top.display()))?;
            }
            Some(shown(path, Depth::Mount, identities, way_out)?)
        }
    };
    Ok(Parts { layers, writable })
}

/// Stacks them, as a mount that is to be put on the plan's mount `number`.
///
/// # Errors
/// What the kernel says of the mount.
pub(super) fn mount(
    number: u16,
    image: &Image,
    parts: &Parts,
    manner: Manner<'_>,
    staging: &Staging,
) -> Result<OwnedFd> {
    let name = format!("{IMAGE}{number}");
    staging.put(&name, parts.layers.as_fd())?;
    let layers = layers_in(&staging.path().join(&name), &image.layers);
    let empty = staging.path().join(format!("{IMAGE}-ground{number}"));
    let layers: Vec<_> = [empty.as_path()]
        .into_iter()
        .chain(layers.iter().map(PathBuf::as_path))
        .collect();
    let writable = format!("{IMAGE_WRITABLE}{number}");
    if let Some(mount) = &parts.writable {
        staging.put(&writable, mount.as_fd())?;
    }
    let place = staging.path().join(&writable);
    let (upper, work) = (place.join("upper"), place.join("work"));
    stack(&Stack {
        layers: &layers,
        writable: parts.writable.is_some().then_some((&upper, &work)),
        manner,
        place: &staging.path().join(format!("{IMAGE}-root{number}")),
    })
}
