//! A path on the host or in a container, opened without ever leaving the container.
//!
//! A container's files are reached from the root of its mount namespace, so its volumes are there too. The kernel resolves each
//! path from there on with `RESOLVE_IN_ROOT` and without links of procfs (openat2(2)), in one call: what the container changes meanwhile
//! changes what is found, never where it lies (CVE-2019-14271 and its kind). Nothing of the container is executed or loaded.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::sys::path::{Links, file_type, open_in_root};

/// Where something is copied from or to.
#[derive(Debug)]
pub(super) struct Place {
    /// The container's root; `None` on the host.
    root: Option<OwnedFd>,
    path: PathBuf,
    pub(super) ending: Ending,
}

/// How a path ends, which says what is meant by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Like any path.
    Name,
    /// `/`: a directory.
    Slash,
    /// `/.`: what is in a directory.
    Dot,
}

/// What becomes of a link in the last place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Followed,
    Itself,
}

/// Where a copy goes: a directory, and the name in it. Without a name, the directory is what is copied.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) directory: OwnedFd,
    pub(super) name: Vec<u8>,
}

impl Place {
    pub(super) fn on_host(path: &str) -> Self {
        Self {
            root: None,
            path: path.into(),
            ending: Ending::of(path),
        }
    }

    /// `path` in the container that has this root.
    pub(super) fn in_container(root: OwnedFd, path: &str) -> Self {
        Self {
            root: Some(root),
            path: Path::new("/").join(path.trim_start_matches('/')),
            ending: Ending::of(path),
        }
    }

    /// Opens it without reading or writing it.
    pub(super) fn open(&self, last: Last) -> io::Result<OwnedFd> {
        open(self.root.as_ref(), &self.path, last)
    }

    /// What a copy of it is called; nothing for a root.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = self.path.file_name().map(OsStr::to_owned);
        let name = name.or_else(|| Some(std::path::absolute(&self.path).ok()?.file_name()?.to_owned()));
        name.filter(|_| self.root.is_none() || self.path.file_name().is_some())
            .map(|name| name.as_bytes().to_vec())
            .unwrap_or_default()
    }

    /// Where a copy of `source` goes that is a directory or not, as cp(1) and the container world have it.
    pub(super) fn target(&self, source: &Self, is_directory: bool) -> Result<Target> {
        let path = self.path.display();
        match self.open(Last::Followed) {
            Ok(found) if file_type(&fstat(&found)?) == SFlag::S_IFDIR => Ok(Target {
                directory: found,
                name: if source.ending == Ending::Dot {
                    Vec::new()
                } else {
                    source.name()
                },
            }),
            Ok(_) if is_directory => bail!("'{path}' is no directory, and a directory cannot be copied over it"),
            Ok(_) if self.ending != Ending::Name => bail!("'{path}' is no directory"),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("opening '{path}'"))
            }
            Err(_) if self.ending != Ending::Name && !is_directory => bail!("there is no directory '{path}'"),
            _ => {
                let name: OsString = self
                    .path
                    .file_name()
                    .with_context(|| format!("'{path}' has no name"))?
                    .into();
                let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = parent.unwrap_or(Path::new("."));
                let directory = open(self.root.as_ref(), parent, Last::Followed);
                let directory = directory.with_context(|| format!("opening '{}'", parent.display()))?;
                Ok(Target {
                    directory,
                    name: name.as_bytes().to_vec(),
                })
            }
        }
    }

    /// As it was typed, but for the container's name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Ending {
    fn of(path: &str) -> Self {
        match path {
            "." => Self::Dot,
            path if path.ends_with("/.") => Self::Dot,
            path if path.ends_with('/') || path.is_empty() => Self::Slash,
            _ => Self::Name,
        }
    }
}

fn open(root: Option<&OwnedFd>, path: &Path, last: Last) -> io::Result<OwnedFd> {
    let mut flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    if last == Last::Itself {
        flags |= OFlag::O_NOFOLLOW;
    }
    match root {
        Some(root) => open_in_root(root.as_fd(), path, flags, Links::Inside),
        None => Ok(openat(AT_FDCWD, path, flags, Mode::empty())?),
    }
}
