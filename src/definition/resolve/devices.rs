//! `AddDevice=`: which devices of the host the container may use, and how.

use std::path::{Component, Path, PathBuf};

use crate::definition::Device;
use crate::definition::keys::Key;
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;

/// What every container has in its own /dev, and what another may not stand in place of.
const OWN: [&str; 15] = [
    "console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
    "urandom", "zero",
];

impl Resolver<'_, '_> {
    /// One `[-]HOST[:CONTAINER][:ACCESS]`.
    pub(super) fn device(&mut self, key: &Key, text: &str, span: Span) -> Option<Device> {
        let (written, optional) = match text.strip_prefix('-') {
            Some(written) => (written, true),
            None => (text, false),
        };
        let mut parts = written.splitn(3, ':');
        let host = parts.next().unwrap_or_default();
        let (target, access) = match (parts.next(), parts.next()) {
            (None, _) => (host, "rwm"),
            (Some(access), None) if !access.starts_with('/') => (host, access),
            (Some(target), access) => (target, access.unwrap_or("rwm")),
        };
        let is_access = access.bytes().all(|b| b"rwm".contains(&b)) && access.contains(['r', 'w']) && access.len() <= 3;
        if !is_access {
            let why = format!("'{access}' is no access, write 'r', 'w', 'rw' or 'rwm'");
            self.impossible(key, span, why);
            return None;
        }
        for path in [host, target] {
            if below_dev(path).is_none() {
                let why = format!(
                    "'{path}' does not lie below /dev, write HOST[:CONTAINER][:ACCESS] with paths from /dev/ on"
                );
                self.impossible(key, span, why);
                return None;
            }
        }
        let target = below_dev(target)?;
        if target
            .components()
            .nth(2)
            .is_some_and(|name| OWN.iter().any(|own| name.as_os_str() == *own))
        {
            let why = format!("every container has a '{}' of its own", target.display());
            self.impossible(key, span, why);
            return None;
        }
        Some(Device {
            host: below_dev(host)?,
            target,
            access: access.to_owned(),
            optional,
        })
    }
}

/// The path without doubled slashes, if it is one below /dev.
fn below_dev(path: &str) -> Option<PathBuf> {
    let is_plain = |part: Component<'_>| part != Component::ParentDir;
    let path: PathBuf = Path::new(path).components().collect();
    let is_below = path.starts_with("/dev") && path.components().count() > 2;
    (is_below && path.components().all(is_plain)).then_some(path)
}
