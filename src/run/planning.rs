//! From a definition and the store to the plan of one start: all that is read before anything is done.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::definition::{Definition, Root, SeccompProfile, volume};
use crate::image::reference::Reference;
use crate::plan::seccomp::profile::{self, Kernel};
use crate::plan::specifier::Specifiers;
use crate::plan::{self, Plan, Source, Surroundings, seccomp_path};
use crate::run::cleanup::writable_layer;
use crate::run::{environment, keep, secret};
use crate::store::{Image, Store};

/// The plan of starting `definition` as `unit`, and the images that it was made for. `environment` is what systemd gives to the service,
/// the root is built over `mount_point`, and `addresses` are those on each of its bridges.
///
/// # Errors
/// The image is not in the store, or definition and image do not go together.
pub fn plan(
    definition: &Definition,
    unit: &str,
    environment: &[(String, String)],
    mount_point: &Path,
    store: &Store,
    addresses: &[Vec<IpAddr>],
) -> Result<(Plan, Vec<Image>)> {
    let kept = keep::settle(definition);
    let definition = kept.as_ref().unwrap_or(definition);
    let specifiers = Specifiers::of_unit(unit).in_environment(environment);
    let (image, layers) = source(definition, store, &specifiers)?;
    let config = image.as_ref().and_then(|image| image.config.config().as_ref());
    let environment_files = environment::read(&definition.container.environment_files, &specifiers)?;
    let zone = environment::local_zone(&definition.container);
    let profile = seccomp_profile(definition, &specifiers)?;
    let mounted = images(definition, store)?;
    let shown = keep::view(store, &definition.container.user_namespace);
    let with_layers = |(reference, image): &(String, Image)| (reference.clone(), layers_of(image, &shown));
    let volumes = store.volumes();
    let surroundings = Surroundings {
        unit,
        volumes: volumes.root(),
        images: &mounted.iter().map(with_layers).collect::<Vec<_>>(),
        credentials: &secret::names(environment)?,
        seccomp_profile: profile.as_deref(),
        kernel: kernel()?,
        writable_layer: &writable_layer(store, unit)?,
        mount_point,
        environment,
        environment_files: &environment_files,
        addresses,
        local_zone: zone.as_deref(),
    };
    let source = Source {
        layers: &layers,
        config,
    };
    let plan = plan::plan(definition, source, surroundings)?;
    let images = image.into_iter().chain(mounted.into_iter().map(|(_, image)| image));
    Ok((plan, images.collect()))
}

/// The images that are mounted somewhere in the container, by what the definition calls them.
///
/// # Errors
/// One is not in the store.
fn images(definition: &Definition, store: &Store) -> Result<Vec<(String, Image)>> {
    let mut images: Vec<(String, Image)> = Vec::new();
    for volume in &definition.container.volumes {
        if let volume::Source::Image { reference, .. } = &volume.source
            && images.iter().all(|(known, _)| known != reference)
        {
            images.push((reference.clone(), store.find(&reference.parse::<Reference>()?)?));
        }
    }
    Ok(images)
}

fn layers_of(image: &Image, store: &Store) -> Vec<PathBuf> {
    image.layers.iter().map(|layer| store.layer_path(layer)).collect()
}

/// The directories that the root is made of, lowest first, and the image they come from.
///
/// # Errors
/// The image is not in the store, or an unknown specifier.
fn source(
    definition: &Definition,
    store: &Store,
    specifiers: &Specifiers<'_>,
) -> Result<(Option<Image>, Vec<PathBuf>)> {
    match &definition.container.root {
        Root::Image(reference) => {
            let image = store.find(&reference.parse::<Reference>()?)?;
            let layers = layers_of(&image, &keep::view(store, &definition.container.user_namespace));
            Ok((Some(image), layers))
        }
        Root::Rootfs(directory) => match directory.to_str().filter(|text| text.contains('%')) {
            Some(text) => Ok((
                None,
                vec![specifiers.expand(text).context("expanding 'Rootfs'")?.into()],
            )),
            None => Ok((None, vec![directory.clone()])),
        },
    }
}

/// The text of the profile that `SeccompProfile=` names.
///
/// # Errors
/// It cannot be read, or is no text of a sensible length.
fn seccomp_profile(definition: &Definition, specifiers: &Specifiers<'_>) -> Result<Option<String>> {
    let SeccompProfile::File(path) = &definition.container.seccomp_profile else {
        return Ok(None);
    };
    let path = seccomp_path(path, specifiers)?;
    let read = || -> Result<String> {
        // Opened without waiting: a FIFO would never come to an end.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&path)?;
        ensure!(file.metadata()?.is_file(), "it is not a regular file");
        let mut text = Vec::new();
        file.take(profile::LONGEST + 1).read_to_end(&mut text)?;
        ensure!(
            u64::try_from(text.len()).is_ok_and(|length| length <= profile::LONGEST),
            "it is longer than 1 MiB, which no profile is"
        );
        String::from_utf8(text).context("it is no text")
    };
    let text = read().with_context(|| format!("reading the seccomp profile '{path}'"))?;
    Ok(Some(text))
}

/// The running kernel's version.
///
/// # Errors
/// It says none.
pub fn kernel() -> Result<Kernel> {
    let names = nix::sys::utsname::uname().context("asking for the kernel's version")?;
    let release = names.release().to_string_lossy();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    let version = numbers
        .next()
        .zip(numbers.next())
        .map(|(major, minor)| Kernel(major, minor));
    version.with_context(|| format!("the kernel's version '{release}' is none"))
}

/// Where the root is built: over the shim's own directory, which is always there, which nothing inside needs, and which nobody else
/// sees covered.
///
/// # Errors
/// The shim's own name cannot be found out.
pub fn mount_point() -> Result<PathBuf> {
    // systemd names it in full; the kernel's own answer takes longer.
    let called = std::env::args_os().next().map(PathBuf::from);
    let program = match called.filter(|called| called.is_absolute()) {
        Some(program) => program,
        None => std::env::current_exe().context("reading '/proc/self/exe'")?,
    };
    Ok(program.parent().context("the shim lies in no directory")?.to_owned())
}
