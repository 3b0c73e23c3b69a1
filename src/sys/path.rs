//! Paths inside a root that somebody else controls: looked up without ever leaving it (openat2(2)).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};

/// What becomes of symbolic links on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They are followed, as if the root were `/`.
    Inside,
    /// `ELOOP`.
    Refuse,
}

/// Opens `path` below `root` with `flags` of open(2), without ever leaving it and without links of procfs.
///
/// # Errors
/// `ENOENT` if it is not there.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlag, links: Links) -> io::Result<OwnedFd> {
    let mut resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlag::RESOLVE_NO_SYMLINKS;
    }
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    // The kernel asks to try again when a rename anywhere raced with a lookup that had to prove it stayed inside.
    for _ in 0..64 {
        match openat2(root, path, how) {
            Err(Errno::EAGAIN) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::EAGAIN.into())
}

/// Opens the directory `path` below `root`, making what is missing of it with mode 0755, step by step.
///
/// # Errors
/// `ENOTDIR` if a part is no directory, `EROFS` if it is missing and cannot be made.
pub fn make_directory_in_root(root: BorrowedFd<'_>, path: &Path, links: Links) -> io::Result<OwnedFd> {
    let open = || open_in_root(root, path, OFlag::O_PATH | OFlag::O_DIRECTORY, links);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let (parent, name) = split(path)?;
    let parent = make_directory_in_root(root, parent, links)?;
    match mkdirat(parent.as_fd(), name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => open(),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens the file `path` below `root`, making it, empty and with mode 0644, if it is missing: a place for a bind mount of a file.
///
/// # Errors
/// As [`make_directory_in_root`].
pub fn make_file_in_root(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let open = || open_in_root(root, path, OFlag::O_PATH, Links::Inside);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let (parent, name) = split(path)?;
    let parent = make_directory_in_root(root, parent, Links::Inside)?;
    // mknod makes a regular file without opening it, and never follows a link.
    match mknodat(parent.as_fd(), name, SFlag::S_IFREG, Mode::from_bits_truncate(0o644), 0) {
        Ok(()) | Err(Errno::EEXIST) => open(),
        Err(errno) => Err(errno.into()),
    }
}

/// The path as the kernel takes it.
///
/// # Errors
/// `InvalidInput` if there is a NUL in it.
pub fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn split(path: &Path) -> io::Result<(&Path, &Path)> {
    match (path.parent(), path.components().next_back()) {
        (Some(parent), Some(Component::Normal(name))) => Ok((parent, Path::new(name))),
        _ => Err(Errno::EINVAL.into()),
    }
}
