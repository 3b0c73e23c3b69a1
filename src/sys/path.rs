//! Paths inside a root that somebody else controls: looked up without ever leaving it (openat2(2)).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, mkdirat, mknodat};

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
    make_directory(root, path, links, LINKS_MAX)
}

fn make_directory(root: BorrowedFd<'_>, path: &Path, links: Links, links_left: u32) -> io::Result<OwnedFd> {
    let open = || open_in_root(root, path, OFlag::O_PATH | OFlag::O_DIRECTORY, links);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let (parent, name) = split(path)?;
    let directory = make_directory(root, parent, links, links_left)?;
    match mkdirat(directory.as_fd(), name, Mode::from_bits_truncate(0o755)) {
        Ok(()) => open(),
        Err(Errno::EEXIST) => match behind(directory.as_fd(), parent, name, links_left) {
            Some(target) if links == Links::Inside => make_directory(root, &target, links, links_left - 1),
            _ => open(),
        },
        Err(errno) => Err(errno.into()),
    }
}

/// Where the link `name` in `directory`, which is at `parent`, leads: to make what it promises, as images have it with
/// `/etc/resolv.conf`.
fn behind(directory: BorrowedFd<'_>, parent: &Path, name: &Path, links_left: u32) -> Option<PathBuf> {
    let target = readlinkat(directory, name).ok().filter(|_| links_left > 0)?;
    Some(parent.join(target))
}

/// How many links that lead nowhere yet are followed to make one path.
const LINKS_MAX: u32 = 8;

/// Opens the file `path` below `root`, making it, empty and with mode 0644, if it is missing: a place for a bind mount of a file.
///
/// # Errors
/// As [`make_directory_in_root`].
pub fn make_file_in_root(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    make_file(root, path, LINKS_MAX)
}

fn make_file(root: BorrowedFd<'_>, path: &Path, links_left: u32) -> io::Result<OwnedFd> {
    let open = || open_in_root(root, path, OFlag::O_PATH, Links::Inside);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let (parent, name) = split(path)?;
    let directory = make_directory(root, parent, Links::Inside, links_left)?;
    // mknod makes a regular file without opening it, and never follows a link.
    match mknodat(
        directory.as_fd(),
        name,
        SFlag::S_IFREG,
        Mode::from_bits_truncate(0o644),
        0,
    ) {
        Ok(()) => open(),
        Err(Errno::EEXIST) => match behind(directory.as_fd(), parent, name, links_left) {
            Some(target) => make_file(root, &target, links_left - 1),
            None => open(),
        },
        Err(errno) => Err(errno.into()),
    }
}

/// The type of a file (`S_IF…`).
#[must_use]
pub fn file_type(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits())
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

#[cfg(test)]
mod tests {
    use super::{Links, make_directory_in_root, make_file_in_root};
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn links_that_lead_nowhere_are_made_good_inside() {
        let outer = tempfile::tempdir().expect("a directory");
        let inside = outer.path().join("root");
        fs::create_dir_all(inside.join("etc")).expect("a tree");
        let link = |target: &str, name: &str| symlink(target, inside.join(name)).expect("a link");
        link("../run/resolve/stub.conf", "etc/resolv.conf");
        link("../../../../../outside", "etc/hosts");
        link("/run/lock", "lock");
        link("b", "a");
        link("a", "b");
        let root = File::open(&inside).expect("the root");
        let file = |path: &str| make_file_in_root(root.as_fd(), Path::new(path));
        let directory = |path: &str, links| make_directory_in_root(root.as_fd(), Path::new(path), links);

        file("/etc/resolv.conf").expect("a file");
        assert!(inside.join("run/resolve/stub.conf").is_file());
        file("/etc/hosts").expect("a file");
        assert!(inside.join("outside").is_file() && !outer.path().join("outside").exists());
        directory("/lock/mine", Links::Inside).expect("a directory");
        assert!(inside.join("run/lock/mine").is_dir());
        assert!(file("/a/x").is_err() && file("/a").is_err());
        assert!(directory("/lock/other", Links::Refuse).is_err());
    }
}
