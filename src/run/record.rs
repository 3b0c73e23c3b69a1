//! What a container was started from: the images and the definition, as a symbolic link that leads nowhere.
//!
//! A name in the store may stand for another image by now, and the files of the generator are another reload's. `coracle update` and
//! `coracle apply` must know what a container that runs has of either, and nobody else knows: the payload is not asked, init is closed to a
//! user, and systemd forgets a unit's old text. So the shim writes it down, `/run/coracle/.UNIT`, while the container builds itself, and
//! `ExecStopPost=` removes it. It counts for the run whose number is in it and for no other, so what is left of a killed one says nothing.
//!
//! A link is made at once, whole or not at all, and short ones take no page.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use crate::image::digest::Digest;
use crate::run::place;

/// What is known of a container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The number that systemd has given to this run (`$INVOCATION_ID`).
    pub invocation: String,
    /// What its unit's files were, as [`fingerprint`] has it.
    pub definition: u64,
    /// The manifests of its images: that of its root first, then those that are mounted, in the definition's order.
    pub manifests: Vec<Digest>,
}

/// What stands in it where a number or a list is empty.
const NOTHING: &str = "-";

/// A record that is yet to be written: by then this process may be where no path leads to the host.
#[derive(Debug)]
pub struct Draft {
    directory: OwnedFd,
    name: String,
    invocation: String,
    resolved: String,
    service: Option<File>,
    manifests: Vec<Digest>,
}

impl Draft {
    /// The record of this start of `unit`, of the resolved definition at `path` with this text. `environment` is what systemd gave to the shim.
    ///
    /// # Errors
    /// What open(2) and mkdir(2) say of the directory.
    pub fn new(
        unit: &str,
        (path, resolved): (&Path, String),
        environment: &[(String, String)],
        manifests: Vec<Digest>,
    ) -> io::Result<Self> {
        let invocation = environment.iter().find(|(name, _)| name == "INVOCATION_ID");
        let link = link(&place::runtime(), unit);
        let directory = link.parent().unwrap_or(Path::new("/"));
        let directory = match File::open(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(directory)?;
                File::open(directory)?
            }
            opened => opened?,
        };
        Ok(Self {
            directory: directory.into(),
            name: file_name(unit),
            invocation: invocation.map_or_else(String::new, |(_, id)| id.clone()),
            resolved,
            service: File::open(path.with_extension("service")).ok(),
            manifests,
        })
    }

    /// Writes it down.
    ///
    /// # Errors
    /// What symlink(2) says.
    pub fn write(self) -> io::Result<()> {
        let mut service = String::new();
        if let Some(mut file) = self.service {
            file.read_to_string(&mut service)?;
        }
        let record = Record {
            invocation: self.invocation,
            definition: fingerprint(&self.resolved, &service),
            manifests: self.manifests,
        };
        let (text, name) = (record.text(), self.name.as_str());
        match symlinkat(text.as_str(), &self.directory, name) {
            Err(Errno::EEXIST) => {
                unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir)?;
                Ok(symlinkat(text.as_str(), &self.directory, name)?)
            }
            made => Ok(made?),
        }
    }
}

impl Record {
    /// What was written down for `unit`, where `runtime` is what lasts until the next boot. Nothing if it is not of the run of this number.
    #[must_use]
    pub fn read(runtime: &Path, unit: &str, invocation: &str) -> Option<Self> {
        let text = fs::read_link(link(runtime, unit)).ok()?;
        Self::parse(text.to_str()?).filter(|record| record.invocation == invocation && !invocation.is_empty())
    }

    fn text(&self) -> String {
        let manifests: Vec<&str> = self.manifests.iter().map(Digest::hex).collect();
        let or_nothing = |text: &str| {
            if text.is_empty() {
                NOTHING.to_owned()
            } else {
                text.to_owned()
            }
        };
        let (invocation, manifests) = (or_nothing(&self.invocation), or_nothing(&manifests.join(",")));
        format!("{invocation} {:016x} {manifests}", self.definition)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (invocation, definition, manifests) = (words.next()?, words.next()?, words.next()?);
        let manifests = manifests.split(',').filter(|hex| *hex != NOTHING);
        Some(Self {
            invocation: Some(invocation).filter(|id| *id != NOTHING)?.to_owned(),
            definition: u64::from_str_radix(definition, 16).ok()?,
            manifests: manifests
                .map(|hex| format!("sha256:{hex}").parse().ok())
                .collect::<Option<_>>()?,
        })
    }
}

/// Removes what was written down for `unit`. That there is nothing, or that it stays, hurts nobody.
pub fn forget(unit: &str) {
    let _ = fs::remove_file(link(&place::runtime(), unit));
}

/// The units of which something is written down.
#[must_use]
pub fn units() -> Vec<String> {
    let names = place::names().into_iter();
    names
        .filter_map(|name| Some(name.strip_prefix('.')?.to_owned()))
        .filter(|name| name.ends_with(".service"))
        .collect()
}

/// What two texts are told apart by: FNV-1a, which takes a start a microsecond. They are the administrator's, and nobody makes them alike.
#[must_use]
pub fn fingerprint(resolved: &str, service: &str) -> u64 {
    let bytes = resolved.bytes().chain([0]).chain(service.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn link(runtime: &Path, unit: &str) -> PathBuf {
    runtime.join("coracle").join(file_name(unit))
}

fn file_name(unit: &str) -> String {
    format!(".{unit}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{Record, fingerprint, link};
    use crate::image::digest::Digest;

    #[test]
    fn what_was_written_is_read_by_those_who_know_the_run() {
        let runtime = tempfile::tempdir().unwrap();
        std::fs::create_dir(runtime.path().join("coracle")).unwrap();
        for manifests in [
            vec![],
            vec![Digest::of(b"one")],
            vec![Digest::of(b"one"), Digest::of(b"two")],
        ] {
            let record = Record {
                invocation: "0123456789abcdef0123456789abcdef".to_owned(),
                definition: fingerprint("{}", "[Unit]"),
                manifests,
            };
            let link = link(runtime.path(), "web@a.service");
            let _ = std::fs::remove_file(&link);
            symlink(record.text(), link).unwrap();
            let read = |id: &str| Record::read(runtime.path(), "web@a.service", id);
            assert_eq!(read(&record.invocation), Some(record));
            assert_eq!((read("another"), read("")), (None, None));
        }
    }

    #[test]
    fn nothing_else_is_a_record() {
        for text in ["", "a", "a b c", "- 0000000000000000 -", "a 0000000000000000 xyz"] {
            assert_eq!(Record::parse(text), None, "{text}");
        }
        assert_ne!(fingerprint("a", "b"), fingerprint("ab", ""));
    }
}
