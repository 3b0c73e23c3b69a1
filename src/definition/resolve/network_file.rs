//! `[Network]`: what a network's definition means.

use std::net::IpAddr;
use std::path::Path;

use crate::definition::diagnostic::Severity;
use crate::definition::keys::{self, Key, Section, Support};
use crate::definition::network::subnet::{Block, Subnet, is_alike};
use crate::definition::network::{Bridge, Claims, Definition};
use crate::definition::report::{Report, Span};
use crate::definition::resolve::Resolver;
use crate::definition::resolve::attachment::is_interface;
use crate::definition::setting::{Settings, Value};

/// Options that netavark knows for a bridge, or some of its versions.
const OPTIONS: &[&str] = &["mtu", "isolate", "metric", "no_default_route", "vlan"];

/// `[Network]` so far.
#[derive(Default)]
struct Draft {
    name: Option<(String, Span)>,
    interface: Option<(String, Span)>,
    blocks: Vec<(Block, Span)>,
    gateways: Vec<(IpAddr, Span)>,
    ranges: Vec<((IpAddr, IpAddr), Span)>,
    internal: bool,
    ipv6: bool,
    without_names: bool,
    servers: Vec<IpAddr>,
    options: Vec<(String, String)>,
    labels: Vec<(String, String)>,
}

/// The network's definition that these settings make. `source` is the file as it is named to the administrator.
pub fn resolve_network(name: &str, source: &Path, settings: &Settings<'_>, report: &mut Report<'_>) -> Definition {
    let mut to = Resolver::new(report, source);
    let mut draft = Draft::default();
    for header in settings
        .headers
        .iter()
        .filter(|header| header.section != Section::Network)
    {
        let message = format!("[{}] means nothing for a network, ignoring", header.section);
        let suggestion = match header.section {
            Section::Container => Some(format!("a container's definition is '{name}.toml'")),
            _ => None,
        };
        to.report.say(Severity::Warning, header.span, message, suggestion);
    }
    for setting in settings
        .settings
        .iter()
        .filter(|setting| setting.section == Section::Network)
    {
        match keys::find(Section::Network, &setting.key) {
            Some(key) if key.support == Support::CarriedOut => draft.set(key, &setting.value, &mut to),
            Some(key) => {
                to.unsupported.retain(|(earlier, _)| *earlier != key);
                if !setting.value.is_reset() {
                    to.unsupported.push((key, setting.key_span));
                }
            }
            None => to.unknown(setting),
        }
    }
    to.name_unsupported();
    let (ipv6, labels) = (draft.ipv6, std::mem::take(&mut draft.labels));
    let places = draft.claims(to.report);
    Definition {
        name: name.to_owned(),
        source: source.to_owned(),
        bridge: draft.bridge(name, &mut to),
        ipv6,
        labels,
        places,
        drop_ins: Vec::new(),
    }
}

impl Draft {
    fn set(&mut self, key: &Key, value: &Value<'_>, to: &mut Resolver<'_, '_>) {
        let reset = value.is_reset();
        let texts = |to: &mut Resolver<'_, '_>| if reset { Vec::new() } else { to.texts(key, value) };
        let boolean = |to: &mut Resolver<'_, '_>| !reset && to.boolean(key, value) == Some(true);
        match key.name {
            "NetworkName" => {
                let text = texts(to).pop();
                self.name = text.and_then(|(text, span)| network_name(to, key, &text, span));
            }
            "InterfaceName" => {
                self.interface = texts(to).pop().and_then(|(text, span)| {
                    if is_interface(&text) && text != "lo" {
                        return Some((text.into_owned(), span));
                    }
                    to.impossible(key, span, format_args!("'{text}' is no name of an interface"));
                    None
                });
            }
            "Subnet" => {
                let new: Vec<_> = texts(to)
                    .into_iter()
                    .filter_map(|(text, span)| Some((block(to, key, &text, span)?, span)))
                    .collect();
                extend(&mut self.blocks, value, new);
            }
            "Gateway" => {
                let new: Vec<_> = texts(to)
                    .into_iter()
                    .filter_map(|(text, span)| Some((address(to, key, &text, span)?, span)))
                    .collect();
                extend(&mut self.gateways, value, new);
            }
            "IPRange" => {
                let new: Vec<_> = texts(to)
                    .into_iter()
                    .filter_map(|(text, span)| Some((range(to, key, &text, span)?, span)))
                    .collect();
                extend(&mut self.ranges, value, new);
            }
            "DNS" => {
                let new: Vec<_> = texts(to)
                    .into_iter()
                    .filter_map(|(text, span)| to.name_server(key, &text, span))
                    .collect();
                extend(&mut self.servers, value, new);
            }
            "Internal" => self.internal = boolean(to),
            "IPv6" => self.ipv6 = boolean(to),
            "DisableDNS" => self.without_names = boolean(to),
            "NetworkDeleteOnStop" if !reset && to.boolean(key, value) == Some(false) => {
                let message = format!("'{}' is always true, ignoring", key.name);
                to.report.warning(value.span, message);
            }
            "Driver" | "IPAMDriver" => only_choice(to, key, value),
            "Label" => {
                let new = if reset { Vec::new() } else { to.pairs(key, value) };
                extend(&mut self.labels, value, new);
            }
            "Options" => {
                let mut new = if reset { Vec::new() } else { to.pairs(key, value) };
                new.retain(|(option, text)| is_option(to, key, value.span, option, text));
                extend(&mut self.options, value, new);
            }
            _ => {}
        }
    }

    /// Where it says what no other network may have.
    fn claims(&self, report: &Report<'_>) -> Claims {
        let place = |span| report.diagnostic(Severity::Error, span, String::new());
        let blocks = self.blocks.iter();
        Claims {
            name: self.name.as_ref().and_then(|(_, span)| place(*span)),
            interface: self.interface.as_ref().and_then(|(_, span)| place(*span)),
            blocks: blocks
                .filter_map(|(block, span)| Some((*block, place(*span)?)))
                .collect(),
        }
    }

    fn bridge(self, name: &str, to: &mut Resolver<'_, '_>) -> Bridge {
        let name = match self.name {
            Some((name, _)) => name,
            None => {
                // A file's name may hold more than a network's; what goes to netavark is both a name and a file's name.
                let plain = |c: char| {
                    if c.is_ascii_alphanumeric() || "_.-".contains(c) {
                        c
                    } else {
                        '_'
                    }
                };
                name.chars().map(plain).collect()
            }
        };
        let mut subnets: Vec<Subnet> = Vec::new();
        for (number, (block, span)) in self.blocks.iter().enumerate() {
            if subnets.iter().any(|other| is_alike(other.block.base, block.base)) {
                let message = "'Subnet': a network has at most one subnet of IPv4 and one of IPv6".to_owned();
                to.report.error(*span, message);
                continue;
            }
            let gateway = match self.gateways.get(number) {
                Some((gateway, span)) if !block.is_usable(*gateway) => {
                    let message = format!("'Gateway': {gateway} is no address in {block}");
                    to.report.error(*span, message);
                    continue;
                }
                Some((gateway, _)) => Some(*gateway),
                None => block.nth(1),
            };
            let range = match self.ranges.get(number) {
                Some(((first, last), span)) if !block.contains(*first) || !block.contains(*last) => {
                    let message = format!("'IPRange': {first} to {last} is not in {block}");
                    to.report.error(*span, message);
                    continue;
                }
                range => range.map(|(range, _)| *range),
            };
            subnets.extend(gateway.map(|gateway| Subnet {
                block: *block,
                gateway,
                range,
            }));
        }
        let many = "there is one for each Subnet, in their order, and none without; write Subnet too";
        let behind = self.blocks.len();
        for span in self.gateways.iter().skip(behind).map(|(_, span)| *span) {
            to.report.error(span, format!("'Gateway': {many}"));
        }
        for span in self.ranges.iter().skip(behind).map(|(_, span)| *span) {
            to.report.error(span, format!("'IPRange': {many}"));
        }
        Bridge {
            name,
            interface: self.interface.map(|(name, _)| name).unwrap_or_default(),
            subnets,
            internal: self.internal,
            without_names: self.without_names,
            servers: self.servers,
            options: self.options,
        }
    }
}

fn extend<T>(list: &mut Vec<T>, value: &Value<'_>, new: Vec<T>) {
    if value.is_reset() {
        list.clear();
    }
    list.extend(new);
}

/// netavark's own rule; the name is also that of a file.
fn network_name(to: &mut Resolver<'_, '_>, key: &Key, text: &str, span: Span) -> Option<(String, Span)> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if is_plain && text.len() <= 64 && text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Some((text.to_owned(), span));
    }
    let why = format_args!("'{text}' is no name of a network: letters, digits and '_.-' may be in it, at most 64");
    to.impossible(key, span, why);
    None
}

fn block(to: &mut Resolver<'_, '_>, key: &Key, text: &str, span: Span) -> Option<Block> {
    let why = match text.parse::<Block>() {
        Ok(block) if block.has_room() => return Some(block),
        Ok(block) => format!("'{block}' has no room for a bridge and a container"),
        Err(mistake) => format!("'{text}': {mistake}"),
    };
    to.impossible(key, span, why);
    None
}

fn address(to: &mut Resolver<'_, '_>, key: &Key, text: &str, span: Span) -> Option<IpAddr> {
    let address = text.parse().ok();
    if address.is_none() {
        to.impossible(
            key,
            span,
            format_args!("'{text}' is no address, write for example 10.1.2.1"),
        );
    }
    address
}

/// `FIRST-LAST`, or a block.
fn range(to: &mut Resolver<'_, '_>, key: &Key, text: &str, span: Span) -> Option<(IpAddr, IpAddr)> {
    if let Ok(block) = text.parse::<Block>() {
        return Some((block.base, block.last()));
    }
    let ends = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse::<IpAddr>().ok()?, last.parse::<IpAddr>().ok()?)));
    match ends {
        Some((first, last)) if is_alike(first, last) && first <= last => Some((first, last)),
        _ => {
            let why = format_args!("'{text}' is no range, write for example 10.1.2.128/25 or 10.1.2.10-10.1.2.99");
            to.impossible(key, span, why);
            None
        }
    }
}

/// A key of which only one word is carried out.
fn only_choice(to: &mut Resolver<'_, '_>, key: &Key, value: &Value<'_>) {
    let Some(text) = to.text(key, value) else { return };
    let wanted = if key.name == "Driver" { "bridge" } else { "host-local" };
    if text != wanted && !text.is_empty() {
        let why = format_args!("'{text}' is not carried out, only '{wanted}'");
        to.impossible(key, value.span, why);
    }
}

fn is_option(to: &mut Resolver<'_, '_>, key: &Key, span: Span, option: &str, text: &str) -> bool {
    let is_number = |limit: u32| text.parse::<u32>().is_ok_and(|number| number <= limit);
    let why = match option {
        "mtu" if is_number(65535) => return true,
        "metric" if is_number(u32::MAX) => return true,
        "vlan" if is_number(4094) => return true,
        "isolate" if matches!(text, "true" | "false" | "strict") => return true,
        "no_default_route" if matches!(text, "0" | "1" | "true" | "false") => return true,
        _ if OPTIONS.contains(&option) => format!("'{text}' is no value of option '{option}'"),
        _ => format!(
            "'{option}' is no option that is carried out: there are {}",
            OPTIONS.join(", ")
        ),
    };
    to.impossible(key, span, why);
    false
}
