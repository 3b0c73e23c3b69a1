//! Makes the nodes and links of a container's `/dev` (runtime-spec config-linux.md, "Devices", "Default Devices"; runtime-linux.md).
//!
//! `/dev` may be the image's own directory: nothing in it is followed, and what bears the name of a device and is another is replaced.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat, mknodat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};

use crate::oci::plan::device::Node;
use crate::sys::mount::attach;
use crate::sys::path::{Links, file_type, make_directory_in_root, open_in_root};

/// What every program may expect in `/dev`, and where it leads.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Makes `nodes` in `root`, of the host's own where `lent` has them.
///
/// # Errors
/// What the kernel says, with the path.
pub fn make(nodes: &[Node], root: BorrowedFd<'_>, lent: &[Option<OwnedFd>]) -> Result<()> {
    let mut opened: Option<(&Path, OwnedFd)> = None;
    for (number, node) in nodes.iter().enumerate() {
        let making = || format!("making the device '{}'", node.path.display());
        let (parent, name) = node.path.parent().zip(node.path.file_name()).with_context(making)?;
        let name = Path::new(name);
        let directory = match &opened {
            Some((path, directory)) if *path == parent => directory,
            _ => {
                let directory = make_directory_in_root(root, parent, Links::Refuse).with_context(making)?;
                &opened.insert((parent, directory)).1
            }
        };
        let source = lent.get(number).and_then(Option::as_ref);
        one(node, name, directory.as_fd(), source).with_context(making)?;
    }
    let directory = make_directory_in_root(root, Path::new("/dev"), Links::Refuse).context("opening '/dev'")?;
    for (name, target) in LINKS {
        link(directory.as_fd(), name, target).with_context(|| format!("making the link '/dev/{name}'"))?;
    }
    // A terminal's other end is opened through the container's own terminals, whatever the image has there.
    if open_in_root(root, Path::new("/dev/pts/ptmx"), OFlag::O_PATH, Links::Refuse).is_ok() {
        remove(directory.as_fd(), Path::new("ptmx"))?;
        link(directory.as_fd(), "ptmx", "pts/ptmx").context("making the link '/dev/ptmx'")?;
    }
    Ok(())
}

fn one(node: &Node, name: &Path, directory: BorrowedFd<'_>, source: Option<&OwnedFd>) -> Result<()> {
    if let Some(source) = source {
        remove(directory, name)?;
        mknodat(directory, name, SFlag::S_IFREG, Mode::from_bits_truncate(0o644), 0)?;
        let target = open_in_root(directory, name, OFlag::O_PATH | OFlag::O_NOFOLLOW, Links::Refuse)?;
        return Ok(attach(source.as_fd(), target.as_fd())?);
    }
    let make = || mknodat(directory, name, node.kind, node.mode, node.numbers);
    match make() {
        Err(Errno::EEXIST) => {
            let found = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            if file_type(&found) != node.kind || found.st_rdev != node.numbers {
                remove(directory, name)?;
                make()?;
            }
        }
        made => made?,
    }
    let (user, group) = node.owner;
    if (user, group) != (0, 0) {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        fchownat(directory, name, Some(user), Some(group), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    }
    // The directory is the image's, the name now is not: nobody else is in the container yet.
    Ok(fchmodat(directory, name, node.mode, FchmodatFlags::FollowSymlink)?)
}

fn remove(directory: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A link, unless there is something of that name.
fn link(directory: BorrowedFd<'_>, name: &str, target: &str) -> io::Result<()> {
    match symlinkat(target, directory, name) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
