//! The container's part of a new volume: it gets the files, the owner and the mode that the image has in its place.
//!
//! Whatever the image has there is looked up below the root and never beside it, with the container's own rights. Owners are those that it
//! sees; the mount shows them on disk as the same numbers.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown};

use crate::definition::volume::Copying;
use crate::plan::volume::Volume;
use crate::run::failure::{Priority, say};
use crate::store::copy::copy_tree;
use crate::sys::path::{Links, open_in_root};

/// Fills the empty `directory`, which will be mounted on `target` below `root`. Where the image has no such directory, the volume belongs to
/// the user and group that `program` gives.
///
/// # Errors
/// What the kernel says of a file, with its path.
pub fn fill(
    volume: &Volume,
    target: &Path,
    root: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    program: impl FnOnce() -> Result<(Uid, Gid)>,
) -> Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let to = File::from(openat(directory, ".", flags, Mode::empty()).context("opening the new volume")?);
    let of_image = match open_in_root(root, target, flags, Links::Inside) {
        Ok(found) => Some(File::from(found)),
        Err(error) if is_absent(&error) => None,
        Err(error) => return Err(error).with_context(|| format!("opening '{}' of the image", target.display())),
    };
    let (mut owner, mut mode) = (None, Mode::from_bits_truncate(0o755));
    match (&of_image, volume.settings.copy) {
        (Some(from), Copying::Copy) => {
            let copied = copy_tree(from, &to).context("filling the new volume from the image")?;
            if copied.left_out > 0 {
                let message = format!("{}: devices were not copied into the new volume", target.display());
                say(Priority::Notice, &message);
            }
            mode = Mode::empty();
        }
        (Some(from), Copying::Nothing) => {
            let stat = nix::sys::stat::fstat(from)?;
            owner = Some((Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)));
            mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
        }
        (None, _) => owner = Some(program()?),
    }
    let user = volume.settings.user.map(Uid::from_raw).or(owner.map(|(user, _)| user));
    let group = volume
        .settings
        .group
        .map(Gid::from_raw)
        .or(owner.map(|(_, group)| group));
    fchown(&to, user, group).context("setting the owner of the new volume")?;
    if !mode.is_empty() {
        fchmod(to.as_fd(), mode).context("setting the mode of the new volume")?;
    }
    Ok(())
}

/// Whether the image has nothing to be copied: no such path, or something that is no directory.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
