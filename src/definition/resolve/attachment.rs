//! `Network=`, `IP=`, `IP6=` and `NetworkAlias=`: what a container's network is.
//!
//! Which networks there are is not known here: a reference is kept by its name, with what is to be said at its place if it leads nowhere
//! ([`crate::definition::places`]).

use std::net::IpAddr;
use std::path::PathBuf;

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::keys::Key;
use crate::definition::network::{Attachment, Bridge, DEFAULT, Joined, Network};
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::resolve::network::is_domain;
use crate::definition::resolve::values::is_absolute;
use crate::definition::{Definition, name};

/// What the keys have said so far.
#[derive(Debug, Default)]
pub(super) struct Networks {
    /// `Network=`, each with its place.
    pub(super) wanted: Vec<(Network, Span)>,
    /// `IP=` and `IP6=`.
    pub(super) addresses: [Option<(IpAddr, Span)>; 2],
    /// `NetworkAlias=`.
    pub(super) aliases: Vec<(String, Span)>,
}

/// As many interfaces as a container can have on bridges.
const BRIDGES_MAX: usize = 64;

impl Resolver<'_, '_> {
    /// One value of `Network=`.
    pub(super) fn network(&mut self, key: &Key, text: &str, span: Span) -> Option<(Network, Span)> {
        let (kind, options) = match text.strip_prefix("ns:") {
            Some(path) => {
                if !is_absolute(path) || path.contains('%') {
                    self.impossible(
                        key,
                        span,
                        format_args!("'{path}' is no absolute path of a network namespace"),
                    );
                    return None;
                }
                return Some((Network::Path(PathBuf::from(path)), span));
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        let reference = kind.strip_suffix(".network").or((kind == DEFAULT).then_some(DEFAULT));
        if let Some(reference) = reference {
            if let Some(why) = name::mistake(reference)
                .or_else(|| reference.contains('@').then(|| "a network is no template".to_owned()))
            {
                self.impossible(key, span, why);
                return None;
            }
            let mut attachment = Attachment {
                bridge: Bridge {
                    name: reference.to_owned(),
                    ..Bridge::default()
                },
                ..Attachment::default()
            };
            for option in options.split(',').filter(|option| !option.is_empty()) {
                self.attachment_option(key, option, span, &mut attachment)?;
            }
            return Some((Network::Bridges(vec![attachment]), span));
        }
        if !options.is_empty() {
            self.impossible(
                key,
                span,
                format_args!("'{kind}' has no options, but '{options}' is given"),
            );
            return None;
        }
        if let Some(container) = kind.strip_suffix(".container") {
            if let Some(why) = name::mistake(container) {
                self.impossible(key, span, why);
                return None;
            }
            let joined = Joined {
                unit: container.to_owned(),
                servers: Vec::new(),
            };
            return Some((Network::Container(joined), span));
        }
        match kind {
            "none" => Some((Network::None, span)),
            "host" => Some((Network::Host, span)),
            _ => {
                let message = format!("'{}' cannot be '{text}'", key.name);
                let suggestion = match kind {
                    "slirp4netns" | "pasta" | "private" => {
                        "write 'none', 'host', 'bridge', or NAME.network for a network of your own"
                    }
                    _ => {
                        "write 'none', 'host', 'bridge', NAME.network for what NAME.network.toml defines, NAME.container or ns:PATH"
                    }
                };
                self.report
                    .say(Severity::Error, span, message, Some(suggestion.to_owned()));
                None
            }
        }
    }

    fn attachment_option(&mut self, key: &Key, option: &str, span: Span, to: &mut Attachment) -> Option<()> {
        let (word, value) = option.split_once('=').unwrap_or((option, ""));
        let why = match word {
            "ip" | "ip6" => match value.parse::<IpAddr>() {
                Ok(address) if address.is_ipv4() == (word == "ip") => {
                    to.addresses.retain(|other| other.is_ipv4() != address.is_ipv4());
                    to.addresses.push(address);
                    return Some(());
                }
                _ => format!("'{value}' is no address of IPv{}", if word == "ip" { 4 } else { 6 }),
            },
            "mac" if is_hardware_address(value) => {
                to.mac = Some(value.to_ascii_lowercase());
                return Some(());
            }
            "mac" => format!("'{value}' is no hardware address of one interface, write for example 02:00:00:00:00:01"),
            "alias" if is_domain(value) => {
                to.aliases.push(value.to_owned());
                return Some(());
            }
            "alias" => format!("'{value}' is no host name"),
            "interface_name" if is_interface(value) && value != "lo" => {
                to.interface = Some(value.to_owned());
                return Some(());
            }
            "interface_name" => format!("'{value}' is no name of an interface"),
            _ => format!("'{word}' is no option of a network: there are ip=, ip6=, mac=, alias= and interface_name="),
        };
        self.impossible(key, span, why);
        None
    }

    /// `IP=` or `IP6=`.
    pub(super) fn own_address(&mut self, key: &Key, text: &str, span: Span) -> Option<(IpAddr, Span)> {
        let (version, example) = match key.name {
            "IP" => (4, "10.1.2.3"),
            _ => (6, "fd00::3"),
        };
        match text.parse::<IpAddr>() {
            Ok(address) if address.is_ipv4() == (version == 4) => Some((address, span)),
            _ => {
                let why = format_args!("'{text}' is no address of IPv{version}, write for example {example}");
                self.impossible(key, span, why);
                None
            }
        }
    }

    /// One value of `NetworkAlias=`.
    pub(super) fn network_alias(&mut self, key: &Key, text: &str, span: Span) -> Option<(String, Span)> {
        if is_domain(text) {
            return Some((text.to_owned(), span));
        }
        self.impossible(key, span, format_args!("'{text}' is no host name"));
        None
    }

    /// What all of them make together.
    pub(super) fn networks(&mut self, networks: Networks, definition: &mut Definition) {
        let mut attachments = Vec::new();
        let mut places = Vec::new();
        let mut other = None;
        for (network, span) in networks.wanted {
            let first = attachments.is_empty() && other.is_none();
            match network {
                Network::Bridges(new) if other.is_none() && attachments.len() < BRIDGES_MAX => {
                    for attachment in new {
                        if attachments
                            .iter()
                            .any(|one: &Attachment| one.bridge.name == attachment.bridge.name)
                        {
                            let message = format!("'Network': the network '{}' is named twice", attachment.bridge.name);
                            self.report.error(span, message);
                            continue;
                        }
                        places.push(self.report.diagnostic(Severity::Error, span, String::new()));
                        attachments.push(attachment);
                    }
                }
                network if first && !matches!(network, Network::Bridges(_)) => {
                    if !network.is_own() {
                        places.push(self.report.diagnostic(Severity::Error, span, String::new()));
                    }
                    other = Some(network);
                }
                _ => {
                    let message =
                        "'Network': only bridges can be several, and at most 64: remove all others".to_owned();
                    self.report.error(span, message);
                }
            }
        }
        for (address, span) in networks.addresses.into_iter().flatten() {
            match attachments.as_mut_slice() {
                [only] => {
                    only.addresses.retain(|other| other.is_ipv4() != address.is_ipv4());
                    only.addresses.push(address);
                }
                [] => self.without_bridge(span, "an address"),
                _ => {
                    let message = format!("{address} could be on any of the container's networks");
                    let suggestion = Some(format!(
                        "write for example \"{}.network:ip={address}\"",
                        attachments[0].bridge.name
                    ));
                    self.report.say(Severity::Error, span, message, suggestion);
                }
            }
        }
        for (alias, span) in networks.aliases {
            if attachments.is_empty() {
                self.without_bridge(span, "a name");
            }
            for attachment in &mut attachments {
                attachment.aliases.push(alias.clone());
            }
        }
        definition.passthrough.network_places = places;
        definition.container.network = match other {
            Some(other) => other,
            None if attachments.is_empty() => Network::None,
            None => Network::Bridges(attachments),
        };
    }

    /// Says that a key needs a network that has it.
    fn without_bridge(&mut self, span: Span, what: &str) {
        let message = format!("there is no network on which the container could have {what}, ignoring");
        let suggestion = Some("write Network = \"NAME.network\" or \"bridge\"".to_owned());
        self.report.say(Severity::Warning, span, message, suggestion);
    }
}

/// Why a network or container that is named cannot be had, and what would mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::definition) struct Missing {
    /// As in a [`Diagnostic`].
    pub(in crate::definition) message: String,
    /// As in a [`Diagnostic`].
    pub(in crate::definition) suggestion: Option<String>,
}

impl From<String> for Missing {
    fn from(message: String) -> Self {
        Self {
            message,
            suggestion: None,
        }
    }
}

/// Puts what the networks' definitions say in the place of their names, and says which are not there. `find` finds one.
pub(in crate::definition) fn link<'n>(
    definition: &mut Definition,
    find: impl Fn(&str) -> Result<&'n Bridge, Missing>,
) -> Vec<Diagnostic> {
    let Network::Bridges(attachments) = &mut definition.container.network else {
        return Vec::new();
    };
    let mut said = Vec::new();
    for (attachment, place) in attachments.iter_mut().zip(&definition.passthrough.network_places) {
        let linked = find(&attachment.bridge.name).and_then(|bridge| {
            attachment.bridge = bridge.clone();
            fits(attachment).map_err(Missing::from)
        });
        if let (Err(missing), Some(place)) = (linked, place) {
            said.push(Diagnostic {
                message: missing.message,
                suggestion: missing.suggestion,
                ..place.clone()
            });
        }
    }
    said
}

/// Whether the addresses that the container names are in the network's subnets.
fn fits(attachment: &Attachment) -> Result<(), String> {
    let subnets = &attachment.bridge.subnets;
    for address in &attachment.addresses {
        let blocks: Vec<String> = subnets.iter().map(|subnet| subnet.block.to_string()).collect();
        let name = &attachment.bridge.name;
        if !subnets.iter().any(|subnet| subnet.block.is_usable(*address)) {
            return Err(format!(
                "'{address}' is no address for a container in {} of network '{name}'",
                blocks.join(" and ")
            ));
        }
        if subnets.iter().any(|subnet| subnet.gateway == *address) {
            return Err(format!("'{address}' is the gateway of network '{name}'"));
        }
    }
    Ok(())
}

/// Whether an interface can have this name (the kernel's dev_valid_name), without what needs quoting anywhere.
pub(super) fn is_interface(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 15
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Six bytes in hexadecimal, neither all zero nor of a group.
fn is_hardware_address(text: &str) -> bool {
    let bytes: Vec<&str> = text.split(':').collect();
    let is_byte = |byte: &&str| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_group = || {
        bytes
            .first()
            .and_then(|byte| u8::from_str_radix(byte, 16).ok())
            .is_none_or(|byte| byte & 1 == 1)
    };
    bytes.len() == 6 && bytes.iter().all(is_byte) && !is_group() && bytes.iter().any(|byte| *byte != "00")
}
