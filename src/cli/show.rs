//! `coracle show NAME`: a definition as the shim sees it, the units that it becomes, or the plan of its start.
//!
//! Everything is decided anew from the files, by the same code as at a reload and at a start; nothing is read back from the running
//! system. Only `--plan` looks into the store, since an image's configuration is part of what a start does.

mod health;
pub mod plan;

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use crate::cli::broken::sentence;
use crate::cli::output::{Format, Output, Paint, visible};
use crate::cli::scope::Scope;
use crate::definition::label::AppArmor;
use crate::definition::places::Loaded;
use crate::definition::renewal::{AutoUpdate, Reload};
use crate::definition::{
    Container, ContainerAddress, Definition, Listen, Resolved, Root, SeccompProfile, SocketKind, UserNamespace, keys,
};
use crate::generate::draft::Draft;
use crate::generate::generate;

/// Show a definition, its units or its plan
///
/// NAME is the file's name without its suffix, or the name of one of its units. Without an option, the definition is shown as it was
/// understood, drop-ins merged in.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coracle show web\n  coracle show web --units\n  coracle show web --plan | jq .process.args"
)]
pub struct Arguments {
    /// The definition
    pub name: String,
    /// Print the units that are made of it, as 'systemctl cat' does
    #[arg(long, conflicts_with = "plan")]
    pub units: bool,
    /// Print what a start does, as the config.json of an OCI runtime
    #[arg(long)]
    pub plan: bool,
    /// Whose definitions.
    #[command(flatten)]
    pub scope: Scope,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
}

/// Prints it.
pub fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<ExitCode> {
    let loaded = arguments.scope.load();
    let context = arguments.scope.context();
    let found = find(&loaded, &arguments.name, &arguments.scope)?;
    let draft = Draft::new(found, &context);
    if arguments.units {
        units(&loaded, &draft, arguments, output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let generated = generate(&loaded, &context);
    if let Some(broken) = generated.broken.iter().find(|broken| broken.unit == draft.unit()) {
        if arguments.format == Format::Json && !arguments.plan {
            let own = generated.diagnostics.iter().filter(|report| report.unit == broken.unit);
            output.json(&Resolved::Broken(
                own.map(|report| report.diagnostic.to_string()).collect(),
            ))?;
            output.finish()?;
        }
        bail!(
            "'{}' has mistakes ('coracle check' shows them): {}",
            found.definition.source.display(),
            sentence(broken)
        );
    }
    if arguments.plan {
        output.json(&plan::config(
            &found.definition,
            &unit_name(&draft, &arguments.name),
            &arguments.scope,
        )?)?;
    } else if arguments.format == Format::Json {
        output.json(&Resolved::Container(Box::new(found.definition.clone())))?;
    } else {
        print(&found.definition, output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The definition of this name, of a unit with this name, or of the template of this instance.
fn find<'a>(loaded: &'a [Loaded], typed: &str, scope: &Scope) -> anyhow::Result<&'a Loaded> {
    let suffixes = [".toml", ".service", ".socket"];
    let name = suffixes
        .iter()
        .find_map(|suffix| typed.strip_suffix(suffix))
        .unwrap_or(typed);
    let template = name.split_once('@').map(|(prefix, _)| format!("{prefix}@"));
    let is_meant = |one: &&Loaded, name: &str| {
        let definition = &one.definition;
        definition.name == name
            || definition.stem() == name
            || definition.sockets.iter().any(|socket| socket.unit == name)
    };
    let names = || loaded.iter().map(|one| one.definition.name.as_str());
    let exact = loaded.iter().find(|one| is_meant(one, name));
    let by_template = || template.and_then(|template| loaded.iter().find(|one| is_meant(one, &template)));
    exact
        .or_else(by_template)
        .with_context(|| match keys::nearest_of(name, names()) {
            Some(near) => format!("there is no definition '{typed}', did you mean '{near}'?"),
            None => format!("there is no definition '{typed}' in {}", scope.describe_places()),
        })
}

/// The service's full name; of a template, that of the instance that was typed.
fn unit_name(draft: &Draft<'_>, typed: &str) -> String {
    let typed = typed.strip_suffix(".service").unwrap_or(typed);
    match typed.strip_prefix(&draft.stem) {
        Some(instance) if draft.stem.ends_with('@') && !instance.is_empty() => format!("{typed}.service"),
        _ => draft.unit(),
    }
}

/// The files that the generator writes for this definition, as it writes them next to all the others.
fn units(loaded: &[Loaded], draft: &Draft<'_>, arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let context = arguments.scope.context();
    let generated = generate(loaded, &context);
    let own: Vec<&str> = draft.names().collect();
    let is_own = |name: &String| own.contains(&name.as_str()) && !name.ends_with(".json");
    let files: Vec<_> = generated.files.iter().filter(|(name, _)| is_own(name)).collect();
    if arguments.format == Format::Json {
        let files: serde_json::Map<_, _> = files
            .into_iter()
            .map(|(name, text)| (name.clone(), text.as_str().into()))
            .collect();
        return output.json(&files);
    }
    for (index, (name, text)) in files.into_iter().enumerate() {
        if index > 0 {
            output.line("")?;
        }
        let heading = format!("# {}", context.output_directory.join(name).display());
        output.line(&output.paint(Paint::Dim, &visible(&heading)))?;
        output.bytes(text.as_bytes())?;
    }
    Ok(())
}

fn print(definition: &Definition, output: &mut Output) -> anyhow::Result<()> {
    output.line(&output.paint(Paint::Bold, &visible(&definition.name)))?;
    for (name, text) in fields(definition) {
        let name = output.paint(Paint::Dim, &format!("{name:<12}"));
        output.line(&format!("  {name} {}", visible(&text)))?;
    }
    Ok(())
}

/// What was understood, key by key, without what was not said.
fn fields(definition: &Definition) -> Vec<(&'static str, String)> {
    let Container {
        root,
        entrypoint,
        exec,
        environment,
        environment_files,
        timezone,
        working_dir,
        user,
        group,
        group_add,
        hostname,
        volumes,
        secrets,
        tmpfs,
        shm_size,
        read_only,
        read_only_tmpfs,
        mask,
        unmask,
        devices,
        sysctls,
        add_host,
        dns,
        dns_search,
        dns_option,
        add_capability,
        drop_capability,
        user_namespace,
        seccomp_profile,
        security_labels,
        abstract_sockets,
        network,
        stop_signal,
        activation,
        notify,
        // Stands in the unit as it was written.
        clean_ends: _,
        idle,
        health,
        renewal,
        labels,
    } = &definition.container;
    let mut fields = vec![("Source", definition.source.display().to_string())];
    fields.extend(
        definition
            .drop_ins
            .iter()
            .map(|path| ("Drop-in", path.display().to_string())),
    );
    fields.push(match root {
        Root::Image(image) => ("Image", image.clone()),
        Root::Rootfs(path) => ("Rootfs", path.display().to_string()),
    });
    let words = |words: &Vec<String>| {
        words
            .iter()
            .map(|word| format!("{word:?}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    fields.extend(entrypoint.as_ref().map(|command| ("Entrypoint", words(command))));
    fields.extend(exec.as_ref().map(|command| ("Exec", words(command))));
    fields.extend(
        environment
            .iter()
            .map(|(name, value)| ("Environment", format!("{name}={value}"))),
    );
    fields.extend(environment_files.iter().map(|file| {
        let mark = if file.optional { "-" } else { "" };
        ("EnvironmentFile", format!("{mark}{}", file.path.display()))
    }));
    let optional = [
        ("Timezone", timezone),
        ("WorkingDir", working_dir),
        ("User", user),
        ("Group", group),
        ("HostName", hostname),
        ("ShmSize", shm_size),
    ];
    fields.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?))),
    );
    fields.extend(volumes.iter().map(|volume| {
        let access = if volume.read_only { ":ro" } else { "" };
        (
            "Volume",
            format!("{}:{}{access}", volume.source, volume.target.display()),
        )
    }));
    fields.extend(secrets.iter().map(|secret| ("Secret", secret.to_string())));
    fields.extend(tmpfs.iter().map(|tmpfs| {
        (
            "Tmpfs",
            format!("{} {}", tmpfs.target.display(), tmpfs.options.join(",")),
        )
    }));
    fields.extend(renewal.auto_update.map(|from| match from {
        AutoUpdate::Local => ("AutoUpdate", "local".to_owned()),
        AutoUpdate::Registry => ("AutoUpdate", "registry".to_owned()),
    }));
    fields.extend(renewal.reload.as_ref().map(|reload| match reload {
        Reload::Signal(signal) => ("ReloadSignal", signal.to_string()),
        Reload::Command(command) => ("ReloadCmd", words(command)),
    }));
    fields.extend(read_only.then(|| ("ReadOnly", "true".to_owned())));
    fields.extend(read_only_tmpfs.map(|is_on| ("ReadOnlyTmpfs", is_on.to_string())));
    let lists = [
        ("GroupAdd", group_add),
        ("Mask", mask),
        ("Unmask", unmask),
        ("DNSSearch", dns_search),
        ("DNSOption", dns_option),
    ];
    for (name, list) in lists {
        fields.extend(list.iter().map(|text| (name, text.clone())));
    }
    fields.extend(devices.iter().map(|device| {
        let (mark, access) = (if device.optional { "-" } else { "" }, &device.access);
        let text = format!("{mark}{}:{}:{access}", device.host.display(), device.target.display());
        ("AddDevice", text)
    }));
    fields.extend(
        sysctls
            .iter()
            .map(|sysctl| ("Sysctl", format!("{}={}", sysctl.path, sysctl.value))),
    );
    fields.extend(dns.iter().map(|server| ("DNS", server.to_string())));
    fields.extend(add_host.iter().map(|host| {
        (
            "AddHost",
            format!(
                "{}:{}",
                host.names.join(";"),
                host.address
                    .map_or_else(|| "host-gateway".to_owned(), |address| address.to_string())
            ),
        )
    }));
    fields.extend(add_capability.iter().map(|name| ("AddCapability", name.clone())));
    fields.extend(drop_capability.iter().map(|name| ("DropCapability", name.clone())));
    match user_namespace {
        UserNamespace::Auto => fields.push(("UserNS", "auto".to_owned())),
        UserNamespace::Host => fields.push(("UserNS", "host".to_owned())),
        UserNamespace::KeepId { user, group } => {
            let options = [("uid", user), ("gid", group)];
            let options = options
                .iter()
                .filter_map(|(name, id)| Some(format!("{name}={}", (**id)?)));
            let options = options.collect::<Vec<_>>().join(",");
            let colon = if options.is_empty() { "" } else { ":" };
            fields.push(("UserNS", format!("keep-id{colon}{options}")));
        }
        UserNamespace::Mapped { users, groups } => {
            fields.extend(users.iter().map(|extent| ("UIDMap", extent.to_string())));
            fields.extend(groups.iter().map(|extent| ("GIDMap", extent.to_string())));
        }
    }
    fields.extend(match seccomp_profile {
        SeccompProfile::Default => None,
        SeccompProfile::Unconfined => Some(("SeccompProfile", "unconfined".to_owned())),
        SeccompProfile::File(path) => Some(("SeccompProfile", path.clone())),
    });
    fields.extend(match &security_labels.app_armor {
        AppArmor::Default => None,
        AppArmor::Unconfined => Some(("AppArmor", "unconfined".to_owned())),
        AppArmor::Profile(name) => Some(("AppArmor", name.clone())),
    });
    let contexts = [
        ("SecurityLabelType", &security_labels.selinux_type),
        ("SecurityLabelLevel", &security_labels.selinux_level),
        ("SecurityLabelFileType", &security_labels.selinux_file_type),
    ];
    let contexts = contexts.into_iter();
    fields.extend(contexts.filter_map(|(name, value)| Some((name, value.clone()?))));
    let disabled = security_labels.selinux_disabled;
    fields.extend(disabled.then(|| ("SecurityLabelDisable", "true".to_owned())));
    fields.push(("Network", word(network)));
    fields.extend((!abstract_sockets.is_default()).then(|| ("AbstractSockets", word(abstract_sockets))));
    fields.extend(stop_signal.map(|signal| ("StopSignal", signal.to_string())));
    fields.extend(activation.as_ref().map(|activation| ("Activation", word(activation))));
    fields.extend(notify.as_ref().map(|notify| ("Notify", word(notify))));
    if let Some(idle) = idle {
        fields.push(("IdleTimeout", format!("{}ms", idle.timeout)));
        fields.extend(idle.ignores_cpu.then(|| ("IdleIgnoresCpu", "true".to_owned())));
    }
    fields.extend(health.iter().flat_map(health::fields));
    fields.extend(labels.iter().map(|(name, value)| ("Label", format!("{name}={value}"))));
    for socket in &definition.sockets {
        fields.extend(
            socket
                .listen
                .iter()
                .map(|listen| ("Socket", format!("{}.socket: {}", socket.unit, describe(listen)))),
        );
    }
    fields
}

/// The word that stands for a value in a definition.
fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn describe(listen: &Listen) -> String {
    let kind = match listen.kind {
        SocketKind::Stream => "stream",
        SocketKind::Datagram => "datagram",
        SocketKind::SequentialPacket => "sequential packets",
        SocketKind::Fifo => "named pipe",
    };
    let container = match &listen.container {
        ContainerAddress::Port(port) => format!("port {port}"),
        address => address.to_string(),
    };
    format!("{kind} {}, for {container} in the container", listen.address)
}
