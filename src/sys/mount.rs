//! The mount API that works on descriptors: fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).
//!
//! A mount is made detached, and attached to an open directory: no path is looked up a second time, so nobody can swap one in between.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;

use crate::sys::path::c_path;
use crate::sys::process::Exec;

/// Flags of a mount (`MOUNT_ATTR_…`).
pub type Attributes = u64;

/// A file system that is being configured.
#[derive(Debug)]
pub struct Filesystem(OwnedFd);

impl Filesystem {
    /// fsopen(2).
    ///
    /// # Errors
    /// `ENODEV` for a type that the kernel does not have.
    pub fn open(kind: &str) -> io::Result<Self> {
        let kind = CString::new(kind)?;
        // SAFETY: a valid C string; a non-negative result is a new descriptor.
        let fd = Errno::result(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
        Ok(Self(own(fd)?))
    }

    /// Sets a parameter that has a value. The kernel takes 255 bytes at most.
    ///
    /// # Errors
    /// `EINVAL` for an unknown parameter or a value that does not fit.
    pub fn set(&self, key: &str, value: &str) -> io::Result<()> {
        let value = CString::new(value)?;
        self.configure(libc::FSCONFIG_SET_STRING, Some(key), value.as_ptr())
    }

    /// Sets a parameter that is a word by itself.
    ///
    /// # Errors
    /// `EINVAL` for an unknown parameter.
    pub fn flag(&self, key: &str) -> io::Result<()> {
        self.configure(libc::FSCONFIG_SET_FLAG, Some(key), std::ptr::null())
    }

    /// Makes the file system and a detached mount of it.
    ///
    /// # Errors
    /// What the file system says of its parameters.
    pub fn mount(self, attributes: Attributes) -> io::Result<OwnedFd> {
        self.configure(libc::FSCONFIG_CMD_CREATE, None, std::ptr::null())?;
        // SAFETY: plain integers; a non-negative result is a new descriptor.
        let fd = Errno::result(unsafe {
            libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), libc::FSMOUNT_CLOEXEC, attributes)
        })?;
        own(fd)
    }

    fn configure(&self, command: libc::c_uint, key: Option<&str>, value: *const libc::c_char) -> io::Result<()> {
        let key = key.map(CString::new).transpose()?;
        let key = key.as_ref().map_or(std::ptr::null(), |key| key.as_ptr());
        // SAFETY: key and value are null or C strings that outlive the call.
        let result = unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, key, value, 0) };
        Errno::result(result)?;
        Ok(())
    }
}

/// `FSOPEN_CLOEXEC`.
const FSOPEN_CLOEXEC: libc::c_uint = 1;

/// A detached copy of the mount at `source`, from that directory or file on, and with `depth` of what is mounted below it.
///
/// # Errors
/// What open_tree(2) says.
pub fn clone_tree(source: BorrowedFd<'_>, depth: Depth) -> io::Result<OwnedFd> {
    let how_deep = match depth {
        Depth::Mount => 0,
        Depth::Tree => libc::AT_RECURSIVE,
    };
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | (libc::AT_EMPTY_PATH | how_deep).cast_unsigned();
    // SAFETY: an empty C string and integers; a non-negative result is a new descriptor.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_open_tree, source.as_raw_fd(), c"".as_ptr(), flags) })?;
    own(fd)
}

/// Attaches a detached mount on the directory or file `target` is open on.
///
/// # Errors
/// What move_mount(2) says: `ENOTDIR` for a directory on a file or the reverse.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: empty C strings and integers.
    let result = unsafe {
        let (from, to) = (mount.as_raw_fd(), target.as_raw_fd());
        libc::syscall(libc::SYS_move_mount, from, c"".as_ptr(), to, c"".as_ptr(), flags)
    };
    Errno::result(result)?;
    Ok(())
}

/// Adds `attributes` to the mount that `mount` is the root of, and with `depth` to all below it.
///
/// # Errors
/// What mount_setattr(2) says.
pub fn add_attributes(mount: BorrowedFd<'_>, attributes: Attributes, depth: Depth) -> io::Result<()> {
    // SAFETY: all bytes zero is a valid mount_attr: nothing set, nothing cleared.
    let mut change: libc::mount_attr = unsafe { std::mem::zeroed() };
    change.attr_set = attributes;
    set_attributes(mount, &change, depth)
}

/// Cuts the detached mount `mount` off from the one it was cloned from: what is mounted on either is not seen on the other.
///
/// # Errors
/// What mount_setattr(2) says.
pub fn make_private(mount: BorrowedFd<'_>, depth: Depth) -> io::Result<()> {
    propagate(mount, libc::MS_PRIVATE, depth)
}

/// Lets the detached mount `mount` see what is mounted on the one it was cloned from, and not the other way round.
///
/// # Errors
/// What mount_setattr(2) says.
pub fn make_slave(mount: BorrowedFd<'_>, depth: Depth) -> io::Result<()> {
    propagate(mount, libc::MS_SLAVE, depth)
}

/// What is changed of a mount's flags (`MOUNT_ATTR_…`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Set.
    pub set: Attributes,
    /// Cleared; what is in both is set.
    pub clear: Attributes,
}

impl Change {
    /// Changes what `later` does too; where the two differ, `later` counts.
    pub fn add(&mut self, later: Self) {
        self.set = self.set & !later.clear | later.set;
        // The times are one value of several bits, and kept in both.
        self.clear = self.clear & !(later.set & !libc::MOUNT_ATTR__ATIME) | later.clear;
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Changes the flags of the mount that `mount` is the root of, and with `depth` of all below it.
///
/// # Errors
/// What mount_setattr(2) says.
pub fn change_attributes(mount: BorrowedFd<'_>, change: Change, depth: Depth) -> io::Result<()> {
    // SAFETY: all bytes zero is a valid mount_attr: nothing set, nothing cleared.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = change.set;
    attributes.attr_clr = change.clear;
    set_attributes(mount, &attributes, depth)
}

/// Sets how mounts made later on `mount`, and with `depth` on all below it, are seen elsewhere (`MS_SHARED`, `MS_SLAVE`, …).
///
/// # Errors
/// What mount_setattr(2) says.
pub fn propagate(mount: BorrowedFd<'_>, propagation: libc::c_ulong, depth: Depth) -> io::Result<()> {
    // SAFETY: all bytes zero is a valid mount_attr: nothing set, nothing cleared.
    let mut change: libc::mount_attr = unsafe { std::mem::zeroed() };
    change.propagation = propagation;
    set_attributes(mount, &change, depth)
}

/// Shows the detached mount `mount`, and with `depth` all below it, as the user namespace `namespace` sees identities: what belongs to
/// 1000 on disk belongs to the namespace's 1000 (mount_setattr(2), "ID-mapped mounts").
///
/// # Errors
/// `EINVAL` if the file system cannot do that.
pub fn map_identities(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>, depth: Depth) -> io::Result<()> {
    // SAFETY: all bytes zero is a valid mount_attr: nothing set, nothing cleared.
    let mut change: libc::mount_attr = unsafe { std::mem::zeroed() };
    change.attr_set = libc::MOUNT_ATTR_IDMAP;
    change.userns_fd = u64::from(namespace.as_raw_fd().cast_unsigned());
    set_attributes(mount, &change, depth)
}

/// Moves this process into the mount namespace of process `pid`: its root and working directory are that one's root from now on.
///
/// # Errors
/// What open(2) or setns(2) says.
pub fn join(pid: nix::unistd::Pid) -> io::Result<()> {
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/mnt"))?;
    Ok(nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNS)?)
}

/// How far [`add_attributes`] reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The one mount.
    Mount,
    /// The mount and all below it.
    Tree,
}

/// Cuts this mount namespace off from the one it was copied from: what is mounted in either is not seen in the other.
///
/// # Errors
/// What mount(2) says.
pub fn make_all_private() -> io::Result<()> {
    let flags = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
    Ok(nix::mount::mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?)
}

/// Makes the mount `root` the root of this mount namespace, and lets go of everything that was mounted before.
///
/// # Errors
/// What pivot_root(2) says.
pub fn pivot(root: BorrowedFd<'_>) -> io::Result<()> {
    pivot_from(root, 1)
}

/// The same where the old root is a stack of `height` mounts, which are taken off one by one.
///
/// # Errors
/// What pivot_root(2) says.
pub fn pivot_from(root: BorrowedFd<'_>, height: u32) -> io::Result<()> {
    nix::unistd::fchdir(root)?;
    // The old root ends up mounted on top of the new one (pivot_root(2), "pivot_root(".", ".")"), and is taken off from there.
    nix::unistd::pivot_root(".", ".")?;
    for _ in 0..height {
        nix::mount::umount2(".", nix::mount::MntFlags::MNT_DETACH)?;
    }
    Ok(nix::unistd::chdir("/")?)
}

/// Makes the directory `root` the root of this process, and leaves the mounts as they are.
///
/// # Errors
/// What chroot(2) says.
pub fn enter_by_chroot(root: BorrowedFd<'_>) -> io::Result<()> {
    nix::unistd::fchdir(root)?;
    nix::unistd::chroot(".")?;
    Ok(nix::unistd::chdir("/")?)
}

/// Executes this very program with other `arguments`, through a mount of its file that is read-only and that no path leads to: who finds
/// it by a link of procfs cannot write to it through that (CVE-2019-5736). Returns only if that fails.
pub fn execute_read_only(arguments: &[impl AsRef<OsStr>]) -> io::Error {
    let execute = || -> io::Result<()> {
        let program = clone_tree(open_place(Path::new("/proc/self/exe"))?.as_fd(), Depth::Mount)?;
        add_attributes(program.as_fd(), libc::MOUNT_ATTR_RDONLY, Depth::Mount)?;
        let texts = |texts: &mut dyn Iterator<Item = Vec<u8>>| texts.map(CString::new).collect::<Result<Vec<_>, _>>();
        let arguments = texts(&mut arguments.iter().map(|argument| argument.as_ref().as_bytes().to_vec()))?;
        let environment =
            texts(&mut std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()))?;
        Err(Exec::new(CString::default(), arguments, environment)
            .execute_file(program.as_fd())
            .into())
    };
    execute().err().unwrap_or_else(|| io::ErrorKind::Other.into())
}

/// The legacy mount(2) of an overlay, for kernels whose new API cannot take layers one by one (before Linux 6.5). It is nosuid and
/// nodev.
///
/// # Errors
/// What mount(2) says.
pub fn mount_overlay(target: &Path, options: &str) -> io::Result<()> {
    let flags = nix::mount::MsFlags::MS_NOSUID | nix::mount::MsFlags::MS_NODEV;
    Ok(nix::mount::mount(
        Some("overlay"),
        target,
        Some("overlay"),
        flags,
        Some(options),
    )?)
}

/// Opens `path` as a place to mount from or on, following links: for paths that the administrator wrote.
///
/// # Errors
/// What open(2) says.
pub fn open_place(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: a valid C string; a non-negative result is a new descriptor.
    let fd = Errno::result(unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) })?;
    own(fd.into())
}

fn set_attributes(mount: BorrowedFd<'_>, change: &libc::mount_attr, depth: Depth) -> io::Result<()> {
    let flags = match depth {
        Depth::Mount => libc::AT_EMPTY_PATH,
        Depth::Tree => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
    };
    // SAFETY: an empty C string and a mount_attr of the size named.
    let result = unsafe {
        let (fd, size) = (mount.as_fd().as_raw_fd(), size_of::<libc::mount_attr>());
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            flags,
            &raw const *change,
            size,
        )
    };
    Errno::result(result)?;
    Ok(())
}

fn own(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: every caller passes a descriptor that the kernel has just made for it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
