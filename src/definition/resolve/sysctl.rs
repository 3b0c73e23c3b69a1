//! `Sysctl=`: kernel parameters, and which of them a container has of its own.
//!
//! Any other parameter is the whole machine's. To set one from a container would change it for everybody, so it is an error here, where
//! it can be said why, and not at the start.

use crate::definition::Sysctl;
use crate::definition::keys::Key;
use crate::definition::network::Network;
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::setting::Value;

impl Resolver<'_, '_> {
    /// The parameters of one value, each with its place.
    pub(super) fn sysctls(&mut self, key: &Key, value: &Value<'_>) -> Vec<(Sysctl, Span)> {
        let mut sysctls = Vec::new();
        for (name, set) in self.pairs(key, value) {
            let Some(path) = path(&name) else {
                let why = format!("'{name}' is no kernel parameter, write for example net.core.somaxconn");
                self.impossible(key, value.span, why);
                continue;
            };
            let why = match path.as_str() {
                "kernel/hostname" => Some("is set by HostName"),
                _ if set.chars().any(char::is_control) => Some("cannot have a control character in its value"),
                path if is_of_ipc(path) || is_of_network(path) || path == DOMAIN_NAME => None,
                _ => Some(
                    "is the whole machine's: a container has only net.*, kernel.msg*, kernel.sem, kernel.shm*, \
                     kernel.domainname and fs.mqueue.* of its own; set it in /etc/sysctl.d for the machine",
                ),
            };
            match why {
                Some(why) => self.impossible(key, value.span, format_args!("'{name}' {why}")),
                None => sysctls.push((Sysctl { path, value: set }, value.span)),
            }
        }
        sysctls
    }

    /// With the host's network its parameters are the host's too.
    pub(super) fn check_sysctls(&mut self, sysctls: &[(Sysctl, Span)], network: &Network) {
        for (sysctl, span) in sysctls {
            if !network.is_own() && is_of_network(&sysctl.path) {
                let name = sysctl.path.replace('/', ".");
                let message = match network {
                    Network::Host => {
                        format!("'Sysctl': '{name}' is the host's where Network is 'host', which no container sets")
                    }
                    _ => format!("'Sysctl': '{name}' is the network's, which this container does not own"),
                };
                self.report.error(*span, message);
            }
        }
    }
}

/// In the UTS namespace.
const DOMAIN_NAME: &str = "kernel/domainname";

fn is_of_ipc(path: &str) -> bool {
    let is_below = |start: &str| {
        path.strip_prefix(start)
            .is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
    };
    path == "kernel/sem" || ["kernel/msg", "kernel/shm", "fs/mqueue/"].into_iter().any(is_below)
}

fn is_of_network(path: &str) -> bool {
    path.starts_with("net/")
}

/// The path below /proc/sys that a name stands for. As in sysctl(8), dots and slashes change places if a dot comes first.
fn path(name: &str) -> Option<String> {
    let is_dotted = name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('.'));
    let path: String = name
        .chars()
        .map(|c| match c {
            '.' if is_dotted => '/',
            '/' if is_dotted => '.',
            c => c,
        })
        .collect();
    let is_part = |part: &str| {
        !part.trim_matches('.').is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:@".contains(&b))
    };
    (path.len() <= 255 && path.contains('/') && path.split('/').all(is_part)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::{is_of_ipc, path};

    #[test]
    fn names_are_paths_below_proc_sys() {
        assert_eq!(path("net.core.somaxconn").as_deref(), Some("net/core/somaxconn"));
        assert_eq!(
            path("net.ipv4.conf.eth0/1.rp_filter").as_deref(),
            Some("net/ipv4/conf/eth0.1/rp_filter")
        );
        assert_eq!(
            path("net/ipv4/conf/eth0.1/mtu").as_deref(),
            Some("net/ipv4/conf/eth0.1/mtu")
        );
        for name in [
            "",
            "net",
            "net.",
            ".net.x",
            "net..x",
            "net.//.x",
            "net/../kernel/x",
            "net/./x",
            "net.a b",
        ] {
            assert_eq!(path(name), None, "{name}");
        }
    }

    #[test]
    fn what_ipc_namespaces_have() {
        assert!(is_of_ipc("kernel/sem") && is_of_ipc("kernel/shm_rmid_forced") && is_of_ipc("fs/mqueue/msg_max"));
        assert!(!is_of_ipc("kernel/semx") && !is_of_ipc("kernel/core_pattern") && !is_of_ipc("kernel/msg/x"));
    }
}
