//! What a start will do, as data: definition + image config + sockets → [`Plan`].
//!
//! A plan is made without privilege and without touching the system, so it can be printed (`coracle show --plan`), compared with a
//! golden file and reviewed. [`crate::run`] then carries it out in the order in which it stands here, and decides nothing.
//!
//! Nothing here opens a file, reads the process environment or asks the kernel. What only the container's own file system can tell
//! (the numbers of a user's name, where a program lies on `$PATH`) is left as written.

pub mod capability;
pub mod closed;
pub mod device;
pub mod health;
pub mod label;
pub mod mount;
pub mod network;
pub mod oci;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod specifier;
pub mod volume;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use oci_spec::image::Config;

use crate::definition::end::CleanEnds;
use crate::definition::health::Health;
use crate::definition::idle::Idle;
use crate::definition::label::{AbstractSockets, SecurityModule};
use crate::definition::network::Network;
use crate::definition::renewal::{DescriptorStore, Reload};
use crate::definition::{
    Activation, ContainerAddress, Definition, Device, Listen, Notify, Root, SeccompProfile, Sysctl, UserNamespace,
};
use crate::plan::label::Label;
use crate::plan::mount::Mount;
use crate::plan::network::Bridges;
use crate::plan::process::Process;
use crate::plan::seccomp::architecture::Machine;
use crate::plan::seccomp::profile::{Circumstances, Kernel};
use crate::plan::seccomp::{Filter, Rules, profile};
use crate::plan::specifier::Specifiers;
use crate::sys::capability::Mask;

/// Everything that one start does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The service unit, with its suffix.
    pub unit: String,
    /// The layers of the root, lowest first: directories on the host.
    pub layers: Vec<PathBuf>,
    /// Where the writable layer lives on disk; `None` for a root that cannot be written.
    pub writable_layer: Option<PathBuf>,
    /// Where on disk what vanishes with the container is.
    pub directory: PathBuf,
    /// A directory of the host that the new root is mounted on, in the container's own mount namespace only.
    pub mount_point: PathBuf,
    /// Whose identities the container has.
    pub user_namespace: UserNamespace,
    /// Which network namespace.
    pub network: Network,
    /// The interfaces in it, where it is on bridges.
    pub bridges: Option<Bridges>,
    /// uname(2)'s node name.
    pub hostname: String,
    /// Kernel parameters of its own.
    pub sysctls: Vec<Sysctl>,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// In order; each target below the new root.
    pub mounts: Vec<Mount>,
    /// Files and directories of the host that get the SELinux label of containers' files, where the host runs SELinux.
    pub labelled: Vec<volume::Labelled>,
    /// Places that are to belong to the program's user; where one does not, it is said.
    pub owned: Vec<PathBuf>,
    /// Variables of the payload that hold secrets, with the credentials' names.
    pub secret_variables: Vec<(String, String)>,
    /// Where systemd has put the service's credentials.
    pub credentials_directory: Option<PathBuf>,
    /// Hidden under something empty, where they exist.
    pub masked_paths: Vec<String>,
    /// Made read-only, where they exist.
    pub read_only_paths: Vec<String>,
    /// The payload.
    pub process: Process,
    /// The sockets, in the order of the definition.
    pub sockets: Vec<Grant>,
    /// Which system calls the payload may make; `None` for all.
    pub seccomp: Option<Filter>,
    /// What the payload and its files are called to the host's security module.
    pub label: Option<Label>,
    /// The address by which the container names the host, if it does.
    pub host: Option<IpAddr>,
    /// Whose abstract Unix sockets the payload can connect to: [`AbstractSockets::Host`] where its network has no others.
    pub abstract_sockets: AbstractSockets,
    /// How the payload gets them.
    pub activation: Activation,
    /// When the unit counts as started.
    pub notify: Notify,
    /// What the payload is sent when systemd sends SIGTERM.
    pub stop_signal: i32,
    /// Which of its ends systemd takes for success.
    pub clean_ends: CleanEnds,
    /// When it is stopped for want of use, where its program has systemd's sockets.
    pub idle: Option<Idle>,
    /// What tells whether the payload is well.
    pub health: Option<Health>,
    /// The signal that makes a payload reload that tells systemd of it.
    pub reload_signal: Option<i32>,
    /// Whether the payload may leave descriptors to its next run.
    pub descriptor_store: DescriptorStore,
}

impl Plan {
    /// The SELinux context of the container's files.
    #[must_use]
    pub fn file_context(&self) -> Option<&str> {
        match &self.label {
            Some(Label::Selinux { files, .. }) => Some(files),
            Some(Label::AppArmor { .. }) | None => None,
        }
    }
}

/// A socket that the payload is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its name in `$LISTEN_FDNAMES`.
    pub name: String,
    /// Which of the sockets with this name, counted from 0.
    pub index: usize,
    /// Its addresses.
    pub listen: Listen,
}

/// The image as the store found it, or a `Rootfs=` directory, which has no config.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The directories of the layers, lowest first.
    pub layers: &'a [PathBuf],
    /// The image's config.
    pub config: Option<&'a Config>,
}

/// What systemd tells of this start, and where things lie.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The service unit's full name (`%n`).
    pub unit: &'a str,
    /// The directory for this unit's writable layer.
    pub writable_layer: &'a Path,
    /// The directory that volumes lie in.
    pub volumes: &'a Path,
    /// The images that the definition mounts, with the directories of their layers.
    pub images: &'a [(String, Vec<PathBuf>)],
    /// The names of the service's credentials (systemd.exec(5), "Credentials").
    pub credentials: &'a [String],
    /// A directory to build the root on.
    pub mount_point: &'a Path,
    /// The text of the file that `SeccompProfile=` names.
    pub seccomp_profile: Option<&'a str>,
    /// The running kernel.
    pub kernel: Kernel,
    /// The environment that systemd started the shim with, as `(name, value)`.
    pub environment: &'a [(String, String)],
    /// What the definition's environment files set, in their order.
    pub environment_files: &'a [(String, String)],
    /// The container's addresses on each of its bridges.
    pub addresses: &'a [Vec<IpAddr>],
    /// The host's time zone, where it has a name.
    pub local_zone: Option<&'a str>,
}

/// Decides what the start of `definition` does.
///
/// # Errors
/// What only image and definition together show: no program to run, a specifier that does not exist, a signal that does not exist.
pub fn plan(definition: &Definition, source: Source<'_>, surroundings: Surroundings<'_>) -> Result<Plan> {
    let container = &definition.container;
    let specifiers = Specifiers::of_unit(surroundings.unit).in_environment(surroundings.environment);
    ensure!(
        !source.layers.is_empty(),
        "{} has no layers",
        describe_root(&container.root)
    );
    let sockets = match definition.accepts() {
        true => connection(definition, &surroundings).into_iter().collect(),
        false => grants(definition, &specifiers).context("expanding 'ContainerListen'")?,
    };
    let activation = container.activation.unwrap_or(Activation::Intercept);
    let notify = container.notify.unwrap_or(match (activation, sockets.is_empty()) {
        (Activation::Intercept | Activation::Proxy, false) => Notify::Listening,
        _ => Notify::Started,
    });
    let hostname = match &container.hostname {
        Some(hostname) => specifiers.expand(hostname).context("expanding 'HostName'")?,
        // The instances' names say where their connections come from, which no program expects of a host's name.
        None if definition.accepts() => default_hostname(&[&definition.name, ".service"].concat()),
        None => default_hostname(surroundings.unit),
    };
    let process = process::process(
        definition,
        source.config,
        &specifiers,
        &surroundings,
        &sockets,
        activation,
        notify,
    )
    .with_context(|| format!("deciding what {} runs", describe_root(&container.root)))?;
    let seccomp = seccomp(definition, &specifiers, &surroundings, process.capabilities)?;
    let bridges = network::bridges(
        &container.network,
        surroundings.unit,
        &hostname,
        surroundings.addresses,
        &container.dns,
    );
    let label = label::label(container, process.capabilities, definition.security_module, &specifiers)?;
    let mut mounts = mount::mounts(
        container,
        &specifiers,
        &hostname,
        source.config,
        &surroundings,
        bridges.as_ref(),
    )?;
    if let Some(Label::Selinux { files, .. }) = &label {
        mount::set_context(&mut mounts, files);
    }
    let labelled = match (definition.security_module, &label) {
        (SecurityModule::Selinux, Some(Label::Selinux { files, .. })) => {
            volume::label(container, &mut mounts, Some(files))
        }
        (SecurityModule::Selinux, _) => volume::label(container, &mut mounts, None),
        _ => Vec::new(),
    };
    let stop_signal = match (
        container.stop_signal,
        source.config.and_then(|c| c.stop_signal().as_deref()),
    ) {
        (Some(signal), _) => signal,
        (None, Some(name)) => signal::parse(name).with_context(|| format!("the image's stop signal is '{name}'"))?,
        (None, None) => libc::SIGTERM,
    };
    Ok(Plan {
        unit: surroundings.unit.to_owned(),
        layers: source.layers.to_vec(),
        writable_layer: (!container.read_only).then(|| surroundings.writable_layer.to_owned()),
        directory: surroundings.writable_layer.to_owned(),
        mount_point: surroundings.mount_point.to_owned(),
        user_namespace: container.user_namespace.clone(),
        network: container.network.clone(),
        host: match container.add_host.iter().any(|host| host.address.is_none()) {
            true => container.network.host(),
            false => None,
        },
        sysctls: container.sysctls.clone(),
        devices: device::devices(container, &specifiers)?,
        labelled,
        owned: volume::owned(container),
        secret_variables: volume::variables(container),
        credentials_directory: surroundings
            .environment
            .iter()
            .find(|(name, _)| name == "CREDENTIALS_DIRECTORY")
            .map(|(_, directory)| PathBuf::from(directory)),
        mounts,
        bridges,
        hostname,
        masked_paths: closed::masked(container),
        read_only_paths: closed::read_only(container),
        process,
        sockets,
        seccomp,
        label,
        abstract_sockets: match container.network {
            Network::Host => container.abstract_sockets,
            Network::None | Network::Pasta | Network::Bridges(_) | Network::Container(_) | Network::Path(_) => {
                AbstractSockets::Host
            }
        },
        activation,
        reload_signal: match container.renewal.reload {
            Some(Reload::Signal(signal)) if notify == Notify::Yes => Some(signal),
            _ => None,
        },
        descriptor_store: container.renewal.descriptor_store,
        notify,
        stop_signal,
        clean_ends: container.clean_ends,
        idle: definition.watched(),
        health: container
            .health
            .as_ref()
            .map(|health| health::health(health, &specifiers))
            .transpose()?,
    })
}

/// The filter of system calls, made for this machine and for what the payload may do.
fn seccomp(
    definition: &Definition,
    specifiers: &Specifiers<'_>,
    surroundings: &Surroundings<'_>,
    capabilities: Mask,
) -> Result<Option<Filter>> {
    let circumstances = Circumstances {
        machine: Machine::HOST,
        kernel: surroundings.kernel,
        capabilities,
    };
    match &definition.container.seccomp_profile {
        SeccompProfile::Unconfined => Ok(None),
        SeccompProfile::Default => Ok(Some(seccomp::default(Machine::HOST, capabilities))),
        SeccompProfile::File(path) => {
            let path = seccomp_path(path, specifiers)?;
            let text = surroundings.seccomp_profile.unwrap_or_default();
            let filter = profile::parse(text, &circumstances).and_then(Rules::into_filter);
            filter
                .map(Some)
                .with_context(|| format!("reading the seccomp profile '{path}'"))
        }
    }
}

/// The file that `SeccompProfile=` names.
///
/// # Errors
/// A specifier that does not exist.
pub fn seccomp_path(path: &str, specifiers: &Specifiers<'_>) -> Result<String> {
    specifiers.expand(path).context("expanding 'SeccompProfile'")
}

/// The sockets of `definition`, one by one, with what the payload will really bind.
fn grants(definition: &Definition, specifiers: &Specifiers<'_>) -> Result<Vec<Grant>> {
    let mut grants = Vec::new();
    for socket in &definition.sockets {
        for (index, listen) in socket.listen.iter().enumerate() {
            let container = match &listen.container {
                ContainerAddress::Unix(path) => ContainerAddress::Unix(specifiers.expand(path)?),
                other => other.clone(),
            };
            let listen = Listen {
                container,
                ..listen.clone()
            };
            grants.push(Grant {
                name: socket.name.clone(),
                index,
                listen,
            });
        }
    }
    Ok(grants)
}

/// The connection of this instance, if systemd passes one; nothing where it is the standard input. Its name is its socket's: the one that
/// systemd gives to it depends on systemd's version.
fn connection(definition: &Definition, surroundings: &Surroundings<'_>) -> Option<Grant> {
    let mut environment = surroundings.environment.iter();
    environment.find(|(name, _)| name == "LISTEN_FDNAMES")?;
    let prefix = surroundings.unit.split('@').next().unwrap_or_default();
    let mut sockets = definition.sockets.iter();
    let socket = sockets
        .find(|socket| socket.unit == prefix)
        .or(definition.sockets.first())?;
    Some(Grant {
        name: socket.name.clone(),
        index: 0,
        listen: socket.listen.first()?.clone(),
    })
}

/// The unit's name without suffix, as far as a host name may have its characters (hostname(7)).
fn default_hostname(unit: &str) -> String {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '.' {
            c
        } else {
            '-'
        }
    };
    let name: String = stem.chars().map(allowed).take(63).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() {
        "container".to_owned()
    } else {
        name.to_owned()
    }
}

/// The root as errors name it.
#[must_use]
pub fn describe_root(root: &Root) -> String {
    match root {
        Root::Image(reference) => format!("image '{reference}'"),
        Root::Rootfs(directory) => format!("root file system '{}'", directory.display()),
    }
}
