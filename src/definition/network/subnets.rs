//! Gives subnets and interface names to the networks that have none of their own.
//!
//! What a network gets follows from its name alone, unless that is another definition's already: then the next one is taken, in the
//! order of the names, so that the same definitions always give the same subnets. Two definitions that name overlapping subnets, or the
//! same interface, are a mistake in both.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::network::subnet::{Block, Subnet};
use crate::definition::network::{DEFAULT, Definition, Loaded, hash};

/// Where subnets of IPv4 come from: 4,096 of 256 addresses each, beside those that Podman and Docker take theirs from.
const POOL: Ipv4Addr = Ipv4Addr::new(10, 208, 0, 0);
const SLOTS: u32 = 1 << 12;

/// The networks by the names that `Network=` refers to them with, complete; the default one is always among them.
#[must_use]
pub fn complete(loaded: Vec<Loaded>) -> BTreeMap<String, Loaded> {
    let mut networks: BTreeMap<String, Loaded> = loaded
        .into_iter()
        .map(|one| (one.definition.name.clone(), one))
        .collect();
    if !networks.contains_key(DEFAULT) {
        let mut default = Loaded::default();
        DEFAULT.clone_into(&mut default.definition.name);
        DEFAULT.clone_into(&mut default.definition.bridge.name);
        networks.insert(DEFAULT.to_owned(), default);
    }
    let mut blocks: Vec<Block> = networks
        .values()
        .flat_map(|one| one.definition.bridge.subnets.iter().map(|subnet| subnet.block))
        .collect();
    for one in networks.values_mut() {
        let definition = &mut one.definition;
        let subnets = &mut definition.bridge.subnets;
        let mut wanted = Vec::new();
        if subnets.is_empty() {
            wanted.extend(blocks_of(&definition.name).find(|block| !blocks.iter().any(|other| other.overlaps(block))));
        }
        if definition.ipv6 && subnets.iter().all(|subnet| subnet.block.base.is_ipv4()) {
            wanted.push(unique_local(&definition.name));
        }
        for block in wanted {
            blocks.push(block);
            subnets.extend(block.nth(1).map(|gateway| Subnet {
                block,
                gateway,
                range: None,
            }));
        }
        if definition.bridge.interface.is_empty() {
            definition.bridge.interface = interface(&definition.bridge.name);
        }
    }
    refuse_collisions(&mut networks);
    networks
}

/// The bridge's interface: its name tells the network where that is short enough (15 bytes in all).
fn interface(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.len() <= 11 && name.bytes().all(plain) {
        format!("cor-{name}")
    } else {
        format!("cor-{:011x}", hash(name.as_bytes()) & 0xfff_ffff_ffff)
    }
}

/// The blocks of the pool, the likeliest for this name first.
fn blocks_of(name: &str) -> impl Iterator<Item = Block> {
    let hash = hash(name.as_bytes());
    let start = u32::try_from((hash ^ (hash >> 32)) & u64::from(SLOTS - 1)).unwrap_or_default();
    (0..SLOTS).map(move |step| {
        let slot = (start + step) % SLOTS;
        Block {
            base: IpAddr::V4(Ipv4Addr::from(u32::from(POOL) + (slot << 8))),
            prefix: 24,
        }
    })
}

/// A subnet of unique local addresses (RFC 4193): there are so many that no two names have the same.
fn unique_local(name: &str) -> Block {
    let base = (0xfd_u128 << 120) | (u128::from(hash(name.as_bytes()) >> 8) << 64);
    Block {
        base: IpAddr::V6(Ipv6Addr::from(base)),
        prefix: 64,
    }
}

fn refuse_collisions(networks: &mut BTreeMap<String, Loaded>) {
    let all: Vec<Definition> = networks.values().map(|one| one.definition.clone()).collect();
    for one in networks.values_mut() {
        let definition = &one.definition;
        // The default network has no file that could be at fault.
        if definition.source.as_os_str().is_empty() {
            continue;
        }
        let places = &definition.places;
        let mut errors = Vec::new();
        for other in all.iter().filter(|other| other.name != definition.name) {
            let file = match other.source.as_os_str().is_empty() {
                true => "the default network".to_owned(),
                false => format!("'{}'", other.source.display()),
            };
            let theirs = &other.bridge;
            for subnet in &definition.bridge.subnets {
                if let Some(other) = theirs.subnets.iter().find(|other| other.block.overlaps(&subnet.block)) {
                    let place = places.blocks.iter().find(|(block, _)| *block == subnet.block);
                    let message = format!("its subnet {} overlaps with {} of {file}", subnet.block, other.block);
                    errors.push((place.map(|(_, place)| place), message));
                }
            }
            if theirs.interface == definition.bridge.interface {
                let message = format!("its interface '{}' is also that of {file}", theirs.interface);
                errors.push((places.interface.as_ref(), message));
            }
            if theirs.name == definition.bridge.name {
                let message = format!("its name '{}' is also that of {file}", theirs.name);
                errors.push((places.name.as_ref(), message));
            }
        }
        let error = |(place, message)| Diagnostic::at(place, Severity::Error, &definition.source, message);
        one.diagnostics.extend(errors.into_iter().map(error));
    }
}
