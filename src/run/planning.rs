//! From a definition and the store to the plan of one start: all that is read before anything is done.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::definition::{Definition, Root};
use crate::image::reference::Reference;
use crate::plan::{self, Plan, Source, Surroundings};
use crate::run::cleanup::writable_layer;
use crate::run::environment;
use crate::store::{Held, Image, Store};

/// The plan of starting `definition` as `unit`, and what keeps its image from being removed.
///
/// # Errors
/// The image is not in the store, or definition and image do not go together.
pub fn plan(
    definition: &Definition,
    unit: &str,
    environment: &[(String, String)],
    store: &Store,
) -> Result<(Plan, Option<Held>)> {
    let (image, layers) = source(definition, store)?;
    let held = image.as_ref().map(|image| store.hold_confined(image)).transpose()?;
    let config = image.as_ref().and_then(|image| image.config.config().as_ref());
    let environment_files = environment::read(&definition.container.environment_files, unit)?;
    let zone = environment::local_zone(&definition.container);
    let surroundings = Surroundings {
        unit,
        writable_layer: &writable_layer(store, unit)?,
        mount_point: &mount_point()?,
        environment,
        environment_files: &environment_files,
        local_zone: zone.as_deref(),
    };
    let source = Source {
        layers: &layers,
        config,
    };
    Ok((plan::plan(definition, source, surroundings)?, held))
}

/// The directories that the root is made of, lowest first, and the image they come from.
///
/// # Errors
/// The image is not in the store.
pub fn source(definition: &Definition, store: &Store) -> Result<(Option<Image>, Vec<PathBuf>)> {
    match &definition.container.root {
        Root::Image(reference) => {
            let image = store.find(&reference.parse::<Reference>()?)?;
            let layers = image.layers.iter().map(|layer| store.layer_path(layer)).collect();
            Ok((Some(image), layers))
        }
        Root::Rootfs(directory) => Ok((None, vec![directory.clone()])),
    }
}

/// Where the root is built: over the shim's own directory, which is always there, which nothing inside needs, and which nobody else
/// sees covered.
fn mount_point() -> Result<PathBuf> {
    // systemd names it in full; the kernel's own answer takes longer.
    let called = std::env::args_os().next().map(PathBuf::from);
    let program = match called.filter(|called| called.is_absolute()) {
        Some(program) => program,
        None => std::env::current_exe().context("reading '/proc/self/exe'")?,
    };
    Ok(program.parent().context("the shim lies in no directory")?.to_owned())
}
