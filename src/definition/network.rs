//! Networks: what `NAME.network.toml` defines, and what a container's `Network=` makes of it.
//!
//! A network is a bridge with one subnet of each family that it has. Nothing of it exists before its first container starts, nor after
//! its last one has stopped, and it has no unit: the generator embeds it in the resolved definition of each container that names it.

pub mod subnet;
pub mod subnets;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::definition::diagnostic::Diagnostic;
use crate::definition::network::subnet::{Block, Subnet};

/// `Network=`: which network namespace a container has, and what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// One of its own with nothing but the loopback interface.
    #[default]
    None,
    /// The host's.
    Host,
    /// One of its own, from which pasta(1) leads outside. Only where it is a user's.
    Pasta,
    /// One of its own, with an interface on each of these bridges.
    Bridges(Vec<Attachment>),
    /// That of another container.
    Container(Joined),
    /// One that has a name in the file system.
    Path(PathBuf),
}

/// Another container, whose network namespace is shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Its service unit.
    pub unit: String,
    /// The servers that it asks for names; the host's where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<IpAddr>,
}

/// A container's interface on a bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// The network.
    pub bridge: Bridge,
    /// Addresses that the definition names, at most one of each family.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The interface's hardware address, `02:00:00:00:00:01`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The interface's name in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Names besides the container's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// A bridge with its subnets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bridge {
    /// `NetworkName=`, or the file's name.
    pub name: String,
    /// The bridge's own interface on the host.
    pub interface: String,
    /// One of each family.
    pub subnets: Vec<Subnet>,
    /// Nothing is forwarded to other networks or from them.
    #[serde(skip_serializing_if = "is_false")]
    pub internal: bool,
    /// Nobody answers for the names of its containers.
    #[serde(skip_serializing_if = "is_false")]
    pub without_names: bool,
    /// The servers that are asked for all other names; the host's where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<IpAddr>,
    /// Options of the bridge, checked: `mtu`, `isolate`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<(String, String)>,
}

impl Network {
    /// Whether the namespace is one of the container's own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self, Self::None | Self::Pasta | Self::Bridges(_))
    }

    /// The address that leads from the container to the host, where its network has one.
    #[must_use]
    pub fn host(&self) -> Option<IpAddr> {
        match self {
            Self::None | Self::Host | Self::Path(_) | Self::Container(_) => None,
            Self::Pasta => Some(PASTA_HOST),
            Self::Bridges(attachments) => {
                let gateways = || {
                    attachments
                        .iter()
                        .flat_map(|one| &one.bridge.subnets)
                        .map(|subnet| subnet.gateway)
                };
                gateways().find(IpAddr::is_ipv4).or_else(|| gateways().next())
            }
        }
    }

    /// The servers that a container asks for names: its networks' own, where they have them.
    #[must_use]
    pub fn servers(&self) -> Vec<IpAddr> {
        match self {
            Self::None | Self::Host | Self::Path(_) => Vec::new(),
            Self::Pasta => vec![PASTA_RESOLVER],
            Self::Container(joined) => joined.servers.clone(),
            Self::Bridges(attachments) => attachments.iter().flat_map(|one| one.bridge.name_servers()).collect(),
        }
    }
}

impl Bridge {
    /// Where the names of its containers are asked for.
    #[must_use]
    pub fn name_servers(&self) -> Vec<IpAddr> {
        match self.without_names {
            true => Vec::new(),
            false => self.subnets.iter().map(|subnet| subnet.gateway).collect(),
        }
    }
}

/// Who answers questions for names where pasta(1) leads outside: it passes them on to the host's own resolver, whatever address that has.
pub const PASTA_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));

/// What leads to the host where pasta(1) leads outside, as in Podman: the host's own address, not its loopback.
pub const PASTA_HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 2));

/// The network that is meant by `Network = "bridge"`.
pub const DEFAULT: &str = "bridge";

/// A network's definition: `NAME.network.toml` with its drop-ins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// The file's name without `.network.toml`.
    pub name: String,
    /// The file.
    pub source: PathBuf,
    /// The drop-ins that were merged over it, in order.
    pub drop_ins: Vec<PathBuf>,
    /// What it makes, but for subnets that nobody named.
    pub bridge: Bridge,
    /// `IPv6=`: a subnet of this family is wanted.
    pub ipv6: bool,
    /// `Label=`.
    pub labels: Vec<(String, String)>,
    /// Where it says what no other network may have too.
    pub places: Claims,
}

/// Places in a network's files, nothing where what is claimed follows from the file's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// `NetworkName=`.
    pub name: Option<Diagnostic>,
    /// `InterfaceName=`.
    pub interface: Option<Diagnostic>,
    /// `Subnet=`.
    pub blocks: Vec<(Block, Diagnostic)>,
}

/// A network's definition with everything that is to be said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// As much as could be understood.
    pub definition: Definition,
    /// All mistakes.
    pub diagnostics: Vec<Diagnostic>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// FNV-1a of a name: it need not be strong, only the same for ever.
#[must_use]
pub fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
