//! Reads a tree, entry by entry, without following a link: each file is looked at and read through one descriptor.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Result, ensure};
use nix::dir::Dir;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::cli::cp::ids::Ids;
use crate::cli::cp::{Sink, shown};
use crate::cli::output::complain;
use crate::store::tarball::{Entry, Kind};
use crate::sys::path::file_type;

/// No tree is deeper that a person has made.
const DEEPEST: usize = 512;

/// Gives `sink` what is open as `found`, under `name`, and all that is in it. Owners are as `ids` show them.
pub(super) fn walk(found: &OwnedFd, name: &[u8], ids: &Ids, sink: &mut impl Sink) -> Result<()> {
    let depth = name.split(|byte| *byte == b'/').count();
    ensure!(depth <= DEEPEST, "'{}' lies too deep", shown(name));
    let status = fstat(found)?;
    let kind = match file_type(&status) {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFLNK => Kind::Symlink(readlinkat(found, "").context("reading a link")?.into_vec()),
        SFlag::S_IFIFO => Kind::Fifo,
        _ => {
            complain(&format!("'{}' is a device or a socket and is not copied", shown(name)));
            return Ok(());
        }
    };
    let (uid, gid) = ids.inside(status.st_uid, status.st_gid);
    let entry = Entry {
        path: name.to_vec(),
        mode: status.st_mode & 0o7777,
        uid,
        gid,
        mtime: (status.st_mtime, u32::try_from(status.st_mtime_nsec).unwrap_or(0)),
        xattrs: Vec::new(),
        size: match kind {
            Kind::File => u64::try_from(status.st_size).unwrap_or(0),
            _ => 0,
        },
        kind,
    };
    match entry.kind {
        Kind::File => {
            // The very file that was looked at, by its descriptor.
            let mut content = reopen(found.as_fd()).with_context(|| format!("opening '{}'", shown(name)))?;
            sink.take(&entry, &mut content)
        }
        _ => sink.take(&entry, &mut std::io::empty()),
    }
    .with_context(|| format!("copying '{}'", shown(name)))?;
    match entry.kind {
        Kind::Directory => walk_directory(found, name, ids, sink),
        _ => Ok(()),
    }
}

fn walk_directory(found: &OwnedFd, name: &[u8], ids: &Ids, sink: &mut impl Sink) -> Result<()> {
    let reading = || format!("reading '{}'", shown(name));
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = openat(found, ".", flags, Mode::empty()).with_context(reading)?;
    let mut names = Vec::new();
    for child in Dir::from_fd(directory)?.iter() {
        names.push(child.with_context(reading)?.file_name().to_bytes().to_vec());
    }
    names.retain(|name| !matches!(name.as_slice(), b"." | b".."));
    names.sort();
    for child in names {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        // One that has gone meanwhile is no part of the tree any more.
        let Ok(inner) = openat(found, OsStr::from_bytes(&child), flags, Mode::empty()) else {
            continue;
        };
        let path = if name.is_empty() {
            child
        } else {
            [name, b"/", &child].concat()
        };
        walk(&inner, &path, ids, sink)?;
    }
    Ok(())
}

/// What is open without being read, for reading.
fn reopen(file: BorrowedFd<'_>) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
