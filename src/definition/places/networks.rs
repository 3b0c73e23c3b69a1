//! The definitions of networks, and what becomes of them in those of containers.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::network::{DEFAULT, Loaded, Network, subnets};
use crate::definition::places::scan::{self, Found, Scan};
use crate::definition::places::{self, Places, Scope};
use crate::definition::resolve::attachment;
use crate::definition::toml;

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
