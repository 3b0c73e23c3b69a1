//! Writes entries into a directory that others may change meanwhile: a container's, which is hostile, or one of the host.
//!
//! Every path is resolved from the directory's descriptor, without following any link (openat2(2)). What is made is made under a name that nobody
//! has yet, described through its descriptor, and then renamed to its own: what it replaces is never opened, nor followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, fchmod, fstat, futimens, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat};

use crate::cli::cp::ids::Ids;
use crate::cli::cp::{Sink, shown};
use crate::cli::output::complain;
use crate::store::tarball::{Entry, Kind};
use crate::sys::path::file_type;

/// Whose the copies are.
#[derive(Debug)]
pub(super) enum Owners {
    /// All belong to one user and group of the host.
    One(u32, u32),
    /// Each to whom its entry names, these being identities of the place where they go.
    Kept(Ids),
}

/// The directory.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) directory: OwnedFd,
    pub(super) owners: Owners,
    /// Counts the names that nobody has.
    pub(super) made: u64,
}

impl Sink for Tree {
    fn take(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<()> {
        let names = components(&entry.path)?;
        let Some((name, parents)) = names.split_last() else {
            ensure!(entry.kind == Kind::Directory, "it has no name");
            return Ok(());
        };
        let parent = self.parent(parents)?;
        let (uid, gid) = match &self.owners {
            Owners::One(uid, gid) => (*uid, *gid),
            Owners::Kept(ids) => ids.outside(entry.uid, entry.gid)?,
        };
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        let mode = Mode::from_bits_truncate(entry.mode);
        if entry.kind == Kind::Directory {
            if let Some(made) = make_directory(&parent, name)? {
                fchown(&made, owner.0, owner.1).context("setting its owner")?;
                fchmod(&made, mode).context("setting its mode")?;
            }
            return Ok(());
        }
        self.made += 1;
        let temporary = format!(".coracle-cp-{}-{}", std::process::id(), self.made);
        let temporary = OsStr::new(&temporary);
        let time = TimeSpec::new(entry.mtime.0, entry.mtime.1.into());
        match &entry.kind {
            Kind::File => {
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let made =
                    openat(&parent, temporary, flags, Mode::from_bits_truncate(0o600)).context("making a file")?;
                let mut made = File::from(made);
                let mut described = || -> Result<()> {
                    // One that grows without end ends where it did; what has no size, as in /proc, is read to its end.
                    let most = if entry.size == 0 { u64::MAX } else { entry.size };
                    io::copy(&mut content.take(most), &mut made).context("writing")?;
                    fchown(&made, owner.0, owner.1).context("setting its owner")?;
                    // After the owner, a change of which takes the setuid bit.
                    fchmod(&made, mode).context("setting its mode")?;
                    futimens(&made, &time, &time).context("setting its time")
                };
                return described()
                    .and_then(|()| put(&parent, temporary, name))
                    .inspect_err(|_| {
                        let _ = unlinkat(&parent, temporary, UnlinkatFlags::NoRemoveDir);
                    });
            }
            Kind::Symlink(target) => {
                symlinkat(OsStr::from_bytes(target), &parent, temporary).context("making a link")?
            }
            Kind::Fifo => mknodat(&parent, temporary, SFlag::S_IFIFO, mode, 0).context("making a pipe")?,
            Kind::HardLink(target) => {
                let target = components(target)?;
                let (target, directories) = target.split_last().context("a link to a directory")?;
                let directory =
                    open_below(&self.directory, &directories.join(&b'/')).context("opening what it links to")?;
                linkat(
                    &directory,
                    OsStr::from_bytes(target),
                    &parent,
                    temporary,
                    AtFlags::empty(),
                )
                .context("making a link")?;
                return put(&parent, temporary, name);
            }
            Kind::Directory | Kind::Character(..) | Kind::Block(..) => {
                complain(&format!("'{}' is a device and is not copied", shown(&entry.path)));
                return Ok(());
            }
        }
        let itself = AtFlags::AT_SYMLINK_NOFOLLOW;
        fchownat(&parent, temporary, owner.0, owner.1, itself).context("setting its owner")?;
        utimensat(&parent, temporary, &time, &time, UtimensatFlags::NoFollowSymlink).context("setting its time")?;
        put(&parent, temporary, name)
    }
}

impl Tree {
    fn parent(&self, names: &[&[u8]]) -> Result<OwnedFd> {
        let mut directory = self.directory.try_clone()?;
        match open_below(&directory, &names.join(&b'/')) {
            Err(Errno::ENOENT) => {}
            found => return found.context("opening its directory"),
        }
        for name in names {
            make_directory(&directory, name)?;
            directory = open_below(&directory, name).context("opening its directory")?;
        }
        Ok(directory)
    }
}

fn open_below(directory: &OwnedFd, path: &[u8]) -> nix::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat2(
        directory,
        OsStr::from_bytes(path),
        OpenHow::new().flags(flags).resolve(resolve),
    )
}

/// Makes a directory; `None` if there is one, which stays as it is.
fn make_directory(parent: &OwnedFd, name: &[u8]) -> Result<Option<OwnedFd>> {
    match mkdirat(parent, OsStr::from_bytes(name), Mode::from_bits_truncate(0o755)) {
        Ok(()) => Ok(Some(
            open_below(parent, name).context("opening the directory that was just made")?,
        )),
        Err(Errno::EEXIST) => match open_below(parent, name) {
            Ok(_) => Ok(None),
            Err(errno) => bail!(
                "'{}' is in the way, and is no directory ({})",
                shown(name),
                errno.desc()
            ),
        },
        Err(errno) => Err(errno).context("making a directory"),
    }
}

/// Gives what is called `temporary` its name.
fn put(parent: &OwnedFd, temporary: &OsStr, name: &[u8]) -> Result<()> {
    let name = OsStr::from_bytes(name);
    let renamed = match renameat(parent, temporary, parent, name) {
        // A file that is a mount, as /etc/hosts is, can only be written to.
        Err(Errno::EBUSY) => return overwrite(parent, temporary, name),
        Err(Errno::EISDIR) => Err(anyhow::anyhow!("there is a directory in its place")),
        renamed => renamed.context("giving it its name"),
    };
    renamed.inspect_err(|_| {
        let _ = unlinkat(parent, temporary, UnlinkatFlags::NoRemoveDir);
    })
}

fn overwrite(parent: &OwnedFd, temporary: &OsStr, name: &OsStr) -> Result<()> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let write = || -> Result<()> {
        let mut from = File::from(openat(parent, temporary, flags | OFlag::O_RDONLY, Mode::empty())?);
        let to = openat(parent, name, flags | OFlag::O_WRONLY, Mode::empty())?;
        ensure!(file_type(&fstat(&to)?) == SFlag::S_IFREG, "it is not a regular file");
        let mut to = File::from(to);
        to.set_len(0)?;
        io::copy(&mut from, &mut to)?;
        Ok(())
    };
    let written = write().context("writing to the mount in its place");
    unlinkat(parent, temporary, UnlinkatFlags::NoRemoveDir).context("removing what was made for it")?;
    written
}

/// The parts of a path, which never lead upwards.
fn components(path: &[u8]) -> Result<Vec<&[u8]>> {
    let parts = path
        .split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."));
    let parts: Vec<_> = parts.collect();
    ensure!(
        parts.iter().all(|part| *part != b".."),
        "the name leads out of its directory with '..'"
    );
    Ok(parts)
}
