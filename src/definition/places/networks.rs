//! The definitions of networks, and what becomes of them in those of containers.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::network::{DEFAULT, Joined, Loaded, Network, subnets};
use crate::definition::places::scan::{self, Found, Scan};
use crate::definition::places::{self, Places, Scope};
use crate::definition::resolve::attachment;
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
        _ if scope == Scope::User => Err(format!(
            "'Network': a bridge such as '{name}' takes root: define the container in '/etc/coracle', or write 'none' or 'host'"
        )),
        Some(network) if network.diagnostics.iter().any(|one| one.severity == Severity::Error) => Err(format!(
            "the network '{name}' cannot be made, see the mistakes in '{}'",
            network.definition.source.display()
        )),
        Some(network) => Ok(&network.definition.bridge),
        None if name == DEFAULT => Err("there is no default network".to_owned()),
        None => Err(format!(
            "there is no network '{name}': no '{name}.network.toml' beside the definitions"
        )),
    };
    let said = attachment::link(&mut loaded.definition, find);
    loaded.diagnostics.extend(said);
    loaded
}

/// Finds the containers whose networks others share, once all are there.
pub(super) fn join(definitions: &mut [places::Loaded], scope: Scope) {
    let joins = |loaded: &places::Loaded| !loaded.definition.container.network.is_own();
    if !definitions.iter().any(joins) {
        return;
    }
    let targets: BTreeMap<String, (String, Network)> = definitions
        .iter()
        .map(|loaded| {
            let definition = &loaded.definition;
            let target = (definition.stem().to_owned(), definition.container.network.clone());
            (definition.name.clone(), target)
        })
        .collect();
    for loaded in definitions {
        let definition = &mut loaded.definition;
        let found = match &mut definition.container.network {
            Network::Container(_) | Network::Path(_) if scope == Scope::User => Err(
                "'Network': to join a network namespace takes root: define the container in '/etc/coracle'".to_owned(),
            ),
            Network::Container(joined) if joined.unit == definition.name => {
                Err("'Network': a container cannot share its own network".to_owned())
            }
            Network::Container(joined) => target(&joined.unit, &targets).map(|found| *joined = found),
            _ => Ok(()),
        };
        if let (Err(message), Some(Some(place))) = (found, definition.passthrough.network_places.first()) {
            loaded.diagnostics.push(Diagnostic {
                message,
                ..place.clone()
            });
        }
    }
}

/// The same for files on their own, which may share the networks of containers in the places.
pub(super) fn join_files(files: Vec<places::Loaded>, system: &Places) -> Vec<places::Loaded> {
    let joins = |loaded: &places::Loaded| matches!(loaded.definition.container.network, Network::Container(_));
    if !files.iter().any(joins) {
        return files;
    }
    let names: Vec<String> = files.iter().map(|loaded| loaded.definition.name.clone()).collect();
    let mut all = places::load(system);
    all.retain(|other| !names.contains(&other.definition.name));
    let count = files.len();
    let mut all: Vec<places::Loaded> = files.into_iter().chain(all).collect();
    // What was joined already is found under its unit's name no more, and said nothing of: it is not returned.
    join(&mut all, system.scope);
    all.truncate(count);
    all
}

/// The container of this name, or of the template that it is an instance of.
fn target(name: &str, targets: &BTreeMap<String, (String, Network)>) -> Result<Joined, String> {
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
