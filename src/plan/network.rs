//! A container's interfaces on bridges: its addresses, its names, and what netavark(1) is asked for.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::definition::network::{Attachment, Network, hash};

/// What is asked of netavark for one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridges {
    /// The service unit.
    pub unit: String,
    /// What the container is called on its networks.
    pub name: String,
    /// `HostName=`, which it is called too.
    pub hostname: String,
    /// Its interfaces, in the order of the definition.
    pub interfaces: Vec<Interface>,
    /// `DNS=`: the servers that are asked for all other names, in place of the networks'.
    pub servers: Vec<IpAddr>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name in the container.
    pub name: String,
    /// The network, and what the definition says of the interface.
    pub attachment: Attachment,
    /// Its addresses, one in each of the network's subnets.
    pub addresses: Vec<IpAddr>,
}

/// The interfaces of a container on bridges; nothing where it has another kind of network. `addresses` are those of each in its order.
#[must_use]
pub fn bridges(
    network: &Network,
    unit: &str,
    hostname: &str,
    addresses: &[Vec<IpAddr>],
    servers: &[IpAddr],
) -> Option<Bridges> {
    let Network::Bridges(attachments) = network else {
        return None;
    };
    let named = |name: &str| attachments.iter().any(|one| one.interface.as_deref() == Some(name));
    // eth0, eth1 …, but for names that the definition gives to others.
    let mut free = (0..)
        .map(|number: usize| format!("eth{number}"))
        .filter(|name| !named(name));
    let interfaces = attachments
        .iter()
        .zip(addresses)
        .map(|(attachment, addresses)| Interface {
            name: attachment.interface.clone().or_else(|| free.next()).unwrap_or_default(),
            attachment: attachment.clone(),
            addresses: addresses.clone(),
        });
    Some(Bridges {
        unit: unit.to_owned(),
        name: unit.rsplit_once('.').map_or(unit, |(stem, _)| stem).to_owned(),
        hostname: hostname.to_owned(),
        interfaces: interfaces.collect(),
        servers: servers.to_owned(),
    })
}

impl Bridges {
    /// What netavark reads from its standard input.
    #[must_use]
    pub fn request(&self) -> Value {
        let (mut networks, mut infos) = (Map::new(), Map::new());
        for interface in &self.interfaces {
            let bridge = &interface.attachment.bridge;
            networks.insert(bridge.name.clone(), self.per_network(interface));
            infos.insert(bridge.name.clone(), info(interface));
        }
        let mut request = json!({
            "container_id": identifier(&self.unit),
            "container_name": self.name,
            "networks": networks,
            "network_info": infos,
        });
        if !self.servers.is_empty() {
            request["dns_servers"] = json!(self.servers);
        }
        request
    }

    fn per_network(&self, interface: &Interface) -> Value {
        let attachment = &interface.attachment;
        let mut aliases = attachment.aliases.clone();
        aliases.push(self.hostname.clone());
        aliases.retain(|alias| *alias != self.name);
        let mut value = json!({
            "interface_name": interface.name,
            "static_ips": interface.addresses,
            "aliases": aliases,
        });
        if let Some(mac) = &attachment.mac {
            value["static_mac"] = json!(mac);
        }
        value
    }
}

fn info(interface: &Interface) -> Value {
    let bridge = &interface.attachment.bridge;
    let mut options: Map<String, Value> = Map::new();
    // Networks are closed to one another, unless the definition says otherwise.
    options.insert("isolate".to_owned(), json!("true"));
    for (name, value) in &bridge.options {
        options.insert(name.clone(), json!(value));
    }
    let subnets: Vec<Value> = bridge
        .subnets
        .iter()
        .map(|subnet| json!({"subnet": subnet.block, "gateway": subnet.gateway}))
        .collect();
    let identity = identifier(&bridge.name).repeat(2);
    let mut info = json!({
        "name": bridge.name,
        "id": identity,
        "driver": "bridge",
        "network_interface": bridge.interface,
        "subnets": subnets,
        "ipv6_enabled": bridge.subnets.iter().any(|subnet| subnet.block.base.is_ipv6()),
        "internal": bridge.internal,
        "dns_enabled": !bridge.without_names,
        "options": options,
        "ipam_options": {"driver": "host-local"},
    });
    if !bridge.servers.is_empty() {
        info["network_dns_servers"] = json!(bridge.servers);
    }
    info
}

/// 32 hexadecimal digits that follow from a name: netavark wants identifiers as Podman's are, of which none is part of another.
#[must_use]
pub fn identifier(name: &str) -> String {
    let again = format!("{name}\0");
    format!(
        "{:016x}{:016x}",
        hash(name.as_bytes()),
        hash(again.as_bytes()).rotate_left(32)
    )
}

/// The addresses that a container would like best: those of its definition, and else what follows from its unit's name.
#[must_use]
pub fn likely(network: &Network, unit: &str) -> Vec<Vec<IpAddr>> {
    let Network::Bridges(attachments) = network else {
        return Vec::new();
    };
    let of_one = |attachment: &Attachment| {
        let subnets = attachment.bridge.subnets.iter();
        let fixed = |subnet: &crate::definition::network::subnet::Subnet| {
            attachment
                .addresses
                .iter()
                .copied()
                .find(|address| subnet.block.contains(*address))
        };
        subnets
            .filter_map(|subnet| fixed(subnet).or_else(|| subnet.candidates(unit).next()))
            .collect()
    };
    attachments.iter().map(of_one).collect()
}
