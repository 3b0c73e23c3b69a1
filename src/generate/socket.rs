//! `NAME.socket`: one unit a named socket, because the order of descriptors from several units is undefined and the name tells them
//! apart.
//!
//! systemd.socket(5). An address without a host is one dual-stack socket; `FreeBind=` lets a specific address be bound before it is
//! there; Unix sockets are for their owner and group (systemd's default is everybody) and go with their unit.

use std::net::IpAddr;

use crate::definition::Socket;
use crate::definition::keys::newer;
use crate::generate::Context;
use crate::generate::condition::Conditions;
use crate::generate::draft::Draft;
use crate::generate::service::{self, Lines};
use crate::generate::{accept, proxy, unit_section};
use crate::unitfile::{UnitFile, quote};

/// Adds a socket's unit to the draft.
pub fn draft(draft: &mut Draft<'_>, socket: &Socket, context: &Context) {
    let unit = [&socket.unit, ".socket"].concat();
    let unit_lines = unit_lines(draft, socket, context);
    let socket_lines = socket_lines(draft, socket, context);
    let mut file = UnitFile::new(service::COMMENT);
    file.section("Unit", service::pairs(&unit_lines));
    file.section("Socket", service::pairs(&socket_lines));
    draft.add(unit, file.into_text());
}

fn unit_lines<'a>(draft: &Draft<'a>, socket: &Socket, context: &Context) -> Lines<'a> {
    let definition = draft.definition();
    let which = if socket.unit == definition.name {
        String::new()
    } else {
        [" ", &quote::text(&socket.name)].concat()
    };
    let description = [&unit_section::description(definition), ", socket", &which].concat();
    let mut lines: Lines<'_> = vec![
        ("Description", description.into()),
        ("SourcePath", unit_section::source_path(definition).into()),
        // Six restarts in ten seconds would close it, though none of them has failed.
        ("StartLimitIntervalSec", "0".into()),
    ];
    let unit = service::given(&definition.passthrough.unit).into_iter();
    lines.extend(unit.filter(|(key, _)| *key == "DefaultDependencies"));
    lines.extend(Conditions::of(definition, context).of_starters());
    lines
}

fn socket_lines<'s>(draft: &Draft<'_>, socket: &'s Socket, context: &Context) -> Lines<'s> {
    let mut lines = Lines::new();
    for listen in &socket.listen {
        lines.push((listen.kind.key(), quote::specifiers(&listen.address)));
    }
    let mut defaults: Lines<'_> = vec![("FileDescriptorName", quote::text(&socket.name))];
    if draft.definition().accepts() {
        // By systemd's own rule the service is the template of the same name, and can be no other.
        defaults.extend(accept::socket());
    } else if draft.definition().is_proxied() {
        let proxy = [&service::instance_of(&proxy::stem(socket)), ".service"].concat();
        defaults.push(("Service", proxy.into()));
    } else if socket.unit != draft.stem {
        // By default systemd takes the service of the same name.
        let service = [&service::instance_of(&draft.stem), ".service"].concat();
        defaults.push(("Service", service.into()));
    }
    if socket.listen.iter().any(|listen| is_specific(&listen.address)) {
        defaults.push(("FreeBind", "yes".into()));
    }
    if socket
        .listen
        .iter()
        .any(|listen| listen.address.starts_with(['/', '@', '%']))
    {
        defaults.push(("SocketMode", "0660".into()));
        defaults.push(("RemoveOnStop", "yes".into()));
    }
    // What systemd does not know it would ignore, and complain of; that was said already.
    let mut given = service::given(&socket.options);
    given.retain(|(key, _)| newer::since(key).is_none_or(|version| version <= context.systemd_version));
    lines.extend(service::over_defaults(defaults, given));
    lines
}

/// Whether an address names a host, which may not be configured yet at boot.
fn is_specific(address: &str) -> bool {
    let Some((host, _port)) = address.rsplit_once(':') else {
        return false;
    };
    if host.starts_with(['/', '@']) || host.starts_with("vsock") {
        return false;
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = host.split('%').next().unwrap_or_default();
    !host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::is_specific;

    #[test]
    fn free_bind_is_for_addresses_that_may_come_later() {
        for address in ["127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "192.0.2.1:53"] {
            assert!(is_specific(address), "{address}");
        }
        for address in ["80", "0.0.0.0:80", "[::]:80", "/run/a:b.sock", "@a:b", "vsock:2:80"] {
            assert!(!is_specific(address), "{address}");
        }
    }
}
