//! Copies what a directory of the image holds into the new file system that is mounted over it (the mount option `tmpcopyup`).
//!
//! Nothing is followed: links are copied as links, and each directory is opened in the one before it. There is a bound on how much.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, ensure};
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, fchown, fchownat, symlinkat};

use crate::sys::path::file_type;

/// How deep directories may lie in one another.
const DEEPEST: u32 = 64;

/// Copies the content of the directory `from` into the directory `to`.
///
/// # Errors
/// What the file systems say; one that is full among it.
pub fn copy_up(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let to = openat(
        to,
        ".",
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    directory(from.try_clone_to_owned()?, to.as_fd(), 0)
}

fn directory(from: OwnedFd, to: BorrowedFd<'_>, depth: u32) -> Result<()> {
    ensure!(depth < DEEPEST, "directories lie too deep in one another");
    own(to, &fstat(&from)?)?;
    let mut entries = Dir::from_fd(openat(
        &from,
        ".",
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?)?;
    let names: Vec<_> = entries
        .iter()
        .map(|entry| entry.map(|entry| entry.file_name().to_owned()))
        .collect::<Result<_, _>>()?;
    for name in names
        .iter()
        .map(AsRef::as_ref)
        .filter(|name: &&CStr| !matches!(name.to_bytes(), b"." | b".."))
    {
        one(from.as_fd(), to, name, depth).with_context(|| format!("copying '{}'", name.to_string_lossy()))?;
    }
    Ok(())
}

fn one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<()> {
    let found = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let (user, group) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
    let safe = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    match file_type(&found) {
        SFlag::S_IFDIR => {
            mkdirat(to, name, Mode::from_bits_truncate(0o700))?;
            let inner = openat(to, name, safe | OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
            directory(
                openat(from, name, safe | OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?,
                inner.as_fd(),
                depth + 1,
            )
        }
        SFlag::S_IFLNK => {
            symlinkat(readlinkat(from, name)?.as_os_str(), to, name)?;
            Ok(fchownat(
                to,
                name,
                Some(user),
                Some(group),
                AtFlags::AT_SYMLINK_NOFOLLOW,
            )?)
        }
        SFlag::S_IFREG => {
            let source = File::from(openat(from, name, safe | OFlag::O_RDONLY, Mode::empty())?);
            let flags = safe | OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
            let mut target = File::from(openat(to, name, flags, Mode::from_bits_truncate(0o600))?);
            // As long as it was: one that grows meanwhile has no end.
            let length = u64::try_from(found.st_size).unwrap_or(0);
            io::copy(&mut source.take(length), &mut target)?;
            own(target.as_fd(), &found)
        }
        // Sockets, FIFOs and nodes mean nothing in another place.
        _ => Ok(()),
    }
}

fn own(file: BorrowedFd<'_>, like: &FileStat) -> Result<()> {
    fchown(file, Some(Uid::from_raw(like.st_uid)), Some(Gid::from_raw(like.st_gid)))?;
    Ok(fchmod(file, Mode::from_bits_truncate(like.st_mode & 0o7777))?)
}
