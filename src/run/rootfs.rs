//! The container's part of its root: what is mounted where, and which paths are closed.
//!
//! It happens in the container's own mount namespace and with the container's own rights, with mounts that the shim has made where those do
//! not suffice ([`crate::run::lend`]). Every target lies in a tree that the image controls: it is opened below the root without leaving it,
//! and mounted on by descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use libc::MOUNT_ATTR_RDONLY;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat};

use crate::plan::Plan;
use crate::plan::mount::{Kind, Mount};
use crate::run::handover::{Message, Taker};
use crate::sys::mount::{Depth, Filesystem, add_attributes, attach, clone_tree};
use crate::sys::path::{Links, file_type, make_directory_in_root, make_file_in_root, open_in_root};

/// Completes the root that `plan` describes.
///
/// # Errors
/// What the kernel says of a mount, with the path it was for; or the shim is gone.
pub fn complete(plan: &Plan, root: BorrowedFd<'_>, shim: &Taker) -> Result<()> {
    for (number, mount) in (0..).zip(&plan.mounts) {
        mount_one(root, mount, number, shim).with_context(|| format!("mounting '{}'", mount.target.display()))?;
    }
    let empty = [
        shim.await_one(Message::EmptyDirectory)?,
        shim.await_one(Message::EmptyFile)?,
    ];
    close_paths(root, &plan.masked_paths, &plan.read_only_paths, &empty)?;
    let directory = Path::new(&plan.process.working_directory);
    make_directory_in_root(root, directory, Links::Inside)
        .with_context(|| format!("opening the working directory '{}'", directory.display()))?;
    if plan.writable_layer.is_none() {
        add_attributes(root, MOUNT_ATTR_RDONLY, Depth::Mount).context("making the root read-only")?;
    }
    Ok(())
}

fn mount_one(root: BorrowedFd<'_>, mount: &Mount, number: u16, shim: &Taker) -> Result<()> {
    let part = || shim.await_maybe(Message::Mount(number));
    let (part, target) = match &mount.kind {
        Kind::New { filesystem, parameters } => {
            // /proc and its kind lie where the skeleton has them; on a tmpfs the administrator may name a path with links.
            let links = if *filesystem == "tmpfs" {
                Links::Inside
            } else {
                Links::Refuse
            };
            (
                new_filesystem(filesystem, parameters, mount.attributes())?,
                make_directory_in_root(root, &mount.target, links)?,
            )
        }
        Kind::Devices => (
            part()?.context("the shim has made none")?,
            make_directory_in_root(root, &mount.target, Links::Refuse)?,
        ),
        Kind::ZoneFile(_) => {
            let Some(part) = part()? else { return Ok(()) };
            if is_link(root, &mount.target)? {
                return Ok(());
            }
            (part, make_file_in_root(root, &mount.target)?)
        }
        Kind::Bind { .. } | Kind::BindIfPresent(_) | Kind::HostSysfs | Kind::File(_) => {
            let Some(part) = part()? else { return Ok(()) };
            let target = if is_directory(part.as_fd())? {
                make_directory_in_root(root, &mount.target, Links::Inside)?
            } else {
                make_file_in_root(root, &mount.target)?
            };
            (part, target)
        }
    };
    Ok(attach(part.as_fd(), target.as_fd())?)
}

/// Whether the image has a link at `path`, the rest of which may lead through others.
fn is_link(root: BorrowedFd<'_>, path: &Path) -> io::Result<bool> {
    match open_in_root(root, path, OFlag::O_PATH | OFlag::O_NOFOLLOW, Links::Inside) {
        Ok(found) => Ok(file_type(&fstat(found)?) == SFlag::S_IFLNK),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether it is one.
///
/// # Errors
/// What fstat(2) says.
pub fn is_directory(file: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(file_type(&fstat(file)?) == SFlag::S_IFDIR)
}

/// A detached mount of a new file system.
///
/// # Errors
/// What the file system says of its parameters.
pub fn new_filesystem(kind: &str, parameters: &[String], attributes: u64) -> Result<OwnedFd> {
    let filesystem = Filesystem::open(kind).with_context(|| format!("opening the file system type '{kind}'"))?;
    for parameter in parameters {
        let result = match parameter.split_once('=') {
            Some((key, value)) => filesystem.set(key, value),
            None => filesystem.flag(parameter),
        };
        result.with_context(|| format!("setting '{parameter}'"))?;
    }
    Ok(filesystem.mount(attributes)?)
}

/// Hides what is to be hidden and makes read-only what is to be read only, where it exists.
///
/// Each path of procfs and sysfs is looked up from its first directory, which is a file system of its own: a look-up through the overlay
/// costs as much as the mount. Others are the definition's, and may lead through links of the image. `empty` are a directory and a file,
/// mounted where nothing of the image has been.
///
/// # Errors
/// What the kernel says of a mount, with the path it was for.
pub fn close_paths(root: BorrowedFd<'_>, masked: &[String], read_only: &[String], empty: &[OwnedFd; 2]) -> Result<()> {
    for top in ["/proc", "/sys"] {
        let mut hidden = masked.iter().filter_map(|path| below(top, path)).peekable();
        let mut fixed = read_only.iter().filter_map(|path| below(top, path)).peekable();
        if hidden.peek().is_none() && fixed.peek().is_none() {
            continue;
        }
        let directory = open_in_root(root, Path::new(top), OFlag::O_PATH | OFlag::O_DIRECTORY, Links::Refuse)
            .with_context(|| format!("opening '{top}'"))?;
        for path in hidden {
            existing(directory.as_fd(), Path::new(path), Links::Refuse)
                .and_then(|target| hide(target, empty))
                .with_context(|| format!("masking '{top}/{path}'"))?;
        }
        for path in fixed {
            make_read_only(directory.as_fd(), Path::new(path), Links::Refuse)
                .with_context(|| format!("making '{top}/{path}' read-only"))?;
        }
    }
    let is_elsewhere = |path: &&String| ["/proc", "/sys"].iter().all(|top| below(top, path).is_none());
    for path in masked.iter().filter(is_elsewhere) {
        existing(root, Path::new(path), Links::Inside)
            .and_then(|target| hide(target, empty))
            .with_context(|| format!("masking '{path}'"))?;
    }
    for path in read_only.iter().filter(is_elsewhere) {
        make_read_only(root, Path::new(path), Links::Inside).with_context(|| format!("making '{path}' read-only"))?;
    }
    Ok(())
}

/// What of `path` comes after the directory `top`.
fn below<'p>(top: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(top)?.strip_prefix('/')
}

/// Mounts one of the empty ones, a directory and a file, over `target`.
fn hide(target: Option<OwnedFd>, [directory, file]: &[OwnedFd; 2]) -> Result<()> {
    let Some(target) = target else { return Ok(()) };
    let empty = if is_directory(target.as_fd())? { directory } else { file };
    Ok(attach(
        clone_tree(empty.as_fd(), Depth::Mount)?.as_fd(),
        target.as_fd(),
    )?)
}

fn make_read_only(root: BorrowedFd<'_>, path: &Path, links: Links) -> Result<()> {
    let Some(target) = existing(root, path, links)? else {
        return Ok(());
    };
    let copy = clone_tree(target.as_fd(), Depth::Tree)?;
    add_attributes(copy.as_fd(), MOUNT_ATTR_RDONLY, Depth::Tree)?;
    Ok(attach(copy.as_fd(), target.as_fd())?)
}

fn existing(root: BorrowedFd<'_>, path: &Path, links: Links) -> Result<Option<OwnedFd>> {
    match open_in_root(root, path, OFlag::O_PATH, links) {
        Ok(target) => Ok(Some(target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
