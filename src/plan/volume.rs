//! What the definition and the image mount: volumes, images, secrets, new file systems.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use oci_spec::image::Config;

use crate::definition::secret::{Form, Secret};
use crate::definition::volume::{Backing, Copying, Label, Memory, Named, Owner, Settings, Source, is_free, is_name};
use crate::definition::{Container, Exec, Propagation, Tmpfs};
use crate::plan::Surroundings;
use crate::plan::label::of_volume;
use crate::plan::mount::{Access, Kind, Mount};
use crate::plan::specifier::Specifiers;

/// A directory that is made when it is needed, and filled then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name; nothing for one that lives and dies with the container.
    pub name: Option<String>,
    /// Where it lies on the host.
    pub directory: PathBuf,
    /// How it is made.
    pub settings: Settings,
    /// Whether what is mounted below it later is seen on the other side.
    pub propagation: Propagation,
    /// What of it is mounted, relative.
    pub subpath: Option<PathBuf>,
    /// The SELinux context that it gets when it is made.
    pub context: Option<String>,
}

/// The files of an image, mounted somewhere in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The image, as it was written.
    pub reference: String,
    /// The directories of its layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// Where what is written goes; nothing for an image that cannot be written.
    pub writable: Option<PathBuf>,
    /// What of it is mounted, relative.
    pub subpath: Option<PathBuf>,
}

/// A credential as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// Its name.
    pub name: String,
    /// Its owner; the program's user where it is not said.
    pub user: Option<u32>,
    /// Its group, likewise.
    pub group: Option<u32>,
    /// Its mode.
    pub mode: u32,
}

/// Where the program finds the service's own credentials: the place of systemd's container interface.
pub const CREDENTIALS: &str = "/run/host/credentials";

/// The definition's own mounts, in the order of the file.
///
/// # Errors
/// An unknown specifier, a name that no volume can have, a place that nothing can be mounted on.
pub fn own(container: &Container, specifiers: &Specifiers<'_>, surroundings: &Surroundings<'_>) -> Result<Vec<Mount>> {
    let mut own = Vec::new();
    for (number, volume) in container.volumes.iter().enumerate() {
        let expand = |path: &str| specifiers.expand(path).context("expanding 'Volume'");
        let target = expand(&volume.target.to_string_lossy())?;
        // Said of what is written when it is read; an instance's name can make it come true.
        ensure!(
            is_free(Path::new(&target)),
            "nothing can be mounted on '{target}', or the container would lose its protection"
        );
        let beside = |kind: &str| surroundings.writable_layer.join(format!("{kind}{number}"));
        let kind = match &volume.source {
            Source::Path(path) => Kind::Bind {
                source: expand(&path.to_string_lossy())?.into(),
                owners: volume.owners,
                propagation: volume.propagation,
            },
            Source::Named(Named { name, settings, .. }) => {
                let name = expand(name)?;
                ensure!(is_name(&name), "'{name}' cannot be a volume's name");
                Kind::Volume(Box::new(Volume {
                    directory: surroundings.volumes.join(&name),
                    name: Some(name),
                    settings: settings.clone(),
                    propagation: volume.propagation,
                    subpath: volume.subpath.clone(),
                    context: None,
                }))
            }
            Source::Anonymous(copy) => Kind::Volume(Box::new(Volume {
                subpath: volume.subpath.clone(),
                ..anonymous(beside("volume"), *copy)
            })),
            Source::Image { reference, writable } => {
                let image = surroundings.images.iter().find(|(name, _)| name == reference);
                let (_, layers) = image.with_context(|| format!("image '{reference}' was not looked up"))?;
                Kind::Image(Box::new(Image {
                    reference: reference.clone(),
                    layers: layers.clone(),
                    writable: (*writable).then(|| beside("image")),
                    subpath: volume.subpath.clone(),
                }))
            }
        };
        own.push(Mount {
            executable: volume.exec == Exec::Allowed,
            kind,
            target: target.into(),
            access: access(volume.read_only),
        });
    }
    own.extend(container.tmpfs.iter().map(memory));
    own.extend(container.secrets.iter().filter_map(secret));
    Ok(own)
}

/// The volumes that the image asks for, but for those whose place is taken, or cannot be mounted on.
#[must_use]
pub fn of_image<'m>(
    config: Option<&Config>,
    taken: impl Iterator<Item = &'m Mount> + Clone,
    surroundings: &Surroundings<'_>,
) -> Vec<Mount> {
    let Some(volumes) = config.and_then(|config| config.volumes().as_ref()) else {
        return Vec::new();
    };
    let paths = volumes.iter().map(|target| Path::new(target).components().collect());
    let mut targets: Vec<PathBuf> = paths.collect();
    targets.sort();
    targets.dedup();
    let is_taken = |target: &Path| taken.clone().any(|mount| mount.target == target);
    targets.retain(|target| target.is_absolute() && is_free(target) && !is_taken(target));
    let mount = |(number, target): (usize, PathBuf)| Mount {
        executable: true,
        kind: Kind::Volume(Box::new(anonymous(
            surroundings.writable_layer.join(format!("of-image{number}")),
            Copying::Copy,
        ))),
        target,
        access: Access::ReadWrite,
    };
    targets.into_iter().enumerate().map(mount).collect()
}

/// The credentials that the program gets beside its secrets: those that `[Service]` gives to the service.
#[must_use]
pub fn credentials(container: &Container, surroundings: &Surroundings<'_>) -> Option<Mount> {
    let is_secret = |name: &&String| container.secrets.iter().any(|secret| secret.name == **name);
    let names: Vec<String> = surroundings
        .credentials
        .iter()
        .filter(|name| !is_secret(name))
        .cloned()
        .collect();
    (!names.is_empty()).then(|| Mount {
        target: CREDENTIALS.into(),
        kind: Kind::Credentials(names),
        access: Access::ReadOnly,
        executable: false,
    })
}

/// The variables that hold secrets, with the credentials' names.
#[must_use]
pub fn variables(container: &Container) -> Vec<(String, String)> {
    let variable = |secret: &Secret| match &secret.form {
        Form::Variable(variable) => Some((variable.clone(), secret.name.clone())),
        Form::File { .. } => None,
    };
    container.secrets.iter().filter_map(variable).collect()
}

/// A directory or file of the host that is to have an SELinux context, with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// Where it is.
    pub path: PathBuf,
    /// The context.
    pub context: String,
}

/// Decides on the labels of volumes on a host with SELinux, where the container's own files have the context `own` if they have one. Returns what
/// there may be already, and gets another label.
pub fn label(container: &Container, mounts: &mut [Mount], own: Option<&str>) -> Vec<Labelled> {
    let labels = &container.security_labels;
    let mut labelled = Vec::new();
    for mount in mounts {
        let volume = container.volumes.iter().find(|volume| volume.target == mount.target);
        let wanted = volume.and_then(|volume| of_volume(volume.label, labels));
        let path = match &mut mount.kind {
            Kind::Bind { source, .. } => source.clone(),
            Kind::Volume(volume) => {
                // Made for a container that has a label, it is to be of use to that one.
                volume.context = wanted.clone().or_else(|| match volume.name {
                    Some(_) => own.and(of_volume(Label::OfContainers, labels)),
                    None => own.map(str::to_owned),
                });
                volume.directory.clone()
            }
            _ => continue,
        };
        labelled.extend(wanted.map(|context| Labelled { path, context }));
    }
    labelled
}

/// The places that are to belong to the program's user.
#[must_use]
pub fn owned(container: &Container) -> Vec<PathBuf> {
    let owned = container.volumes.iter().filter(|volume| volume.owner == Owner::Program);
    owned.map(|volume| volume.target.clone()).collect()
}

fn anonymous(directory: PathBuf, copy: Copying) -> Volume {
    Volume {
        name: None,
        directory,
        settings: Settings {
            copy,
            backing: Backing::Directory,
            ..Settings::default()
        },
        propagation: Propagation::Private,
        subpath: None,
        context: None,
    }
}

fn memory(tmpfs: &Tmpfs) -> Mount {
    let filesystem = match tmpfs.kind {
        Memory::Tmpfs => "tmpfs",
        Memory::Ramfs => "ramfs",
        Memory::Devpts => "devpts",
    };
    let mut parameters = tmpfs.options.clone();
    if tmpfs.kind == Memory::Devpts {
        parameters.push("ptmxmode=0666".to_owned());
    }
    Mount {
        target: tmpfs.target.clone(),
        kind: Kind::New { filesystem, parameters },
        access: access(tmpfs.read_only),
        executable: tmpfs.exec,
    }
}

fn secret(secret: &Secret) -> Option<Mount> {
    let Form::File {
        target,
        user,
        group,
        mode,
    } = &secret.form
    else {
        return None;
    };
    Some(Mount {
        target: target.clone(),
        kind: Kind::Secret(Box::new(SecretFile {
            name: secret.name.clone(),
            user: *user,
            group: *group,
            mode: *mode,
        })),
        access: Access::ReadOnly,
        executable: false,
    })
}

fn access(read_only: bool) -> Access {
    if read_only { Access::ReadOnly } else { Access::ReadWrite }
}
