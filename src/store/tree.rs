//! Removes whole directories.
//!
//! A hostile image can nest directories deeper than the stack or the number of descriptors allows (names are limited in length, but a
//! link inside the image shortens them). So sub-directories are moved up, level by level, until only empty ones are
//! left. No link is followed, and nothing but the tree is touched.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Removes the directory `name` of `parent` with all that is in it.
pub fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let context = || format!("removing the directory '{}'", String::from_utf8_lossy(name));
    let mut moved = 0_u64;
    loop {
        let mut directory = open(parent, name).with_context(context)?;
        let names = list(&mut directory).with_context(context)?;
        if names.is_empty() {
            break;
        }
        for child in names {
            remove_or_flatten(&directory, &child, &mut moved).with_context(context)?;
        }
    }
    unlinkat(parent, name, UnlinkatFlags::RemoveDir).with_context(context)
}

/// Removes one entry; if it is a directory, what is in it moves up into `directory`.
fn remove_or_flatten(directory: &Dir, child: &[u8], moved: &mut u64) -> nix::Result<()> {
    match unlinkat(directory, child, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => {}
        other => return other,
    }
    let mut inner = open(directory.as_fd(), child)?;
    for grandchild in list(&mut inner)? {
        match unlinkat(&inner, grandchild.as_slice(), UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR) => {}
            other => {
                other?;
                continue;
            }
        }
        let target = loop {
            *moved += 1;
            let target = format!(".coracle-removing-{moved}").into_bytes();
            match fstatat(directory, target.as_slice(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => break target,
                other => drop(other?),
            }
        };
        renameat(&inner, grandchild.as_slice(), directory, target.as_slice())?;
    }
    unlinkat(directory, child, UnlinkatFlags::RemoveDir)
}

fn open(parent: BorrowedFd<'_>, name: &[u8]) -> nix::Result<Dir> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Dir::openat(parent, name, flags, Mode::empty())
}

fn list(directory: &mut Dir) -> nix::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in directory.iter() {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::{Mode, mkdirat};

    #[test]
    fn removes_a_tree_deeper_than_descriptors_allow() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("sentinel"), "x").unwrap();
        fs::create_dir(temporary.path().join("tree")).unwrap();
        symlink("../sentinel", temporary.path().join("tree/link")).unwrap();
        let parent = File::open(temporary.path()).unwrap();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let mut at = openat(&parent, "tree", flags, Mode::empty()).unwrap();
        for _ in 0..1500 {
            mkdirat(&at, "d", Mode::S_IRWXU).unwrap();
            drop(openat(&at, "f", OFlag::O_CREAT, Mode::S_IRWXU).unwrap());
            at = openat(&at, "d", flags, Mode::empty()).unwrap();
        }
        super::remove(parent.as_fd(), b"tree").unwrap();
        assert!(!temporary.path().join("tree").exists() && temporary.path().join("sentinel").exists());
    }
}
