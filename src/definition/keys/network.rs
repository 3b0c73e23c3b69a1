//! The keys of `[Network]`: all of Quadlet's, sorted by name.

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Kind::{Boolean, Choice, Command, Map, Path, Text};
use crate::definition::keys::Repeat::{Many, Once};
use crate::definition::keys::{Key, Kind, Repeat, Section};

const fn key(name: &'static str, kind: Kind, repeat: Repeat, meaning: &'static str) -> Key {
    Key::new(Section::Network, name, kind, repeat, meaning)
}

/// Sorted by name, so that it can be searched.
pub(super) const KEYS: &[Key] = &[
    key(
        "ContainersConfModule",
        Path,
        Many,
        "Loads a containers.conf(5) module in Podman.",
    )
    .never(
        Severity::Warning,
        "Podman's configuration is not read",
        "write what it sets into the definition",
    ),
    key(
        "DNS",
        Text,
        Many,
        "The servers that are asked for names that are none of the network's containers.",
    ),
    key(
        "DisableDNS",
        Boolean,
        Once,
        "Whether nobody answers for the names of the network's containers.",
    ),
    key("Driver", Choice(&["bridge"]), Once, "What the network is made of."),
    key(
        "Gateway",
        Text,
        Many,
        "The bridge's own address in a subnet, one for each Subnet in their order.",
    ),
    key(
        "GlobalArgs",
        Command,
        Many,
        "Passes arguments between 'podman' and its subcommand.",
    )
    .never(
        Severity::Warning,
        "Podman is not run",
        "use the keys that do what they did",
    ),
    key(
        "IPAMDriver",
        Choice(&["host-local"]),
        Once,
        "How containers get their addresses.",
    ),
    key(
        "IPRange",
        Text,
        Many,
        "The part of a subnet, as a smaller one or FIRST-LAST, that containers get addresses from, one for each Subnet.",
    ),
    key("IPv6", Boolean, Once, "Whether the network has a subnet of IPv6 too."),
    key("InterfaceName", Text, Once, "The bridge's interface on the host."),
    key(
        "Internal",
        Boolean,
        Once,
        "Whether the network's containers reach nothing but each other and the host.",
    ),
    key("Label", Map, Many, "Attaches labels, for people and tools."),
    key(
        "NetworkDeleteOnStop",
        Boolean,
        Once,
        "Whether the network goes with its last container; with Coracle always.",
    ),
    key(
        "NetworkName",
        Text,
        Once,
        "The network's name, where it is not the file's.",
    ),
    key(
        "Options",
        Map,
        Many,
        "Options of the bridge: mtu, isolate, metric, no_default_route, vlan.",
    ),
    key(
        "PodmanArgs",
        Command,
        Many,
        "Passes arguments to 'podman network create'.",
    )
    .never(
        Severity::Error,
        "Podman is not run, and what they close or open is not known",
        "use the keys that do what they did",
    ),
    key(
        "ServiceName",
        Text,
        Once,
        "The name of the unit that makes the network in Podman.",
    )
    .never(
        Severity::Warning,
        "a network has no unit, the containers' own make it and remove it",
        "",
    ),
    key(
        "Subnet",
        Text,
        Many,
        "The network's addresses; where nobody names any, they follow from the network's name.",
    ),
];
