//! The directory that a layer is unpacked into, and the only way to reach anything below it.
//!
//! A name from an archive is resolved by the kernel with `RESOLVE_IN_ROOT` (openat2(2)): an absolute link or `..` in a link of the
//! layer ends inside the layer, as it would in a container. Everything is then done relative to the parent's descriptor,
//! on a last component that is never followed. So nothing outside of the root is ever named.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, fstatat, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use crate::store::tarball::Time;
use crate::store::tree;
use crate::sys::path::file_type;
use crate::sys::user::is_root_of_all;

/// Which attributes mark an opaque directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayXattrs {
    /// `trusted.overlay.*`: the store belongs to root.
    Trusted,
    /// `user.overlay.*`: it does not.
    User,
}

impl OverlayXattrs {
    /// What this process can write.
    #[must_use]
    pub fn of_this_process() -> Self {
        if is_root_of_all() { Self::Trusted } else { Self::User }
    }

    fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }
}

/// The root of a layer.
#[derive(Debug)]
pub struct Root {
    fd: Rc<OwnedFd>,
    overlay: OverlayXattrs,
    /// The layers below it, topmost first.
    lower: Vec<OwnedFd>,
    /// The parent of the previous entry: archives list a directory's files one after the other.
    recent: RefCell<Option<(Vec<u8>, Rc<OwnedFd>)>>,
    /// Directories without an entry of their own, and the times that they have in the layers below.
    implied: RefCell<Vec<(Vec<u8>, Time)>>,
}

impl Root {
    /// Opens the directory, and those of the layers below it, topmost first.
    pub fn open(path: &Path, overlay: OverlayXattrs, lower: &[PathBuf]) -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let open = |path: &Path| {
            nix::fcntl::open(path, flags, Mode::empty()).with_context(|| format!("opening '{}'", path.display()))
        };
        let root = Self {
            fd: Rc::new(open(path)?),
            overlay,
            lower: lower.iter().map(|path| open(path)).collect::<Result<_>>()?,
            recent: RefCell::new(None),
            implied: RefCell::new(Vec::new()),
        };
        root.describe_like_below(root.fd(), b".", b".")?;
        Ok(root)
    }

    /// The root directory itself.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Opens the directory `components`, and makes what is missing of it.
    pub fn directory(&self, components: &[&[u8]]) -> Result<Rc<OwnedFd>> {
        if components.is_empty() {
            return Ok(Rc::clone(&self.fd));
        }
        let path = components.join(&b'/');
        if let Some((recent, fd)) = &*self.recent.borrow()
            && *recent == path
        {
            return Ok(Rc::clone(fd));
        }
        let fd = match resolve(self.fd.as_fd(), &path, OFlag::O_DIRECTORY) {
            Ok(fd) => Rc::new(fd),
            Err(Errno::ENOENT | Errno::ENOTDIR) => self.make_directories(components)?,
            Err(errno) => return Err(errno).context("opening the parent directory"),
        };
        *self.recent.borrow_mut() = Some((path, Rc::clone(&fd)));
        Ok(fd)
    }

    /// Opens the directory `components` if it is there.
    pub fn existing(&self, components: &[&[u8]]) -> nix::Result<Rc<OwnedFd>> {
        if components.is_empty() {
            return Ok(Rc::clone(&self.fd));
        }
        resolve(self.fd.as_fd(), &components.join(&b'/'), OFlag::O_DIRECTORY).map(Rc::new)
    }

    fn make_directories(&self, components: &[&[u8]]) -> Result<Rc<OwnedFd>> {
        let mut parent = Rc::clone(&self.fd);
        for (at, name) in components.iter().enumerate() {
            let path = components[..=at].join(&b'/');
            let next = match resolve(self.fd.as_fd(), &path, OFlag::O_DIRECTORY) {
                Err(Errno::ENOENT) => {
                    ensure!(
                        stat(parent.as_fd(), name)?.is_none(),
                        "'{}' is a link to nowhere",
                        text(&path)
                    );
                    make_directory(parent.as_fd(), name)?;
                    self.describe_like_below(parent.as_fd(), name, &path)?;
                    resolve(self.fd.as_fd(), &path, OFlag::O_DIRECTORY)
                }
                Err(Errno::ENOTDIR) if stat(parent.as_fd(), name)?.is_some_and(|found| is_whiteout(&found)) => {
                    self.replace_whiteout(parent.as_fd(), name)?;
                    resolve(self.fd.as_fd(), &path, OFlag::O_DIRECTORY)
                }
                other => other,
            };
            parent = Rc::new(next.with_context(|| format!("opening '{}' as a directory", text(&path)))?);
        }
        Ok(parent)
    }

    /// Puts a directory where a whiteout is: it is opaque, since what lies below is deleted.
    pub fn replace_whiteout(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        unlinkat(parent, name, UnlinkatFlags::NoRemoveDir).context("replacing a whiteout")?;
        make_directory(parent, name)?;
        self.set_opaque(parent, name)
    }

    /// Marks the directory `name` as hiding everything that lower layers have there.
    pub fn set_opaque(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        self.set_xattr(parent, name, self.overlay.opaque().as_bytes(), b"y")
    }

    /// Sets an attribute of `name` itself, be it a link. `name` is one component, or `.`.
    pub fn set_xattr(&self, parent: BorrowedFd<'_>, name: &[u8], attribute: &[u8], value: &[u8]) -> Result<()> {
        // There is no lsetxattrat(2) before Linux 6.13: the descriptor's link in proc stands in for it.
        let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        rustix::fs::lsetxattr(
            OsStr::from_bytes(&path),
            attribute,
            value,
            rustix::fs::XattrFlags::empty(),
        )
        .with_context(|| format!("setting the extended attribute '{}'", text(attribute)))
    }

    /// Makes a whiteout: what lower layers have under this name is deleted.
    pub fn make_whiteout(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        mknodat(parent, name, SFlag::S_IFCHR, Mode::empty(), 0).context("making a whiteout")
    }

    /// Removes `name` whatever it is, a directory with all that is in it.
    pub fn remove(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        self.forget();
        match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR | Errno::EPERM) => tree::remove(parent, name),
            other => other.context("replacing an earlier entry"),
        }
    }

    /// Directories without an entry of their own, and the times that they are to have.
    pub fn take_implied(&self) -> Vec<(Vec<u8>, Time)> {
        self.implied.take()
    }

    /// Forgets the recent parent, since its name may lead elsewhere from now on.
    pub fn forget(&self) {
        *self.recent.borrow_mut() = None;
    }

    /// Gives a directory that the archive has no entry for the owner, mode and time that it has in the layers below: it is there only
    /// because something in it changed. (A layer is unpacked once, over the layers of the first image that has it.)
    fn describe_like_below(&self, parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<()> {
        for lower in &self.lower {
            match resolve(lower.as_fd(), path, OFlag::O_DIRECTORY) {
                Err(Errno::ENOENT) => continue,
                // A link, a file or a whiteout: whatever is further below is hidden.
                Err(_) => return Ok(()),
                Ok(below) => {
                    let found = fstat(&below).context("looking at a lower layer")?;
                    let (uid, gid) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
                    if nix::unistd::geteuid().is_root() {
                        let no_follow = AtFlags::AT_SYMLINK_NOFOLLOW;
                        fchownat(parent, name, Some(uid), Some(gid), no_follow).context("setting the owner")?;
                    }
                    fchmodat(
                        parent,
                        name,
                        Mode::from_bits_truncate(found.st_mode),
                        FchmodatFlags::FollowSymlink,
                    )
                    .context("setting the mode")?;
                    let path = if path == b"." { Vec::new() } else { path.to_vec() };
                    let nanoseconds = u32::try_from(found.st_mtime_nsec).unwrap_or(0);
                    self.implied.borrow_mut().push((path, (found.st_mtime, nanoseconds)));
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Makes a directory, whatever the umask.
pub fn make_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let mode = Mode::from_bits_truncate(0o755);
    mkdirat(parent, name, mode).context("making a directory")?;
    fchmodat(parent, name, mode, FchmodatFlags::FollowSymlink).context("setting the mode")
}

fn resolve(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS | ResolveFlag::RESOLVE_NO_XDEV);
    for _ in 0..100 {
        // EAGAIN: something was renamed elsewhere while '..' was being resolved.
        match openat2(root, path, how) {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::EAGAIN)
}

/// What is at `name`, without following it.
pub fn stat(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Option<FileStat>> {
    match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno).context("looking at an earlier entry"),
    }
}

/// Whether overlayfs takes this for a deletion.
pub fn is_whiteout(found: &FileStat) -> bool {
    file_type(found) == SFlag::S_IFCHR && found.st_rdev == 0
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
