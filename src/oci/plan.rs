//! From a bundle's `config.json` to what is done: pure, so that it is compared with golden files (`tests/oci`).
//!
//! It is no [`crate::plan::Plan`], which has layers, sockets and an init and none of a bundle's freedoms, but it is made of the same pieces,
//! and carried out by the same code: capabilities, filters, maps of identities, kernel parameters.
//!
//! What cannot be carried out is an error here, before there is anything to take back.

pub mod device;
pub mod mount;
pub mod namespace;
pub mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::definition::Sysctl;
use crate::oci::config::{Config, Hooks, Linux, Resources};
use crate::oci::plan::device::{Node, Rule};
use crate::oci::plan::mount::{Mount, Propagation};
use crate::oci::plan::namespace::{Kind, Namespaces};
use crate::oci::plan::process::{Circle, Process};
use crate::plan::seccomp::profile::Kernel;
use crate::sys::mount::Depth;

/// Everything that is done for a container.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The root file system on the host.
    pub root: PathBuf,
    /// Whether it can be written.
    pub access: Access,
    /// Which namespaces are its own.
    pub namespaces: Namespaces,
    /// uname(2)'s node name.
    pub hostname: Option<String>,
    /// uname(2)'s domain name.
    pub domainname: Option<String>,
    /// Kernel parameters.
    pub sysctls: Vec<Sysctl>,
    /// What of the host's later mounts is seen inside, and the reverse.
    pub propagation: Option<(Propagation, Depth)>,
    /// In order.
    pub mounts: Vec<Mount>,
    /// The nodes of its `/dev`.
    pub nodes: Vec<Node>,
    /// Which devices it may use.
    pub device_policy: Option<Vec<Rule>>,
    /// Hidden.
    pub masked: Vec<String>,
    /// Made read-only.
    pub read_only: Vec<String>,
    /// The payload; a container can be made without one, and not be started.
    pub process: Option<Process>,
    /// Programs on the way.
    pub hooks: Hooks,
    /// The control group as the caller names it.
    pub cgroup: Option<String>,
    /// What it limits.
    pub resources: Resources,
    /// For others.
    pub annotations: BTreeMap<String, String>,
}

/// Whether the root can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `rw`.
    ReadWrite,
    /// `ro`.
    ReadOnly,
}

/// Decides what is done for the bundle in the directory `bundle`.
///
/// # Errors
/// Whatever in it cannot be carried out.
pub fn plan(config: &Config, bundle: &Path, kernel: Kernel) -> Result<Plan> {
    version(&config.oci_version)?;
    let empty = Linux::default();
    let linux = config.linux.as_ref().unwrap_or(&empty);
    refuse(linux)?;
    let root = config.root.as_ref().context("there is no 'root'")?;
    ensure!(!root.path.as_os_str().is_empty(), "'root.path' is empty");
    let namespaces = namespace::namespaces(linux).context("'linux.namespaces'")?;
    for (name, value, kind) in [
        ("hostname", &config.hostname, Kind::Uts),
        ("domainname", &config.domainname, Kind::Uts),
    ] {
        let is_given = value.as_ref().is_some_and(|value| !value.is_empty());
        ensure!(
            !is_given || namespaces.is_own(kind),
            "'{name}' needs a namespace of the type '{}', or it would be the host's",
            kind.name()
        );
    }
    let circle = Circle {
        seccomp: linux.seccomp.as_ref(),
        personality: linux.personality.as_ref(),
        kernel,
    };
    let process = config.process.as_ref();
    let process = process.map(|process| process::process(process, circle)).transpose()?;
    let mounts = config.mounts.as_deref().unwrap_or_default();
    let mounts = mount::mounts(mounts, bundle, linux.mount_label.as_deref())?;
    let (masked, read_only) = (
        linux.masked_paths.clone().unwrap_or_default(),
        linux.readonly_paths.clone().unwrap_or_default(),
    );
    for path in masked.iter().chain(&read_only) {
        ensure!(path.starts_with('/'), "the path '{path}' to be closed is not absolute");
    }
    let propagation = linux.rootfs_propagation.as_deref().filter(|word| !word.is_empty());
    let propagation = propagation
        .map(|word| Propagation::parse(word).with_context(|| format!("'linux.rootfsPropagation' cannot be '{word}'")))
        .transpose()?;
    let resources = linux.resources.clone().unwrap_or_default();
    Ok(Plan {
        root: bundle.join(&root.path),
        access: if root.readonly {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        },
        hostname: config.hostname.clone().filter(|name| !name.is_empty()),
        domainname: config.domainname.clone().filter(|name| !name.is_empty()),
        sysctls: sysctls(linux, &namespaces)?,
        propagation,
        mounts,
        nodes: device::nodes(linux.devices.as_deref().unwrap_or_default())?,
        device_policy: device::policy(resources.devices.as_deref().unwrap_or_default())
            .context("'linux.resources.devices'")?,
        masked,
        read_only,
        process,
        hooks: hooks(config)?,
        cgroup: linux.cgroups_path.clone().filter(|path| !path.is_empty()),
        resources,
        annotations: config.annotations.clone().unwrap_or_default(),
        namespaces,
    })
}

/// Version 1 of any kind.
fn version(version: &str) -> Result<()> {
    ensure!(!version.is_empty(), "there is no 'ociVersion'");
    let (core, _) = version.split_once(['-', '+']).unwrap_or((version, ""));
    let numbers: Vec<Option<u32>> = core.split('.').map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [Some(1), Some(_), Some(_)] => Ok(()),
        [Some(_), Some(_), Some(_)] => bail!("version '{version}' of the specification is not supported, version 1 is"),
        _ => bail!("'ociVersion' is '{version}', which is no version"),
    }
}

/// What is in the specification and not carried out; ignoring it would be a promise that is not kept.
fn refuse(linux: &Linux) -> Result<()> {
    let refused = [
        ("intelRdt", linux.intel_rdt.is_some()),
        ("memoryPolicy", linux.memory_policy.is_some()),
        (
            "netDevices",
            linux.net_devices.as_ref().is_some_and(|devices| !devices.is_empty()),
        ),
    ];
    match refused.into_iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => bail!("'linux.{name}' is not carried out: take it out of the config.json"),
        None => Ok(()),
    }
}

fn hooks(config: &Config) -> Result<Hooks> {
    let hooks = config.hooks.clone().unwrap_or_default();
    let all = [
        &hooks.prestart,
        &hooks.create_runtime,
        &hooks.create_container,
        &hooks.start_container,
        &hooks.poststart,
        &hooks.poststop,
    ];
    for hook in all.into_iter().flatten().flatten() {
        let path = hook.path.display();
        ensure!(hook.path.is_absolute(), "the hook '{path}' is not absolute");
        ensure!(
            hook.timeout.is_none_or(|timeout| timeout > 0),
            "the hook '{path}' has a timeout of no time"
        );
    }
    Ok(hooks)
}

/// Kernel parameters that are the container's own because their namespace is (sysctl(8), namespaces(7)).
fn sysctls(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<Sysctl>> {
    let mut sysctls = Vec::new();
    for (name, value) in linux.sysctl.iter().flatten() {
        // A slash as the first separator turns the two around, as sysctl(8) has it.
        let first = name.find(['.', '/']).and_then(|at| name.as_bytes().get(at));
        let path = if first == Some(&b'/') {
            name.clone()
        } else {
            name.chars()
                .map(|c| match c {
                    '.' => '/',
                    '/' => '.',
                    other => other,
                })
                .collect()
        };
        ensure!(
            path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\0'),
            "'{name}' is no kernel parameter"
        );
        let kind = match path.as_str() {
            path if path.starts_with("net/") => Kind::Network,
            path if path.starts_with("fs/mqueue/") || IPC.contains(&path) => Kind::Ipc,
            "kernel/domainname" | "kernel/hostname" => Kind::Uts,
            _ => bail!("the kernel parameter '{name}' is the host's, and belongs to no namespace"),
        };
        ensure!(
            namespaces.is_own(kind),
            "the kernel parameter '{name}' needs a namespace of the type '{}', or it would be the host's",
            kind.name()
        );
        sysctls.push(Sysctl {
            path,
            value: value.clone(),
        });
    }
    Ok(sysctls)
}

/// Kernel parameters of an IPC namespace.
const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];
