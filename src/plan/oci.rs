//! A plan as an OCI runtime configuration (runtime-spec config.md), for people and tools that read those.
//!
//! The document says what a runtime would have to do to get the same container. What the specification has no words for stands in
//! annotations: the layers, the sockets, the files that are made, how the payload gets its sockets. It is never read back.

mod seccomp;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use oci_spec::runtime::{
    Capabilities, Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxIdMapping, LinuxIdMappingBuilder,
    LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Mount as OciMount, MountBuilder, Process as OciProcess,
    ProcessBuilder, RootBuilder, Spec, SpecBuilder, User, UserBuilder,
};
use serde_json::{Value, json};

use crate::definition::label::AbstractSockets;
use crate::definition::network::Network;
use crate::definition::{Device, Propagation, UserNamespace};
use crate::plan::label::Label;
use crate::plan::mount::{Access, Kind, Mount};
use crate::plan::process::Process;
use crate::plan::{Grant, Plan, capability};
use crate::sys::user::Extent;

/// The version of the specification whose words are used.
const VERSION: &str = "1.2.0";

/// Stands for a user or group that is given by name: only the container's own files know its number.
const NAMED: u32 = 65534;

/// The plan as a `config.json`; the same plan always gives the same bytes.
///
/// # Errors
/// A capability that the specification does not know.
pub fn config(plan: &Plan) -> Result<Value> {
    let mut document = serde_json::to_value(spec(plan)?).context("writing the plan as JSON")?;
    // The library keeps sets of capabilities in no order at all.
    if let Some(sets) = document
        .pointer_mut("/process/capabilities")
        .and_then(Value::as_object_mut)
    {
        for set in sets.values_mut().filter_map(Value::as_array_mut) {
            set.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
    }
    Ok(document)
}

fn spec(plan: &Plan) -> Result<Spec> {
    let root = RootBuilder::default()
        .path(&plan.mount_point)
        .readonly(plan.writable_layer.is_none())
        .build()?;
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(plan)?)
        .masked_paths(plan.masked_paths.clone())
        .readonly_paths(plan.read_only_paths.clone());
    if !plan.sysctls.is_empty() {
        // The specification's names have dots for slashes, and the other way round.
        let swap = |c| match c {
            '/' => '.',
            '.' => '/',
            c => c,
        };
        let name = |path: &str| path.chars().map(swap).collect::<String>();
        let sysctls = plan
            .sysctls
            .iter()
            .map(|sysctl| (name(&sysctl.path), sysctl.value.clone()));
        linux = linux.sysctl(sysctls.collect::<HashMap<_, _>>());
    }
    if let UserNamespace::Mapped { users, groups } = &plan.user_namespace {
        linux = linux.uid_mappings(mappings(users)?).gid_mappings(mappings(groups)?);
    }
    let linux = match &plan.seccomp {
        Some(filter) => linux.seccomp(seccomp::profile(&filter.rules)?),
        None => linux,
    };
    let linux = match plan.file_context() {
        Some(context) => linux.mount_label(context),
        None => linux,
    };
    let linux = linux.build()?;
    let mounts: Vec<OciMount> = plan
        .mounts
        .iter()
        .filter_map(|one| mount(one).transpose())
        .collect::<Result<_>>()?;
    Ok(SpecBuilder::default()
        .version(VERSION)
        .root(root)
        .hostname(plan.hostname.as_str())
        .mounts(mounts)
        .process(process(&plan.process, plan.label.as_ref())?)
        .linux(linux)
        .annotations(annotations(plan))
        .build()?)
}

fn namespaces(plan: &Plan) -> Result<Vec<LinuxNamespace>> {
    use LinuxNamespaceType as Type;
    let own = match &plan.network {
        Network::None | Network::Pasta | Network::Bridges(_) => Some(Type::Network),
        Network::Host | Network::Container(_) | Network::Path(_) => None,
    };
    let users = match plan.user_namespace {
        UserNamespace::Host => None,
        UserNamespace::Auto | UserNamespace::KeepId { .. } | UserNamespace::Mapped { .. } => Some(Type::User),
    };
    let types = [Type::Mount, Type::Pid, Type::Uts, Type::Ipc, Type::Cgroup]
        .into_iter()
        .chain(own)
        .chain(users);
    types
        .map(|typ| Ok(LinuxNamespaceBuilder::default().typ(typ).build()?))
        .collect()
}

fn mappings(extents: &[Extent]) -> Result<Vec<LinuxIdMapping>> {
    let mapping = |extent: &Extent| {
        let mapping = LinuxIdMappingBuilder::default()
            .container_id(extent.inside)
            .host_id(extent.outside)
            .size(extent.count)
            .build()?;
        Ok(mapping)
    };
    extents.iter().map(mapping).collect()
}

/// Nothing for a file that is made: the specification can only mount what exists.
fn mount(mount: &Mount) -> Result<Option<OciMount>> {
    let (typ, source, mut options) = match &mount.kind {
        Kind::New { filesystem, parameters } => (*filesystem, Path::new(filesystem), parameters.clone()),
        Kind::Devices => ("tmpfs", Path::new("tmpfs"), vec!["mode=0755".to_owned()]),
        Kind::Bind {
            source, propagation, ..
        } => {
            let propagation = match propagation {
                Propagation::Private => None,
                Propagation::Slave => Some("rslave".to_owned()),
                Propagation::Shared => Some("rshared".to_owned()),
            };
            let options = ["rbind".to_owned()].into_iter().chain(propagation).collect();
            ("bind", source.as_path(), options)
        }
        Kind::BindIfPresent(source) | Kind::ZoneFile(source) => ("bind", source.as_path(), vec!["rbind".to_owned()]),
        Kind::HostSysfs => ("bind", Path::new("/sys"), vec!["bind".to_owned()]),
        Kind::Volume(volume) => ("bind", volume.directory.as_path(), vec!["rbind".to_owned()]),
        Kind::Image(image) => ("overlay", Path::new(&image.reference), Vec::new()),
        Kind::Secret(_) | Kind::Credentials(_) => ("ramfs", Path::new("ramfs"), Vec::new()),
        Kind::File(_) => return Ok(None),
    };
    options.push("nosuid".to_owned());
    if !mount.has_devices() {
        options.push("nodev".to_owned());
    }
    if !mount.executable {
        options.push("noexec".to_owned());
    }
    if mount.access == Access::ReadOnly {
        options.push("ro".to_owned());
    }
    Ok(Some(
        MountBuilder::default()
            .destination(&mount.target)
            .typ(typ)
            .source(source)
            .options(options)
            .build()?,
    ))
}

fn process(process: &Process, label: Option<&Label>) -> Result<OciProcess> {
    let environment: Vec<String> = process
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let capabilities = capability::names(process.capabilities)
        .into_iter()
        .map(|name| {
            name.trim_start_matches("CAP_")
                .parse()
                .with_context(|| format!("writing the capability '{name}'"))
        })
        .collect::<Result<Capabilities>>()?;
    let none = std::collections::HashSet::<Capability>::new();
    let sets = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(capabilities.clone())
        .permitted(capabilities)
        .inheritable(none.clone())
        .ambient(none)
        .build()?;
    let builder = match label {
        Some(Label::AppArmor { profile, .. }) => ProcessBuilder::default().apparmor_profile(profile.as_str()),
        Some(Label::Selinux { process, .. }) => ProcessBuilder::default().selinux_label(process.as_str()),
        None => ProcessBuilder::default(),
    };
    Ok(builder
        .args(process.arguments.clone())
        .env(environment)
        .cwd(process.working_directory.as_str())
        .user(user(process)?)
        .capabilities(sets)
        // systemd's limits of the service hold; the library would name one of its own.
        .rlimits(Vec::new())
        .no_new_privileges(true)
        .build()?)
}

fn user(process: &Process) -> Result<User> {
    let number = |name: &str| name.parse().unwrap_or(NAMED);
    let group = match &process.group {
        Some(group) => number(group),
        None if process.user == "0" || process.user == "root" => 0,
        None => NAMED,
    };
    let user = if process.user == "root" {
        0
    } else {
        number(&process.user)
    };
    let numbers = UserBuilder::default().uid(user).gid(group);
    let named = if user == NAMED {
        numbers.username(process.user.as_str())
    } else {
        numbers
    };
    Ok(named.build()?)
}

fn annotations(plan: &Plan) -> HashMap<String, String> {
    let files: serde_json::Map<String, Value> = plan
        .mounts
        .iter()
        .filter_map(|mount| match &mount.kind {
            Kind::File(content) => Some((mount.target.display().to_string(), json!(content))),
            _ => None,
        })
        .collect();
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let user = match &plan.process.group {
        Some(group) => format!("{}:{group}", plan.process.user),
        None => plan.process.user.clone(),
    };
    let device = |device: &Device| {
        let (host, target) = (device.host.display(), device.target.display());
        format!("{host}:{target}:{}", device.access)
    };
    let devices: Vec<String> = plan.devices.iter().map(device).collect();
    let devices = (!devices.is_empty()).then(|| ("coracle.devices", json!(devices).to_string()));
    let secrets: serde_json::Map<String, Value> = plan
        .secret_variables
        .iter()
        .map(|(variable, name)| (format!("${variable}"), json!(name)))
        .chain(plan.mounts.iter().filter_map(|mount| match &mount.kind {
            Kind::Secret(secret) => Some((mount.target.display().to_string(), json!(secret.name))),
            _ => None,
        }))
        .collect();
    // Names only: what they stand for is never a part of the plan.
    let secrets = (!secrets.is_empty()).then(|| ("coracle.secrets", Value::Object(secrets).to_string()));
    let bridges = plan.bridges.as_ref();
    let bridges = bridges.map(|bridges| ("coracle.bridges", bridges.request().to_string()));
    let groups = &plan.process.additional_groups;
    let groups = (!groups.is_empty()).then(|| ("coracle.groups", json!(groups).to_string()));
    let idle = plan.idle.map(|idle| ("coracle.idle", json!(idle).to_string()));
    let clean_ends = (!plan.clean_ends.is_default()).then(|| ("coracle.clean-ends", word(json!(plan.clean_ends))));
    let health = plan.health.as_ref();
    let health = health.map(|health| ("coracle.health", json!(health).to_string()));
    let sockets_of = plan.abstract_sockets == AbstractSockets::Own;
    let abstract_sockets = sockets_of.then(|| ("coracle.abstract-sockets", "own".to_owned()));
    [
        ("coracle.unit", plan.unit.clone()),
        ("coracle.user", user),
        (
            "coracle.userns",
            match plan.user_namespace {
                UserNamespace::Auto => "auto".to_owned(),
                UserNamespace::Host => "host".to_owned(),
                UserNamespace::KeepId { .. } => "keep-id".to_owned(),
                UserNamespace::Mapped { .. } => "mapped".to_owned(),
            },
        ),
        ("coracle.layers", json!(plan.layers).to_string()),
        (
            "coracle.sockets",
            Value::Array(plan.sockets.iter().map(socket).collect()).to_string(),
        ),
        ("coracle.files", Value::Object(files).to_string()),
        ("coracle.activation", word(json!(plan.activation))),
        ("coracle.notify", word(json!(plan.notify))),
        ("org.opencontainers.image.stopSignal", plan.stop_signal.to_string()),
    ]
    .into_iter()
    .chain(clean_ends)
    .chain(idle)
    .chain(health)
    .chain(groups)
    .chain(devices)
    .chain(secrets)
    .chain(abstract_sockets)
    .chain(bridges)
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn socket(grant: &Grant) -> Value {
    json!({
        "name": grant.name,
        "kind": grant.listen.kind,
        "address": grant.listen.address,
        "container": grant.listen.container,
    })
}
