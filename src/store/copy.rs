//! Copies a directory with all that is in it: owners, modes, times, extended attributes, hard links, holes.
//!
//! It works on open directories and single names and never follows a link, so whatever the tree holds, nothing beside the two directories is
//! read or written. Who copies needs the right to give files away; in a user namespace that is its root, and the owners are those that it
//! sees. Devices are left out, since a container's are made elsewhere.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, XattrFlags, chmodat, chownat,
    copy_file_range, fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, ftruncate, futimens, linkat, lsetxattr,
    mkdirat, mknodat, openat, readlinkat, seek, statat, symlinkat, utimensat,
};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;

/// Deeper trees are refused: each level holds descriptors open.
const DEPTH_MAX: usize = 200;

/// The extended attributes that mean something in any place.
const XATTRS: [&[u8]; 3] = [b"user.", b"system.posix_acl_", b"security.capability"];

/// More than any attribute or list of them can have (xattr(7)).
const XATTR_MAX: usize = 64 << 10;

/// What was copied.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Files, directories and links.
    pub entries: u64,
    /// Devices, which were not.
    pub left_out: u64,
}

struct Copier<'d> {
    /// The directory that is copied to.
    top: BorrowedFd<'d>,
    /// Where a file with several names has been copied to first, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    copied: Copied,
}

/// Copies what is in the directory `from` into the empty directory `to`, and makes `to` look like `from`.
///
/// # Errors
/// What the kernel says, with the path below `from`.
pub fn copy_tree(from: &File, to: &File) -> Result<Copied> {
    let mut copier = Copier {
        top: to.as_fd(),
        links: HashMap::new(),
        copied: Copied::default(),
    };
    let stat = fstat(from)?;
    copier.directory(from.as_fd(), to.as_fd(), &stat, Path::new(""), 0)?;
    Ok(copier.copied)
}

/// Sets an extended attribute of a file, or of a directory and all that is in it; links are given it themselves.
///
/// # Errors
/// What setxattr(2) says, with the path.
pub fn set_attribute(path: &Path, name: &str, value: &[u8]) -> Result<()> {
    lsetxattr(path, name, value, XattrFlags::empty()).with_context(|| format!("labelling '{}'", path.display()))?;
    if !std::fs::symlink_metadata(path)?.is_dir() {
        return Ok(());
    }
    let directory = open_directory(path)?;
    attribute_below(directory.as_fd(), name, value, 0).with_context(|| format!("labelling '{}'", path.display()))
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(rustix::fs::CWD, path, flags, Mode::empty())
}

/// By the descriptor of each directory: what lies there may be changed meanwhile by those who may write to it.
fn attribute_below(directory: BorrowedFd<'_>, name: &str, value: &[u8], depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        bail!("its directories are nested deeper than {DEPTH_MAX} levels");
    }
    let mut entries = Dir::read_from(directory)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let child = entry.file_name();
        if child == c"." || child == c".." {
            continue;
        }
        let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
        let path = Path::new("/proc/self/fd")
            .join(number.to_string())
            .join(OsStr::from_bytes(child.to_bytes()));
        lsetxattr(&path, name, value, XattrFlags::empty())?;
        if FileType::from_raw_mode(statat(directory, child, AtFlags::SYMLINK_NOFOLLOW)?.st_mode) == FileType::Directory
        {
            attribute_below(
                open(directory, child, OFlags::DIRECTORY)?.as_fd(),
                name,
                value,
                depth + 1,
            )?;
        }
    }
    Ok(())
}

impl Copier<'_> {
    fn directory(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        stat: &Stat,
        path: &Path,
        depth: usize,
    ) -> Result<()> {
        if depth > DEPTH_MAX {
            bail!("its directories are nested deeper than {DEPTH_MAX} levels");
        }
        let mut entries = Dir::read_from(from)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                let path = path.join(OsStr::from_bytes(name.to_bytes()));
                self.entry(from, to, name, &path, depth)
                    .with_context(|| format!("copying '{}'", path.display()))?;
            }
        }
        dress(from, to, stat)?;
        Ok(())
    }

    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        depth: usize,
    ) -> Result<()> {
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                linkat(self.top, first, to, name, AtFlags::empty())?;
                self.copied.entries += 1;
                return Ok(());
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        match kind {
            FileType::Directory => {
                mkdirat(to, name, Mode::RWXU)?;
                let (inner, made) = (open(from, name, OFlags::DIRECTORY)?, open(to, name, OFlags::DIRECTORY)?);
                self.directory(inner.as_fd(), made.as_fd(), &stat, path, depth + 1)?;
            }
            FileType::RegularFile => {
                let source = open(from, name, OFlags::empty())?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let made = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
                content(&source, &made, u64::try_from(stat.st_size)?)?;
                dress(source.as_fd(), made.as_fd(), &stat)?;
            }
            FileType::Symlink => {
                symlinkat(readlinkat(from, name, Vec::new())?.as_c_str(), to, name)?;
                let (user, group) = owner(&stat);
                chownat(to, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
                utimensat(to, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            FileType::Fifo | FileType::Socket => {
                mknodat(to, name, kind, Mode::RUSR | Mode::WUSR, 0)?;
                let (user, group) = owner(&stat);
                chownat(to, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
                // What was just made is no link.
                chmodat(to, name, Mode::from_raw_mode(stat.st_mode), AtFlags::empty())?;
                utimensat(to, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            _ => {
                self.links.remove(&(stat.st_dev, stat.st_ino));
                self.copied.left_out += 1;
                return Ok(());
            }
        }
        self.copied.entries += 1;
        Ok(())
    }
}

fn open(directory: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let always = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(directory, name, always | flags, Mode::empty())
}

/// Copies `length` bytes, and leaves holes as holes.
fn content(from: &OwnedFd, to: &OwnedFd, length: u64) -> io::Result<()> {
    ftruncate(to, length)?;
    let mut end = 0;
    loop {
        // A file system that knows nothing of holes says that all is data.
        let start = match seek(from, SeekFrom::Data(end)) {
            Err(Errno::NXIO) => return Ok(()),
            start => start?,
        };
        end = seek(from, SeekFrom::Hole(start))?;
        range(from, to, start, end)?;
    }
}

fn range(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let rest = usize::try_from(end - read_at).unwrap_or(usize::MAX).min(1 << 30);
        match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                return by_hand(from, to, read_at, end);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn by_hand(from: &OwnedFd, to: &OwnedFd, mut at: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = rustix::io::pread(from, &mut buffer[..wanted], at)?;
        if read == 0 {
            break;
        }
        let mut written = 0;
        while written < read {
            written += rustix::io::pwrite(to, &buffer[written..read], at + written as u64)?;
        }
        at += read as u64;
    }
    Ok(())
}

/// Gives a file or directory owner, mode, attributes and times, in the order in which none undoes another.
fn dress(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> Result<()> {
    let (user, group) = owner(stat);
    fchown(to, user, group).context("setting its owner")?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode)).context("setting its mode")?;
    attributes(from, to).context("setting its extended attributes")?;
    Ok(futimens(to, &times(stat))?)
}

fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut names = vec![0; XATTR_MAX];
    let length = match flistxattr(from, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        length => length?,
    };
    let mut value = Vec::new();
    for name in names[..length].split(|byte| *byte == 0) {
        if !XATTRS.iter().any(|known| name.starts_with(known)) {
            continue;
        }
        value.resize(XATTR_MAX, 0);
        let length = fgetxattr(from, name, &mut value[..])?;
        match fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            // File capabilities give nothing to a program that cannot gain rights, and a file system may not have them.
            Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            result => result?,
        }
    }
    Ok(())
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or_default(),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;

    use super::copy_tree;

    #[test]
    fn a_tree_is_copied_as_it_is() {
        let outer = tempfile::tempdir().unwrap();
        let (from, to) = (outer.path().join("from"), outer.path().join("to"));
        fs::create_dir_all(from.join("deep/er")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(outer.path().join("outside"), "secret").unwrap();
        fs::write(from.join("one"), "text").unwrap();
        fs::hard_link(from.join("one"), from.join("deep/two")).unwrap();
        symlink("../../outside", from.join("deep/link")).unwrap();
        nix::unistd::mkfifo(&from.join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let sparse = File::create(from.join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        fs::set_permissions(from.join("one"), fs::Permissions::from_mode(0o4640)).unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::chown(from.join("deep"), Some(1000), Some(1001)).unwrap();
        let copied = copy_tree(&File::open(&from).unwrap(), &File::open(&to).unwrap()).unwrap();
        assert_eq!((copied.entries, copied.left_out), (7, 0));
        let of = |path: &str| fs::symlink_metadata(to.join(path)).unwrap();
        assert_eq!(of("").mode() & 0o7777, 0o750);
        assert_eq!((of("deep").uid(), of("deep").gid()), (1000, 1001));
        assert_eq!((of("one").mode() & 0o7777, of("one").nlink()), (0o4640, 2));
        assert_eq!(of("one").ino(), of("deep/two").ino());
        assert_eq!(fs::read_link(to.join("deep/link")).unwrap(), Path::new("../../outside"));
        assert_eq!(
            of("one").mtime_nsec(),
            fs::metadata(from.join("one")).unwrap().mtime_nsec()
        );
        assert!(of("sparse").len() == 1 << 30 && of("sparse").blocks() < 100);
    }

    #[test]
    fn attributes_are_set_on_all_of_a_tree_and_on_nothing_else() {
        let outer = tempfile::tempdir().unwrap();
        let tree = outer.path().join("tree");
        fs::create_dir_all(tree.join("deep")).unwrap();
        fs::write(outer.path().join("outside"), "").unwrap();
        fs::write(tree.join("deep/file"), "").unwrap();
        symlink("../outside", tree.join("link")).unwrap();
        // What a link can have is in the name space that only root sees.
        super::set_attribute(&tree, "trusted.label", b"x").unwrap();
        // As where SELinux is on: without it a label is an attribute like others.
        super::set_attribute(&tree, "security.selinux", b"system_u:object_r:container_file_t:s0\0").unwrap();
        let mut label = [0; 64];
        let length = rustix::fs::lgetxattr(tree.join("deep/file"), "security.selinux", &mut label[..]).unwrap();
        assert_eq!(&label[..length], b"system_u:object_r:container_file_t:s0\0");
        let has = |path: &str| {
            let mut value = [0; 8];
            rustix::fs::lgetxattr(outer.path().join(path), "trusted.label", &mut value[..]).is_ok()
        };
        assert!(has("tree") && has("tree/deep") && has("tree/deep/file") && has("tree/link"));
        assert!(!has("outside"));
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let (from, to) = (outer.path().join("from"), outer.path().join("to"));
        fs::create_dir(&to).unwrap();
        fs::create_dir_all(from.join("d/".repeat(250))).unwrap();
        let error = copy_tree(&File::open(&from).unwrap(), &File::open(&to).unwrap()).unwrap_err();
        assert!(format!("{error:#}").contains("nested deeper than 200"));
    }
}
