//! The definitions of networks, and what becomes of them in those of containers.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::keys;
use crate::definition::network::{DEFAULT, Joined, Loaded, Network, subnets};
use crate::definition::places::scan::{self, Found, Scan};
use crate::definition::places::{self, Places, Scope};
use crate::definition::resolve::attachment::{self, Missing};
use crate::definition::toml;
use crate::unitfile::name as unit;

/// All networks in the places, by the names that `Network=` refers to them with.
#[must_use]
pub fn load_all(places: &Places) -> BTreeMap<String, Loaded> {
    load(places, &Scan::of(places))
}

pub(super) fn load(places: &Places, scan: &Scan) -> BTreeMap<String, Loaded> {
    let found = scan.definitions.iter().filter(|(name, _)| scan::is_network(name));
    let loaded = found.filter_map(|(name, found)| load_found(places, scan, name, found));
    subnets::complete(loaded.collect())
}

/// One network; nothing if it is masked.
pub(super) fn load_found(places: &Places, scan: &Scan, name: &OsStr, found: &Found) -> Option<Loaded> {
    let read = match places::read_found(places, scan, name, found)? {
        Ok(read) => read,
        Err(broken) => {
            let mut loaded = Loaded {
                diagnostics: broken.diagnostics,
                ..Loaded::default()
            };
            loaded.definition.name = stem(&broken.definition.name).to_owned();
            loaded.definition.source = broken.definition.source;
            return Some(loaded);
        }
    };
    let (definition, mut diagnostics) = toml::parse_network(stem(&read.name), &read.source, &read.text, &read.drop_ins);
    diagnostics.extend(read.problems);
    if read.name.contains('@') {
        let message = "a network is no template, rename the file".to_owned();
        diagnostics.push(Diagnostic::whole_file(Severity::Error, &read.source, message));
    }
    Some(Loaded {
        definition,
        diagnostics,
    })
}

fn stem(name: &str) -> &str {
    name.strip_suffix(".network").unwrap_or(name)
}

/// The definition of a container with the networks that it names, and what is to be said where there is none.
pub(super) fn link(mut loaded: places::Loaded, networks: &BTreeMap<String, Loaded>, scope: Scope) -> places::Loaded {
    if !matches!(loaded.definition.container.network, Network::Bridges(_)) {
        return loaded;
    }
    let find = |name: &str| match networks.get(name) {
        _ if scope == Scope::User => Err(Missing {
            message: format!("'Network': a bridge such as '{name}' takes root, which a user's manager does not have"),
            suggestion: Some("define the container in '/etc/coracle', or write 'none' or 'host'".to_owned()),
        }),
        Some(network) if network.diagnostics.iter().any(|one| one.severity == Severity::Error) => Err(format!(
            "the network '{name}' cannot be made, see the mistakes in '{}'",
            network.definition.source.display()
        )
        .into()),
        Some(network) => Ok(&network.definition.bridge),
        None => Err(Missing {
            message: format!("there is no network '{name}': no '{name}.network.toml' beside the definitions"),
            suggestion: keys::nearest_of(name, networks.keys().map(String::as_str))
                .filter(|near| *near != DEFAULT)
                .map(|near| format!("did you mean '{near}.network'?")),
        }),
    };
    let said = attachment::link(&mut loaded.definition, find);
    loaded.diagnostics.extend(said);
    in_order(&mut loaded);
    loaded
}

/// What is said comes in the order of the files and their lines.
fn in_order(loaded: &mut places::Loaded) {
    let drop_ins = &loaded.definition.drop_ins;
    loaded.diagnostics.sort_by_key(|one| one.order(drop_ins));
}

/// Containers by their names: the stems of their units, and their networks.
type Targets = BTreeMap<String, (String, Network)>;

fn targets<'l>(all: impl Iterator<Item = &'l places::Loaded>) -> Targets {
    all.map(|loaded| {
        let definition = &loaded.definition;
        let target = (definition.stem().to_owned(), definition.container.network.clone());
        (definition.name.clone(), target)
    })
    .collect()
}

/// Finds the containers whose networks others share, once all are there.
pub(super) fn join(definitions: &mut [places::Loaded], scope: Scope) {
    let joins = |loaded: &places::Loaded| !loaded.definition.container.network.is_own();
    if definitions.iter().any(joins) {
        let targets = targets(definitions.iter());
        definitions.iter_mut().for_each(|one| join_one(one, &targets, scope));
    }
}

fn join_one(loaded: &mut places::Loaded, targets: &Targets, scope: Scope) {
    let definition = &mut loaded.definition;
    let found = match &mut definition.container.network {
        Network::Container(_) | Network::Path(_) if scope == Scope::User => {
            Err("'Network': to join a network namespace takes root: define the container in '/etc/coracle'".to_owned())
        }
        Network::Container(joined) if joined.unit == definition.name => {
            Err("'Network': a container cannot share its own network".to_owned())
        }
        Network::Container(joined) => target(&joined.unit, targets).map(|found| *joined = found),
        _ => Ok(()),
    };
    if let (Err(message), Some(Some(place))) = (found, definition.passthrough.network_places.first()) {
        loaded.diagnostics.push(Diagnostic {
            message,
            ..place.clone()
        });
        in_order(loaded);
    }
}

/// Definitions that lie in none of the places, with the networks that they name: of those in `places`, and of those beside them.
#[must_use]
pub fn complete(mut loaded: Vec<places::Loaded>, places: &Places) -> Vec<places::Loaded> {
    for one in &mut loaded {
        if matches!(one.definition.container.network, Network::Bridges(_)) {
            let mut near = places.clone();
            let beside = one.definition.source.parent();
            near.directories
                .insert(0, beside.map_or_else(PathBuf::new, Path::to_path_buf));
            *one = link(std::mem::take(one), &load_all(&near), places.scope);
        }
    }
    let joins = |loaded: &places::Loaded| matches!(loaded.definition.container.network, Network::Container(_));
    if !loaded.iter().any(joins) {
        return loaded;
    }
    let names: Vec<String> = loaded.iter().map(|one| one.definition.name.clone()).collect();
    let mut all = places::load(places);
    all.retain(|other| !names.contains(&other.definition.name));
    // Whose networks are found already is only looked at.
    let targets = targets(loaded.iter().chain(&all));
    loaded.iter_mut().for_each(|one| join_one(one, &targets, places.scope));
    loaded
}

/// The container of this name, or of the template that it is an instance of.
fn target(name: &str, targets: &Targets) -> Result<Joined, String> {
    let template = name
        .split_once('@')
        .map(|(prefix, instance)| (format!("{prefix}@"), instance));
    let (stem, network) = match (targets.get(name), &template) {
        (Some((stem, network)), _) => (stem.clone(), network),
        (None, Some((template, instance))) => match targets.get(template) {
            Some((stem, network)) => (unit::instantiate(stem, instance).into_owned(), network),
            None => return Err(format!("there is no container '{name}', nor a template '{template}'")),
        },
        (None, None) => return Err(format!("there is no container '{name}' whose network could be shared")),
    };
    match network {
        Network::Host => Err(format!("'{name}' has the host's network: write 'host'")),
        network => Ok(Joined {
            unit: [&stem, ".service"].concat(),
            servers: network.servers(),
        }),
    }
}
