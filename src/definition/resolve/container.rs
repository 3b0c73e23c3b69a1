//! `[Container]`: each key that is carried out, and what it sets.

use std::path::PathBuf;

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Key;
use crate::definition::name;
use crate::definition::report::Span;
use crate::definition::resolve::attachment::Networks;
use crate::definition::resolve::health;
use crate::definition::resolve::identities::Identities;
use crate::definition::resolve::idle;
use crate::definition::resolve::mount::Mounted;
use crate::definition::resolve::names::{added_group, capabilities, group, hostname, signal, user};
use crate::definition::resolve::ports::publish;
use crate::definition::resolve::renewal::Renewal;
use crate::definition::resolve::systemd::Given;
use crate::definition::resolve::values::is_absolute;
use crate::definition::resolve::{Resolver, Tried};
use crate::definition::setting::{Data, Setting, Value};
use crate::definition::{Activation, Container, Definition, Listen, Notify, Root, SeccompProfile, Sysctl};
use crate::image::reference::Reference;

/// `[Container]` so far.
#[derive(Default)]
pub(super) struct Draft {
    container: Container,
    image: Option<(String, Span)>,
    rootfs: Option<(String, Span)>,
    ports: Vec<(Listen, Span)>,
    memory: Option<Given>,
    pids_limit: Option<Given>,
    stop_timeout: Option<Given>,
    limits: Vec<Given>,
    sysctls: Vec<(Sysctl, Span)>,
    mounts: Vec<Mounted>,
    service_name: Option<String>,
    identities: Identities,
    networks: Networks,
    pub(super) idle: idle::Draft,
    renewal: Renewal,
    health: health::Draft,
}

/// Appends unless the value takes back what is there.
fn add<T>(list: &mut Vec<T>, value: &Value<'_>, new: impl IntoIterator<Item = T>) {
    if value.is_reset() {
        list.clear();
    }
    list.extend(new);
}

impl Draft {
    /// Takes one setting of a key that is carried out.
    pub(super) fn set(&mut self, key: &Key, setting: &Setting<'_>, to: &mut Resolver<'_, '_>) {
        let value = &setting.value;
        let container = &mut self.container;
        let labels = &mut container.security_labels;
        // What an empty value takes back is the same for all keys that are given once.
        let reset = value.is_reset();
        if reset && matches!(key.name, "Image" | "Rootfs") {
            to.root = Tried::No;
        }
        match key.name {
            "Image" => self.image = once(reset, || image(to, key, value)),
            "Rootfs" => self.rootfs = once(reset, || rootfs(to, key, value)),
            "Entrypoint" => container.entrypoint = once(reset, || to.command(key, value)),
            "Exec" => container.exec = once(reset, || to.command(key, value)),
            "Environment" => {
                let pairs = if reset { Vec::new() } else { to.pairs(key, value) };
                add(&mut container.environment, value, pairs);
            }
            "Label" | "Annotation" => {
                let pairs = if reset { Vec::new() } else { to.pairs(key, value) };
                add(&mut container.labels, value, pairs);
            }
            "EnvironmentFile" => {
                let new = each(reset, to, key, value, Resolver::environment_file);
                add(&mut container.environment_files, value, new);
            }
            "Timezone" => container.timezone = once(reset, || to.time_zone(key, value)),
            "WorkingDir" => container.working_dir = once(reset, || to.absolute(key, value)),
            "User" => container.user = once(reset, || user(to, key, value)),
            "Group" => container.group = once(reset, || group(to, key, value)),
            "GroupAdd" => {
                let new = each(reset, to, key, value, added_group);
                add(&mut container.group_add, value, new);
            }
            "HostName" => container.hostname = once(reset, || hostname(to, key, value)),
            "Volume" => {
                let new = each(reset, to, key, value, Resolver::volume);
                add(&mut container.volumes, value, new);
            }
            "Mount" => {
                let new = each(reset, to, key, value, Resolver::mount);
                add(&mut self.mounts, value, new);
            }
            "Tmpfs" => {
                let new = each(reset, to, key, value, Resolver::tmpfs);
                add(&mut container.tmpfs, value, new);
            }
            "Secret" => {
                let new = each(reset, to, key, value, Resolver::secret);
                add(&mut container.secrets, value, new);
            }
            "ShmSize" => container.shm_size = once(reset, || shm_size(to, key, value)),
            "Ulimit" => {
                let new = if reset { Vec::new() } else { to.limits(key, setting) };
                add(&mut self.limits, value, new);
            }
            "AddDevice" => {
                let new = each(reset, to, key, value, Resolver::device);
                add(&mut container.devices, value, new);
            }
            "Sysctl" => {
                let new = if reset { Vec::new() } else { to.sysctls(key, value) };
                add(&mut self.sysctls, value, new);
            }
            "Mask" => container.mask = once(reset, || Some(to.masks(key, value))).unwrap_or_default(),
            "Unmask" => container.unmask = once(reset, || Some(to.masks(key, value))).unwrap_or_default(),
            "AddHost" => {
                let new = each(reset, to, key, value, Resolver::host);
                add(&mut container.add_host, value, new);
            }
            "DNS" => {
                let new = each(reset, to, key, value, Resolver::name_server);
                add(&mut container.dns, value, new);
            }
            "DNSSearch" => {
                let new = each(reset, to, key, value, Resolver::search_domain);
                add(&mut container.dns_search, value, new);
            }
            "DNSOption" => {
                let new = each(reset, to, key, value, Resolver::resolver_option);
                add(&mut container.dns_option, value, new);
            }
            "ReadOnlyTmpfs" => container.read_only_tmpfs = once(reset, || to.boolean(key, value)),
            "ReadOnly" => container.read_only = once(reset, || to.boolean(key, value)).unwrap_or_default(),
            "AddCapability" => {
                let new = capabilities(reset, to, key, value);
                add(&mut container.add_capability, value, new);
            }
            "DropCapability" => {
                let new = capabilities(reset, to, key, value);
                add(&mut container.drop_capability, value, new);
            }
            "UserNS" => self.identities.namespace = once(reset, || to.user_namespace(key, value)),
            "UIDMap" => {
                let new = each(reset, to, key, value, Resolver::extent);
                add(&mut self.identities.users, value, new);
            }
            "GIDMap" => {
                let new = each(reset, to, key, value, Resolver::extent);
                add(&mut self.identities.groups, value, new);
            }
            "SeccompProfile" => {
                container.seccomp_profile = once(reset, || seccomp_profile(to, key, value)).unwrap_or_default();
            }
            "AppArmor" => labels.app_armor = once(reset, || to.app_armor(key, value)).unwrap_or_default(),
            "SecurityLabelType" => labels.selinux_type = once(reset, || to.selinux_type(key, value)),
            "SecurityLabelFileType" => labels.selinux_file_type = once(reset, || to.selinux_type(key, value)),
            "SecurityLabelLevel" => labels.selinux_level = once(reset, || to.selinux_level(key, value)),
            "SecurityLabelDisable" => {
                labels.selinux_disabled = once(reset, || to.boolean(key, value)).unwrap_or_default();
            }
            "AbstractSockets" => {
                container.abstract_sockets = once(reset, || to.abstract_sockets(key, value)).unwrap_or_default();
            }
            "Network" => {
                let new = each(reset, to, key, value, Resolver::network);
                add(&mut self.networks.wanted, value, new);
            }
            "IP" | "IP6" => {
                let new = each(reset, to, key, value, Resolver::own_address).pop();
                self.networks.addresses[usize::from(key.name == "IP6")] = new;
            }
            "NetworkAlias" => {
                let new = each(reset, to, key, value, Resolver::network_alias);
                add(&mut self.networks.aliases, value, new);
            }
            "StopSignal" => container.stop_signal = once(reset, || signal(to, key, value)),
            "StopTimeout" => {
                self.stop_timeout = once(reset, || Given::by(setting, "TimeoutStopSec", to.time_span(key, value)))
            }
            "Memory" => self.memory = once(reset, || Given::by(setting, "MemoryMax", to.size(key, value))),
            "PidsLimit" => self.pids_limit = once(reset, || Given::by(setting, "TasksMax", pids_limit(to, key, value))),
            "ServiceName" => self.service_name = once(reset, || service_name(to, key, value)),
            "PublishPort" => {
                let new = each(reset, to, key, value, published);
                add(&mut self.ports, value, new.into_iter().flatten());
            }
            "Activation" => container.activation = once(reset, || activation(to, key, value)),
            "AutoUpdate" | "ReloadCmd" | "ReloadSignal" => self.renewal.set(key, value, to),
            "Notify" => container.notify = once(reset, || notify(to, key, value)),
            "IdleTimeout" => self.idle.timeout = once(reset, || to.idle_timeout(key, value)),
            "IdleIgnoresCpu" => self.idle.ignores_cpu = once(reset, || to.boolean(key, value)).unwrap_or_default(),
            name if name.starts_with("Health") => self.health.set(key, value, to),
            "NoNewPrivileges" | "RunInit" if !reset && to.boolean(key, value) == Some(false) => {
                let message = format!("'{}' is always true so far, ignoring", key.name);
                to.report.warning(value.span, message);
            }
            "LogDriver" if !reset => log_driver(to, key, value),
            _ => {}
        }
    }

    /// Puts everything into the definition; what is left are the published ports.
    /// `service` are the lines of [Service].
    pub(super) fn finish(
        self,
        definition: &mut Definition,
        service: &mut Vec<Given>,
        to: &mut Resolver<'_, '_>,
    ) -> Vec<(Listen, Span)> {
        definition.container = self.container;
        for mounted in self.mounts {
            match mounted {
                Mounted::Volume(volume) => definition.container.volumes.push(*volume),
                Mounted::Memory(tmpfs) => definition.container.tmpfs.push(tmpfs),
            }
        }
        self.renewal.finish(definition, service, to);
        self.health.finish(definition);
        to.networks(self.networks, definition);
        to.check_sysctls(&self.sysctls, &definition.container.network);
        definition.container.sysctls = self.sysctls.into_iter().map(|(sysctl, _)| sysctl).collect();
        definition.container.user_namespace = to.identities(self.identities);
        definition.container.root = match (self.image, self.rootfs) {
            (Some((image, _)), None) => Root::Image(image),
            (None, Some((rootfs, _))) => Root::Rootfs(PathBuf::from(rootfs)),
            (Some((image, first)), Some((_, second))) => {
                let message = "a container is made of either Image or Rootfs, remove one of them".to_owned();
                to.report.error(first.max(second), message);
                Root::Image(image)
            }
            (None, None) => Root::default(),
        };
        // In front of what [Service] says itself, so that [Service] has the last word.
        let limits = [self.memory, self.pids_limit, self.stop_timeout];
        service.splice(0..0, limits.into_iter().flatten().chain(self.limits));
        definition.passthrough.service_name = self.service_name;
        self.ports
    }
}

/// The value of a key that is given once: nothing where it takes back what was set.
fn once<T>(reset: bool, value: impl FnOnce() -> Option<T>) -> Option<T> {
    if reset { None } else { value() }
}

/// The values of a key that is given several times.
fn each<'r, 'a, T>(
    reset: bool,
    to: &mut Resolver<'r, 'a>,
    key: &Key,
    value: &Value<'_>,
    take: impl Fn(&mut Resolver<'r, 'a>, &Key, &str, Span) -> Option<T>,
) -> Vec<T> {
    if reset {
        return Vec::new();
    }
    let texts = to.texts(key, value);
    texts
        .into_iter()
        .filter_map(|(text, span)| take(to, key, &text, span))
        .collect()
}

fn image(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<(String, Span)> {
    to.root = Tried::Yes;
    let text = to.text(key, value)?;
    if text.ends_with(".image") || text.ends_with(".build") {
        to.impossible(
            key,
            value.span,
            format_args!("'{text}' names a unit, which is not carried out yet; name the image itself"),
        );
        return None;
    }
    // A specifier is known only at the start.
    let mistake = match text.contains('%') {
        true => text
            .chars()
            .find(|c| !c.is_ascii_graphic())
            .map(|c| format!("an image's name cannot hold '{}'", c.escape_debug())),
        false => text.parse::<Reference>().err().map(|mistake| mistake.to_string()),
    };
    if let Some(why) = mistake {
        to.impossible(key, value.span, why);
        return None;
    }
    Some((text.into_owned(), value.span))
}

fn rootfs(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<(String, Span)> {
    to.root = Tried::Yes;
    let path = to.absolute(key, value)?;
    if path.ends_with(":O") || path.ends_with(":idmap") || path.contains(":idmap=") {
        let why = "options of a root directory are not carried out yet, write the path alone (writes go to a layer that vanishes at stop)";
        to.impossible(key, value.span, why);
        return None;
    }
    Some((path, value.span))
}

fn published(to: &mut Resolver<'_, '_>, key: &Key, text: &str, span: Span) -> Option<Vec<(Listen, Span)>> {
    match publish(text) {
        Ok(listens) if !to.takes_addresses(listens.len(), span) => None,
        Ok(listens) => Some(listens.into_iter().map(|listen| (listen, span)).collect()),
        Err(mistake) => {
            let message = format!("'{}': {}", key.name, mistake.why);
            to.report.say(Severity::Error, span, message, mistake.suggestion);
            None
        }
    }
}

/// Whether the file is a profile is seen at the start, when it is read.
fn seccomp_profile(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<SeccompProfile> {
    let text = to.text(key, value)?;
    if text == "unconfined" {
        return Some(SeccompProfile::Unconfined);
    }
    if is_absolute(&text) {
        return Some(SeccompProfile::File(text.into_owned()));
    }
    let why = format_args!("'{text}' is neither an absolute path nor 'unconfined'; the default profile needs no key");
    to.impossible(key, value.span, why);
    None
}

/// Podman's -1 and 0 mean no limit.
fn pids_limit(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<String> {
    match value.data {
        Data::Integer(-1 | 0) => Some("infinity".to_owned()),
        Data::Integer(limit) if (1..=i128::from(u32::MAX)).contains(&limit) => Some(limit.to_string()),
        Data::Integer(limit) => {
            to.impossible(
                key,
                value.span,
                format_args!("{limit} is no limit, write a number from 1 on, or -1 for none"),
            );
            None
        }
        Data::Text(ref text) if text == "infinity" => Some("infinity".to_owned()),
        _ => {
            to.wrong_type(key, value);
            None
        }
    }
}

/// tmpfs(5) has no word for no limit but a size of 0.
fn shm_size(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<String> {
    let size = to.size(key, value)?;
    Some(if size == "infinity" { "0".to_owned() } else { size })
}

fn service_name(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<String> {
    let text = to.text(key, value)?;
    let text = text.strip_suffix(".service").unwrap_or(&text);
    match name::mistake(text) {
        None => Some(text.to_owned()),
        Some(why) => {
            to.impossible(key, value.span, why);
            None
        }
    }
}

fn activation(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<Activation> {
    let modes = [
        ("intercept", Activation::Intercept),
        ("inherit", Activation::Inherit),
        ("proxy", Activation::Proxy),
        ("accept", Activation::Accept),
    ];
    to.choice(key, value, &modes)
}

/// Quadlet's booleans are taken too: true lets the program notify, false does not.
fn notify(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) -> Option<Notify> {
    if let Data::Boolean(notifies) = value.data {
        return Some(if notifies { Notify::Yes } else { Notify::Started });
    }
    let times = [
        ("listening", Notify::Listening),
        ("started", Notify::Started),
        ("yes", Notify::Yes),
        ("healthy", Notify::Healthy),
    ];
    to.choice(key, value, &times)
}

fn log_driver(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) {
    let Some(text) = to.text(key, value) else { return };
    if !matches!(text.as_ref(), "journald" | "passthrough") {
        let message = format!("'{}' is always 'journald', ignoring", key.name);
        let suggestion = Some("use StandardOutput= in [Service] for another place".to_owned());
        to.report.say(Severity::Warning, value.span, message, suggestion);
    }
}
