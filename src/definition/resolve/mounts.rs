//! `Tmpfs=` and the places that something can be mounted on.

use std::path::{Component, Path, PathBuf};

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Key;
use crate::definition::report::Span;
use crate::definition::resolve::{Resolver, last};
use crate::definition::setting::Settings;
use crate::definition::volume::{Memory, Volume, is_free};
use crate::definition::{Definition, Propagation, Tmpfs, UserNamespace};

impl Resolver<'_, '_> {
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
            kind: Memory::Tmpfs,
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

    /// A file system in memory that is never swapped out. All it can be told is its mode.
    pub(super) fn ramfs<'o>(
        &mut self,
        key: &Key,
        target: &str,
        options: impl IntoIterator<Item = &'o str>,
        span: Span,
    ) -> Option<Tmpfs> {
        let ramfs = self.memory(key, target, options, span)?;
        if let Some(option) = ramfs.options.iter().find(|option| !option.starts_with("mode=")) {
            self.impossible(
                key,
                span,
                format_args!("a ramfs has no option '{option}'; MemoryMax= limits it, or use type=tmpfs"),
            );
            return None;
        }
        Some(Tmpfs {
            kind: Memory::Ramfs,
            ..ramfs
        })
    }

    /// Terminals of the container's own.
    pub(super) fn terminals<'o>(
        &mut self,
        key: &Key,
        target: &str,
        options: impl IntoIterator<Item = &'o str>,
        span: Span,
    ) -> Option<Tmpfs> {
        let (max, others): (Vec<&str>, Vec<&str>) = options.into_iter().partition(|option| option.starts_with("max="));
        let terminals = self.memory(key, target, others, span)?;
        let is_one = |option: &&String| ["mode=", "uid=", "gid="].iter().any(|known| option.starts_with(known));
        let max: Vec<String> = max.into_iter().map(str::to_owned).collect();
        let is_count = |option: &&String| option[4..].parse::<u32>().is_ok_and(|max| max <= 1 << 20);
        let wrong = terminals.options.iter().find(|option| !is_one(option));
        if let Some(option) = wrong.or_else(|| max.iter().find(|option| !is_count(option))) {
            self.impossible(
                key,
                span,
                format_args!("option '{option}' is not one that a devpts can have: uid=, gid=, mode=, max="),
            );
            return None;
        }
        Some(Tmpfs {
            options: [terminals.options, max].concat(),
            kind: Memory::Devpts,
            ..terminals
        })
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
    pub(super) fn target(&mut self, key: &Key, target: &str, span: Span) -> Option<PathBuf> {
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
                if is_free(&path) {
                    return Some(path);
                }
                format!("nothing can be mounted on '{target}', or the container would lose its protection")
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
