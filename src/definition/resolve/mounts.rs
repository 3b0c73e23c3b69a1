//! `Volume=` and `Tmpfs=`: what is mounted where, and which options mean something.
//!
//! An option whose absence would open something (`noexec`, `O`) is an error while it is not carried out, others are named and left out.

use std::path::{Component, Path, PathBuf};

use crate::definition::keys::Key;
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::resolve::values::is_absolute;
use crate::definition::{Owners, Tmpfs, Volume};

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
        };
        for option in parts.next().unwrap_or_default().split(',') {
            match option {
                "" | "rw" | "bind" | "rbind" => {}
                "ro" => volume.read_only = true,
                "idmap" => volume.owners = Owners::Inside,
                "noidmap" => volume.owners = Owners::Outside,
                "z" | "Z" | "cached" | "delegated" | "consistent" | "private" | "rprivate" | "exec" | "suid"
                | "dev" | "nocopy" | "copy" => {
                    let message = format!("'{}': option '{option}' is not carried out yet, ignoring", key.name);
                    self.report.warning(span, message);
                }
                _ => {
                    let why = format!(
                        "option '{option}' is not known or not carried out yet, write 'ro', 'rw', 'noidmap' or nothing"
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
        let mut tmpfs = Tmpfs {
            target: self.target(key, target, span)?,
            options: Vec::new(),
            read_only: false,
            exec: false,
        };
        for option in options.split(',') {
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
