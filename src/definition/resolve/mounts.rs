//! `Volume=` and `Tmpfs=`: what is mounted where, and which options mean something.
//!
//! An option whose absence would open something or lose data (`O`) is an error while it is not carried out, others are named and left out.

use std::path::{Component, Path, PathBuf};

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Key;
use crate::definition::report::Span;
use crate::definition::resolve::values::is_absolute;
use crate::definition::resolve::{Resolver, last};
use crate::definition::setting::Settings;
use crate::definition::{Definition, Exec, Owners, Propagation, Tmpfs, UserNamespace, Volume};

impl Resolver<'_, '_> {
    /// One `SOURCE:TARGET[:OPTIONS]`.
    pub(super) fn volume(&mut self, key: &Key, text: &str, span: Span) -> Option<Volume> {
        let mut parts = text.splitn(3, ':');
        let source = parts.next().unwrap_or_default();
        let Some(target) = parts.next() else {
            let why = format!(
                "'{text}' names no source, and volumes without one are not carried out yet; write SOURCE:TARGET"
            );
            self.impossible(key, span, why);
            return None;
        };
        let options = parts.next().unwrap_or_default().split(',');
        self.bind(key, (source, target), options, span)
    }

    /// A path of the host with its target and options.
    pub(super) fn bind<'o>(
        &mut self,
        key: &Key,
        (source, target): (&str, &str),
        options: impl IntoIterator<Item = &'o str>,
        span: Span,
    ) -> Option<Volume> {
        let source = if is_absolute(source) {
            PathBuf::from(source)
        } else if source.starts_with('.') {
            self.directory.join(source)
        } else {
            let why = format!(
                "'{source}' is a named volume, which is not carried out yet; write a path of the host from '/' on"
            );
            self.impossible(key, span, why);
            return None;
        };
        let target = self.target(key, target, span)?;
        let mut volume = Volume {
            source,
            target,
            read_only: false,
            owners: Owners::Inside,
            propagation: Propagation::Private,
            exec: Exec::Allowed,
        };
        for option in options {
            match option {
                // Always so: nobody gains rights by a set-user-ID bit, and devices are added with AddDevice.
                "" | "rw" | "bind" | "rbind" | "nosuid" | "nodev" => {}
                "ro" => volume.read_only = true,
                "idmap" => volume.owners = Owners::Inside,
                "noidmap" => volume.owners = Owners::Outside,
                "exec" => volume.exec = Exec::Allowed,
                "noexec" => volume.exec = Exec::Denied,
                "private" | "rprivate" => volume.propagation = Propagation::Private,
                "slave" | "rslave" => volume.propagation = Propagation::Slave,
                "shared" | "rshared" => volume.propagation = Propagation::Shared,
                "z" | "Z" => {
                    let message = format!(
                        "'{}': option '{option}' needs SELinux, for which nothing is labelled yet, ignoring",
                        key.name
                    );
                    self.report.warning(span, message);
                }
                "nocopy" | "copy" => {
                    let message = format!(
                        "'{}': option '{option}' means nothing on a path of the host, ignoring",
                        key.name
                    );
                    self.report.warning(span, message);
                }
                "suid" | "dev" => {
                    let message = format!("'{}': volumes are always 'no{option}', ignoring", key.name);
                    let suggestion = (option == "dev").then(|| "use AddDevice for devices".to_owned());
                    self.report.say(Severity::Warning, span, message, suggestion);
                }
                "cached" | "delegated" | "consistent" => {
                    let message = format!("'{}': option '{option}' means nothing here, ignoring", key.name);
                    self.report.warning(span, message);
                }
                "U" => {
                    let why = "option 'U' would change the owners of the host's files, which nothing here does: the container sees \
                               the owners on disk as its own; leave it out, or write 'noidmap' for the host's";
                    self.impossible(key, span, why);
                    return None;
                }
                _ => {
                    let why = format!(
                        "option '{option}' is not known or not carried out yet, write 'ro', 'noexec', 'noidmap', 'rslave' or nothing"
                    );
                    self.impossible(key, span, why);
                    return None;
                }
            }
        }
        Some(volume)
    }

    /// One `TARGET[:OPTIONS]`.
    pub(super) fn tmpfs(&mut self, key: &Key, text: &str, span: Span) -> Option<Tmpfs> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        self.memory(key, target, options.split(','), span)
    }

    /// An empty file system in memory with its target and options.
    pub(super) fn memory<'o>(
        &mut self,
        key: &Key,
        target: &str,
        options: impl IntoIterator<Item = &'o str>,
        span: Span,
    ) -> Option<Tmpfs> {
        let mut tmpfs = Tmpfs {
            target: self.target(key, target, span)?,
            options: Vec::new(),
            read_only: false,
            exec: false,
        };
        for option in options {
            match option {
                "" | "rw" | "noexec" | "nosuid" | "nodev" | "notmpcopyup" => {}
                "ro" => tmpfs.read_only = true,
                "exec" => tmpfs.exec = true,
                "suid" | "dev" | "tmpcopyup" | "noswap" | "private" | "rprivate" => {
                    let message = format!("'{}': option '{option}' is not carried out yet, ignoring", key.name);
                    self.report.warning(span, message);
                }
                _ if is_tmpfs_option(option) => tmpfs.options.push(option.to_owned()),
                _ => {
                    let why = format!(
                        "option '{option}' is not one that a tmpfs can have: size=, mode=, nr_inodes=, uid=, gid=, ro, exec"
                    );
                    self.impossible(key, span, why);
                    return None;
                }
            }
        }
        Some(tmpfs)
    }

    /// What a container mounts reaches the host only where its root is the host's.
    pub(super) fn check_propagation(&mut self, definition: &Definition, settings: &Settings<'_>) {
        let container = &definition.container;
        let is_shared = |volume: &Volume| volume.propagation == Propagation::Shared;
        if container.user_namespace != UserNamespace::Host
            && container.volumes.iter().any(is_shared)
            && let Some(setting) = last(settings, "Volume").or_else(|| last(settings, "Mount"))
        {
            let message =
                "'Volume': option 'rshared' would let the container mount on the host, which takes UserNS = \"host\"";
            let suggestion = Some("write 'rslave' to see what the host mounts".to_owned());
            self.report
                .say(Severity::Error, setting.value.span, message.to_owned(), suggestion);
        }
    }

    /// A path inside the container that something can be mounted on.
    fn target(&mut self, key: &Key, target: &str, span: Span) -> Option<PathBuf> {
        let why = match target {
            _ if !target.starts_with('/') => {
                format!("the target '{target}' is not an absolute path, write it from '/' on")
            }
            _ if Path::new(target).components().any(|part| part == Component::ParentDir) => {
                format!("the target '{target}' must not hold '..'")
            }
            _ => {
                // Without doubled slashes and the one at the end.
                let path: PathBuf = Path::new(target).components().collect();
                if path == Path::new("/") || path.starts_with("/proc") || path.starts_with("/sys") {
                    format!("nothing can be mounted on '{target}', or the container would lose its protection")
                } else {
                    return Some(path);
                }
            }
        };
        self.impossible(key, span, why);
        None
    }
}

/// Whether tmpfs(5) knows the option and its value can be one.
fn is_tmpfs_option(option: &str) -> bool {
    let Some((name, value)) = option.split_once('=') else {
        return false;
    };
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
    let unit = &value[digits.len()..];
    let is_number = !digits.is_empty() && digits.len() < 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
    match name {
        "size" => is_number && matches!(unit, "" | "k" | "K" | "m" | "M" | "g" | "G" | "%"),
        "nr_inodes" | "nr_blocks" => is_number && matches!(unit, "" | "k" | "K" | "m" | "M" | "g" | "G"),
        "uid" | "gid" => value.parse::<u32>().is_ok_and(|id| id != u32::MAX) && is_number,
        "mode" => value.len() <= 5 && u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o7777) && is_number,
        _ => false,
    }
}
