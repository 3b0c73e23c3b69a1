//! `[Unit]` of the service.
//!
//! systemd closes a socket for good when a connection starts a service whose `Requires=` fails or whose `Condition…=` is false. So a
//! socket-activated service has neither: conditions and assertions are asked elsewhere ([`condition`]); hard dependencies are `Wants=` in the
//! definition already ([`crate::definition::keys::refused`]), and mount points are wanted, not required.

use std::borrow::Cow;
use std::path::Path;

use crate::definition::network::Network;
use crate::definition::volume::{Backing, DIRECTORY, Source};
use crate::definition::{Definition, Root};
use crate::generate::service::{self, Lines};
use crate::generate::{Context, accept, condition};
use crate::unitfile::{name, quote, words};

/// The service's `[Unit]`.
#[must_use]
pub fn service<'a>(definition: &'a Definition, context: &Context) -> Lines<'a> {
    let defaults = defaults(definition, service::description(definition));
    let mut lines = service::over_defaults(defaults, given(definition, context));
    lines.extend(own_sockets(definition));
    lines.extend(names(definition));
    lines.extend(joined(definition));
    lines.extend(mounts(&sources(definition), is_activated(definition), context));
    lines
}

/// That of a service that its sockets start and that only fails: nothing of the user's but the order, so that it starts nothing else.
#[must_use]
pub fn failing(definition: &Definition, description: String) -> Lines<'_> {
    let mut given = service::given(&definition.passthrough.unit);
    given.retain(|(key, _)| matches!(*key, "After" | "Before" | "DefaultDependencies"));
    let mut lines = service::over_defaults(defaults(definition, description), given);
    lines.extend(own_sockets(definition));
    lines
}

fn defaults(definition: &Definition, description: String) -> Lines<'static> {
    let mut defaults: Lines<'_> = vec![
        ("Description", description.into()),
        ("SourcePath", source_path(definition).into()),
        // Nobody ever needs reset-failed, and no socket dies of its service's failures.
        ("StartLimitIntervalSec", "0".into()),
    ];
    if definition.accepts() {
        defaults.extend(accept::unit());
    }
    if definition.is_proxied() && definition.container.idle.is_some() {
        defaults.push(("StopWhenUnneeded", "yes".into()));
    }
    defaults
}

/// `SourcePath=`, by which systemd notices that a reload is due.
#[must_use]
pub fn source_path(definition: &Definition) -> String {
    quote::text(&definition.source.to_string_lossy()).into_owned()
}

/// The user's last `Description=`.
#[must_use]
pub fn description(definition: &Definition) -> String {
    let given = definition
        .passthrough
        .unit
        .iter()
        .rev()
        .find(|line| line.key() == "Description" && !line.value().is_empty());
    given.map_or_else(|| service::description(definition), |line| line.value().to_owned())
}

fn is_activated(definition: &Definition) -> bool {
    !definition.sockets.is_empty()
}

/// A service that is started by hand gets its sockets too, and one whose socket is restarted is restarted with it.
fn own_sockets(definition: &Definition) -> Lines<'static> {
    // Instances come from their socket.
    if !is_activated(definition) || definition.accepts() {
        return Lines::new();
    }
    let units: Vec<String> = definition
        .sockets
        .iter()
        .map(|socket| [&service::instance_of(&socket.unit), ".socket"].concat())
        .collect();
    // Where the sockets are a proxy's, it is this one that is ordered after them.
    let keys = match definition.is_proxied() {
        true => ["Wants", "PartOf"],
        false => ["Requires", "After"],
    };
    keys.map(|key| (key, units.join(" ").into())).into()
}

/// A container that shares another's network ends with that one. With sockets it only wants that one, and looks for it itself when it starts.
fn joined(definition: &Definition) -> Lines<'_> {
    let Network::Container(joined) = &definition.container.network else {
        return Lines::new();
    };
    let keys: &[&str] = match is_activated(definition) {
        true => &["Wants", "PartOf", "After"],
        false => &["BindsTo", "After"],
    };
    keys.iter().map(|key| (*key, joined.unit.as_str().into())).collect()
}

/// Where containers are called by their names, somebody must answer.
fn names(definition: &Definition) -> Lines<'static> {
    let Network::Bridges(attachments) = &definition.container.network else {
        return Lines::new();
    };
    if attachments.iter().all(|one| one.bridge.without_names) {
        return Lines::new();
    }
    ["Wants", "After"].map(|key| (key, "coracle-dns.path".into())).into()
}

/// Paths on the host that must be mounted.
fn sources(definition: &Definition) -> Vec<String> {
    let container = &definition.container;
    let rootfs = match &container.root {
        Root::Rootfs(path) => Some(path.as_path()),
        Root::Image(_) => None,
    };
    let rootfs = rootfs.map(Path::to_path_buf);
    let volumes = container.volumes.iter().filter_map(|volume| match &volume.source {
        Source::Path(path) => Some(path.clone()),
        Source::Named(named) if named.settings.backing == Backing::Mount => {
            Some(Path::new(DIRECTORY).join(&named.name))
        }
        Source::Named(_) | Source::Anonymous(_) | Source::Image { .. } => None,
    });
    let mut paths: Vec<String> = Vec::new();
    for path in rootfs.into_iter().chain(volumes).filter(|path| is_mounted(path)) {
        let path = path.to_string_lossy().into_owned();
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// An absolute path, or one that begins with a specifier such as `%h`; the root is always mounted.
fn is_mounted(path: &Path) -> bool {
    (path.is_absolute() && path != Path::new("/")) || path.as_os_str().as_encoded_bytes().starts_with(b"%")
}

/// The dependency on mount points.
fn mounts(paths: &[String], activated: bool, context: &Context) -> Lines<'static> {
    if paths.is_empty() {
        return Lines::new();
    }
    let quoted: Vec<Cow<'_, str>> = paths.iter().map(|path| quote::list_word(path)).collect();
    match (activated, context.systemd_version) {
        (false, _) => vec![("RequiresMountsFor", quoted.join(" ").into())],
        (true, 256..) => vec![("WantsMountsFor", quoted.join(" ").into())],
        // What WantsMountsFor= does, by hand: a mount unit of that name may or may not exist. A specifier cannot be escaped here.
        (true, _) => {
            let mut units: Vec<String> = Vec::new();
            for path in paths.iter().filter(|path| !path.contains('%')) {
                for prefix in Path::new(path).ancestors().filter(|prefix| *prefix != Path::new("/")) {
                    let unit = format!("{}.mount", name::escape_path(&prefix.to_string_lossy()));
                    if name::is_valid(&unit) && !units.contains(&unit) {
                        units.push(unit);
                    }
                }
            }
            units.sort();
            if units.is_empty() {
                return Lines::new();
            }
            ["Wants", "After"].map(|key| (key, units.join(" ").into())).into()
        }
    }
}

/// What of the user's `[Unit]` reaches the service.
fn given<'a>(definition: &'a Definition, context: &Context) -> Lines<'a> {
    let lines = service::given(&definition.passthrough.unit);
    if !is_activated(definition) {
        return lines;
    }
    let mut kept = Lines::with_capacity(lines.len());
    for (key, value) in lines {
        match key {
            _ if condition::is_one(key) => {}
            "RequiresMountsFor" => {
                // The definition has no such line that cannot be split.
                let paths = words::split(&value).unwrap_or_default();
                kept.extend(mounts(&paths, is_activated(definition), context));
            }
            _ => kept.push((key, value)),
        }
    }
    kept
}
