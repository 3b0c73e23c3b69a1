//! `AddHost=`, `DNS=`, `DNSSearch=` and `DNSOption=`: what stands in the container's hosts(5) and resolv.conf(5).
//!
//! Each text becomes a part of a line in a file that the container's resolver reads, so none can hold what would end the line or begin
//! another word.

use std::net::IpAddr;

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Key;
use crate::definition::network::Network;
use crate::definition::report::Span;
use crate::definition::resolve::{Resolver, last};
use crate::definition::setting::Settings;
use crate::definition::{Definition, HostName};

/// What stands for the host's own address.
const HOST_GATEWAY: &str = "host-gateway";

/// As many name servers as resolv.conf(5) takes.
const SERVERS_MAX: usize = 3;

impl Resolver<'_, '_> {
    /// One `NAME[;NAME…]:ADDRESS`.
    pub(super) fn host(&mut self, key: &Key, text: &str, span: Span) -> Option<HostName> {
        let Some((names, address)) = text.split_once(':') else {
            self.impossible(key, span, format_args!("'{text}' has no address, write NAME:ADDRESS"));
            return None;
        };
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = match bare.unwrap_or(address).parse::<IpAddr>() {
            Ok(address) => Some(address),
            Err(_) if address == HOST_GATEWAY => None,
            Err(_) => {
                self.impossible(
                    key,
                    span,
                    format_args!("'{address}' is no address, write for example 192.0.2.1"),
                );
                return None;
            }
        };
        let names: Vec<String> = names.split(';').map(str::to_owned).collect();
        if let Some(name) = names.iter().find(|name| !is_domain(name)) {
            self.impossible(key, span, format_args!("'{name}' is no host name"));
            return None;
        }
        Some(HostName { address, names })
    }

    /// A name server's address.
    pub(super) fn name_server(&mut self, key: &Key, text: &str, span: Span) -> Option<IpAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            let why = format!("'{text}' is no address of a name server, write for example 192.0.2.53");
            self.impossible(key, span, why);
        }
        address
    }

    /// A domain that short names are looked up in.
    pub(super) fn search_domain(&mut self, key: &Key, text: &str, span: Span) -> Option<String> {
        if text == "." || is_domain(text) {
            return Some(text.to_owned());
        }
        self.impossible(key, span, format_args!("'{text}' is no domain"));
        None
    }

    /// A word of `options` in resolv.conf(5).
    pub(super) fn resolver_option(&mut self, key: &Key, text: &str, span: Span) -> Option<String> {
        if !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_:.".contains(&b))
        {
            return Some(text.to_owned());
        }
        let why = format!("'{text}' is no option of resolv.conf(5), write for example ndots:2");
        self.impossible(key, span, why);
        None
    }

    /// Says where there is no way to the host.
    pub(super) fn check_host_gateway(&mut self, definition: &Definition, settings: &Settings<'_>) {
        let container = &definition.container;
        if container.add_host.iter().all(|host| host.address.is_some()) {
            return;
        }
        let (why, instead) = match &container.network {
            Network::Pasta | Network::Bridges(_) => return,
            Network::Host => ("the host's network is the container's", "write 127.0.0.1"),
            Network::None => (
                "the container has no network",
                "set 'Network' to a bridge, or to 'pasta' in a user's manager, or write no such name",
            ),
            Network::Path(_) | Network::Container(_) => {
                ("the network is another's", "write the address that the host has on it")
            }
        };
        let place = super::place(settings, &["AddHost"], |text| text.ends_with(HOST_GATEWAY));
        let message = format!("'AddHost': there is no '{HOST_GATEWAY}', since {why}");
        self.report
            .say(Severity::Error, place, message, Some(instead.to_owned()));
    }

    /// Says what the C library would leave out or do without.
    pub(super) fn check_resolver(&mut self, definition: &Definition, settings: &Settings<'_>) {
        let container = &definition.container;
        if container.dns.len() > SERVERS_MAX
            && let Some(setting) = last(settings, "DNS")
        {
            let message = format!("resolvers ask the first {SERVERS_MAX} name servers only, writing them all");
            self.report.warning(setting.value.span, message);
        }
        let set = ["DNSSearch", "DNSOption"]
            .into_iter()
            .find_map(|key| last(settings, key));
        let is_set = !(container.dns_search.is_empty() && container.dns_option.is_empty());
        if let Some(setting) = set
            && is_set
            && container.dns.is_empty()
            && container.network == Network::Host
        {
            let message = format!(
                "'{}' makes a resolv.conf in place of the host's, and it names no server: write DNS too",
                setting.key
            );
            self.report.error(setting.key_span, message);
        }
    }
}

/// A name of labels; systems have underscores in theirs.
pub(super) fn is_domain(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(is_label)
}
