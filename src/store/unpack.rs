//! Unpacks a layer's tar archive into a directory, in the form that overlayfs stacks.
//!
//! Whiteouts (image-spec layer.md) become overlayfs's: `.wh.NAME` a character device 0:0, `.wh..wh..opq` an attribute of its directory.
//! They concern lower layers only, wherever in the archive they stand: what the same layer has under that name stays.
//!
//! The archive is hostile. Nothing outside of the root is reached ([`root`]); attributes that would speak to overlayfs or to the
//! host's security modules are left out; and an entry that cannot be unpacked as it is meant is an error, never half done.

pub mod root;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, futimens, makedev, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat, linkat, symlinkat};

use crate::store::tarball::{Entry, Kind, Tarball, Time};
use crate::store::unpack::root::{Root, is_whiteout, make_directory, stat};
use crate::sys::path::file_type;

/// No layer has more entries: some ten times the largest known.
const MAX_ENTRIES: u64 = 10_000_000;
/// `PATH_MAX` with its final zero byte.
const MAX_PATH: usize = 4095;
const MAX_NAME: usize = 255;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// AUFS's own files.
const AUFS: &[u8] = b".wh..wh.";

/// Unpacks all entries below `root`, and says how many device nodes were left out, which only the host's root can make.
pub fn unpack<R: Read>(archive: &mut Tarball<R>, root: &Root) -> Result<u64> {
    let mut layer = Layer {
        root,
        owners: Owners::of_this_process(),
        times: BTreeMap::new(),
        left_out: 0,
    };
    let mut count = 0;
    while let Some(entry) = archive.next_entry()? {
        count += 1;
        ensure!(count <= MAX_ENTRIES, "the layer has more than {MAX_ENTRIES} entries");
        let name = || format!("unpacking '{}'", String::from_utf8_lossy(&entry.path).escape_debug());
        layer.add(&entry, archive).with_context(name)?;
    }
    let left_out = layer.left_out;
    layer.finish()?;
    Ok(left_out)
}

/// Whether files get the owners that the archive names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owners {
    Archive,
    /// Only root can give files away.
    Process,
}

impl Owners {
    fn of_this_process() -> Self {
        if nix::unistd::geteuid().is_root() {
            Self::Archive
        } else {
            Self::Process
        }
    }
}

struct Layer<'a> {
    root: &'a Root,
    owners: Owners,
    /// Directories' times, set at the end since every file that is made changes them.
    times: BTreeMap<Vec<u8>, Time>,
    /// How many nodes could not be made.
    left_out: u64,
}

impl Layer<'_> {
    fn add<R: Read>(&mut self, entry: &Entry, archive: &mut Tarball<R>) -> Result<()> {
        let components = components(&entry.path)?;
        let Some((name, parents)) = components.split_last() else {
            ensure!(
                entry.kind == Kind::Directory,
                "the root of a layer can only be a directory"
            );
            self.times.insert(Vec::new(), entry.mtime);
            return self.describe_directory(entry, self.root.fd(), b".");
        };
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.white_out(name, hidden, parents);
        }
        let parent = self.root.directory(parents)?;
        let parent = parent.as_fd();
        match &entry.kind {
            Kind::Directory => {
                self.make_directory(parent, name)?;
                self.times.insert(components.join(&b'/'), entry.mtime);
                self.describe_directory(entry, parent, name)
            }
            Kind::HardLink(target) => self.link(parent, name, target),
            other => {
                self.clear(parent, name)?;
                match other {
                    Kind::File => self.make_file(entry, parent, name, archive),
                    Kind::Symlink(target) => {
                        symlinkat(target.as_slice(), parent, *name).context("making a symbolic link")?;
                        self.describe(entry, parent, name)
                    }
                    _ => self.make_node(entry, parent, name),
                }
            }
        }
    }

    fn finish(mut self) -> Result<()> {
        for (path, mtime) in self.root.take_implied() {
            self.times.entry(path).or_insert(mtime);
        }
        for (path, mtime) in &self.times {
            let components: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|name| !name.is_empty()).collect();
            let Some((name, parents)) = components.split_last() else {
                set_time(self.root.fd(), b".", *mtime)?;
                continue;
            };
            // It may have been replaced since.
            let Ok(parent) = self.root.existing(parents) else {
                continue;
            };
            if stat(parent.as_fd(), name)?.is_some_and(|found| file_type(&found) == SFlag::S_IFDIR) {
                set_time(parent.as_fd(), name, *mtime)?;
            }
        }
        Ok(())
    }

    fn white_out(&self, name: &[u8], hidden: &[u8], parents: &[&[u8]]) -> Result<()> {
        if name == OPAQUE {
            let directory = self.root.directory(parents)?;
            return self.root.set_opaque(directory.as_fd(), b".");
        }
        if name.starts_with(AUFS) {
            return Ok(());
        }
        ensure!(!matches!(hidden, b"" | b"." | b".."), "a whiteout without a name");
        let parent = self.root.directory(parents)?;
        match stat(parent.as_fd(), hidden)? {
            None => self.root.make_whiteout(parent.as_fd(), hidden),
            Some(found) if file_type(&found) == SFlag::S_IFDIR => self.root.set_opaque(parent.as_fd(), hidden),
            Some(_) => Ok(()),
        }
    }

    fn make_directory(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        match stat(parent, name)? {
            Some(found) if file_type(&found) == SFlag::S_IFDIR => return Ok(()),
            Some(found) if is_whiteout(&found) => return self.root.replace_whiteout(parent, name),
            Some(_) => self.root.remove(parent, name)?,
            None => {}
        }
        make_directory(parent, name)
    }

    fn make_file<R: Read>(
        &self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        name: &[u8],
        archive: &mut Tarball<R>,
    ) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(parent, name, flags, Mode::from_bits_truncate(0o600)).context("making a file")?;
        let mut file = File::from(fd);
        archive.copy_data(&mut file)?;
        // The order counts: a change of owner drops setuid bits and capabilities.
        if self.owners == Owners::Archive {
            fchown(&file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
                .with_context(|| setting_owner(entry))?;
        }
        fchmod(&file, Mode::from_bits_truncate(entry.mode)).context("setting the mode")?;
        self.set_xattrs(entry, parent, name)?;
        let time = timespec(entry.mtime);
        futimens(&file, &time, &time).context("setting the time")
    }

    fn make_node(&mut self, entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        let (kind, device) = match entry.kind {
            Kind::Character(major, minor) => (SFlag::S_IFCHR, makedev(major.into(), minor.into())),
            Kind::Block(major, minor) => (SFlag::S_IFBLK, makedev(major.into(), minor.into())),
            _ => (SFlag::S_IFIFO, 0),
        };
        match mknodat(parent, name, kind, Mode::from_bits_truncate(entry.mode), device) {
            // No container can use one anyway: its root is mounted nodev.
            Err(Errno::EPERM) if kind != SFlag::S_IFIFO => {
                self.left_out += 1;
                return Ok(());
            }
            other => other.context("making a special file")?,
        }
        self.describe(entry, parent, name)
    }

    fn link(&self, parent: BorrowedFd<'_>, name: &[u8], target: &[u8]) -> Result<()> {
        let shown = String::from_utf8_lossy(target).into_owned();
        let components = components(target).with_context(|| format!("linking to '{shown}'"))?;
        let (last, parents) = components.split_last().context("a hard link to the root")?;
        let missing = || format!("linking to '{shown}', which is not in the layer");
        let directory = self.root.existing(parents).with_context(missing)?;
        let found = stat(directory.as_fd(), last)?.with_context(missing)?;
        ensure!(
            file_type(&found) != SFlag::S_IFDIR,
            "a hard link to the directory '{shown}'"
        );
        ensure!(
            !is_whiteout(&found),
            "a hard link to '{shown}', which the layer deletes"
        );
        if let Some(replaced) = stat(parent, name)? {
            if (replaced.st_dev, replaced.st_ino) == (found.st_dev, found.st_ino) {
                return Ok(());
            }
            self.root.remove(parent, name)?;
        }
        linkat(directory.as_fd(), *last, parent, name, AtFlags::empty())
            .with_context(|| format!("linking to '{shown}'"))
    }

    /// Removes what an earlier entry made under this name: the later one counts.
    fn clear(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        match stat(parent, name)? {
            Some(_) => self.root.remove(parent, name),
            None => Ok(()),
        }
    }

    fn describe_directory(&self, entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        self.set_owner(entry, parent, name)?;
        set_mode(entry, parent, name)?;
        self.set_xattrs(entry, parent, name)
    }

    fn describe(&self, entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        self.set_owner(entry, parent, name)?;
        if !matches!(entry.kind, Kind::Symlink(_)) {
            set_mode(entry, parent, name)?;
        }
        self.set_xattrs(entry, parent, name)?;
        set_time(parent, name, entry.mtime)
    }

    fn set_owner(&self, entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        if self.owners == Owners::Process {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        let set = fchownat(parent, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW);
        set.with_context(|| setting_owner(entry))
    }

    fn set_xattrs(&self, entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        for (attribute, value) in entry.xattrs.iter().filter(|(attribute, _)| is_kept(attribute)) {
            self.root.set_xattr(parent, name, attribute, value)?;
        }
        Ok(())
    }
}

/// Whether an attribute belongs to the file's content. `trusted.*` and `user.overlay.*` speak to the host's overlayfs, and the rest of
/// `security.*` to the host's security modules, neither of which is an image's business.
fn is_kept(attribute: &[u8]) -> bool {
    let is_users = attribute.starts_with(b"user.") && !attribute.starts_with(b"user.overlay.");
    let exact: [&[u8]; 3] = [
        b"security.capability",
        b"system.posix_acl_access",
        b"system.posix_acl_default",
    ];
    is_users || exact.contains(&attribute)
}

/// Splits a name into what leads from the layer's root to it.
fn components(path: &[u8]) -> Result<Vec<&[u8]>> {
    ensure!(path.len() <= MAX_PATH, "the name is longer than {MAX_PATH} bytes");
    let components: Vec<&[u8]> = path
        .split(|b| *b == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .collect();
    for name in &components {
        ensure!(*name != b"..", "the name leads out of its directory with '..'");
        ensure!(
            name.len() <= MAX_NAME,
            "a part of the name is longer than {MAX_NAME} bytes"
        );
    }
    Ok(components)
}

/// Where the kernel knows no such identity, there are too few of them.
fn setting_owner(entry: &Entry) -> String {
    format!(
        "setting the owner to {}:{}, which must be among the identities that this process has (without root: subuid(5))",
        entry.uid, entry.gid
    )
}

/// Sets the mode of what was just made, in a tree that nobody else knows of: the name is no link.
fn set_mode(entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let mode = Mode::from_bits_truncate(entry.mode);
    fchmodat(parent, name, mode, FchmodatFlags::FollowSymlink).context("setting the mode")
}

fn timespec((seconds, nanoseconds): Time) -> TimeSpec {
    TimeSpec::new(seconds, nanoseconds.into())
}

fn set_time(parent: BorrowedFd<'_>, name: &[u8], mtime: Time) -> Result<()> {
    let time = timespec(mtime);
    utimensat(parent, name, &time, &time, UtimensatFlags::NoFollowSymlink).context("setting the time")
}

#[cfg(test)]
mod tests {
    use super::{components, is_kept};

    #[test]
    fn names_stay_inside() {
        assert_eq!(components(b"./a//b/./c/").unwrap(), [b"a", b"b", b"c"]);
        assert_eq!(components(b"/etc").unwrap(), [b"etc"]);
        assert!(components(b".").unwrap().is_empty());
        for path in [&b".."[..], b"a/../b", b"/..", b"a/.."] {
            assert!(components(path).is_err());
        }
        assert!(components(&[b'a'; 256]).is_err() && components(&b"a/".repeat(3000)).is_err());
    }

    #[test]
    fn attributes_of_the_host_are_left_out() {
        assert!(is_kept(b"security.capability") && is_kept(b"user.x"));
        for attribute in [
            "trusted.overlay.opaque",
            "trusted.x",
            "user.overlay.redirect",
            "security.selinux",
            "system.nfs4_acl",
            "x",
        ] {
            assert!(!is_kept(attribute.as_bytes()), "{attribute}");
        }
    }
}
