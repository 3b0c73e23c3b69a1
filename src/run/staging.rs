//! A small tmpfs to build the root from: what it is made of that comes neither from the image nor from the host.
//!
//! It is mounted over a directory that nothing else here needs, and the root over it, so once the root has been entered only the
//! mounts that were taken from it are left of it.
//!
//! Its `skeleton` is the uppermost read-only layer of the root: the directories for `/proc` and its kind, and the files that are made for
//! this container. So they need not be made in the writable layer, which lies on disk; and an image in which `/proc` is a link, or no directory,
//! cannot have anything mounted elsewhere: the skeleton's lies over it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};

use crate::plan::Plan;
use crate::plan::mount::Kind;
use crate::sys::mount::{Depth, Filesystem, add_attributes, attach, clone_tree, open_place};

/// The tmpfs.
#[derive(Debug)]
pub struct Staging {
    mount: OwnedFd,
    path: PathBuf,
}

/// The layer's name.
pub const SKELETON: &str = "skeleton";

impl Staging {
    /// Mounts it, with everything in it that `plan` needs.
    ///
    /// # Errors
    /// What the kernel says of a mount or a file.
    pub fn create(plan: &Plan) -> Result<Self> {
        let path = plan.mount_point.clone();
        let place = open_place(&path).with_context(|| format!("opening '{}'", path.display()))?;
        let mount = Filesystem::open("tmpfs")?.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?;
        attach(mount.as_fd(), place.as_fd()).context("mounting a tmpfs to work in")?;
        let staging = Self { mount, path };
        staging.directory("empty", 0o555)?;
        staging.file(Path::new("nothing"), "")?;
        staging.directory(SKELETON, 0o755)?;
        for mount in &plan.mounts {
            // What lies deeper lies on another of these mounts.
            let is_at_the_top = mount.target.components().count() == 2;
            match &mount.kind {
                Kind::New { .. } | Kind::Devices if is_at_the_top => staging.directories(&mount.target)?,
                Kind::File(content) => {
                    staging.directories(mount.target.parent().unwrap_or(Path::new("/")))?;
                    staging.file(&below(&mount.target), content)?;
                }
                Kind::New { .. } | Kind::Devices | Kind::Bind(_) | Kind::BindIfPresent(_) => {}
            }
        }
        if plan.writable_layer.is_none() {
            // A root that cannot be written has an upper layer all the same, for the mount points that the image lacks.
            staging.directory("upper", 0o755)?;
            staging.directory("work", 0o700)?;
        }
        Ok(staging)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on nothing in it changes, and every mount that is taken from it is read-only.
    ///
    /// # Errors
    /// What mount_setattr(2) says.
    pub fn close(&self) -> Result<()> {
        Ok(add_attributes(self.mount.as_fd(), MOUNT_ATTR_RDONLY, Depth::Mount)?)
    }

    /// A mount of an empty directory.
    ///
    /// # Errors
    /// What open_tree(2) says.
    pub fn empty_directory(&self) -> io::Result<OwnedFd> {
        self.take("empty")
    }

    /// A mount of an empty file.
    ///
    /// # Errors
    /// What open_tree(2) says.
    pub fn empty_file(&self) -> io::Result<OwnedFd> {
        self.take("nothing")
    }

    fn take(&self, name: &str) -> io::Result<OwnedFd> {
        clone_tree(openat(&self.mount, name, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?.as_fd())
    }

    /// Every directory on the way to `target` in the skeleton.
    fn directories(&self, target: &Path) -> Result<()> {
        let mut path = PathBuf::from(SKELETON);
        for name in target.components().filter(|part| matches!(part, Component::Normal(_))) {
            path.push(name);
            self.directory(&path, 0o755)?;
        }
        Ok(())
    }

    fn directory<P: nix::NixPath + ?Sized>(&self, path: &P, mode: libc::mode_t) -> Result<()> {
        match mkdirat(&self.mount, path, Mode::from_bits_truncate(mode)) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn file(&self, path: &Path, content: &str) -> Result<()> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.mount, path, flags, Mode::from_bits_truncate(0o644))?;
        Ok(File::from(file).write_all(content.as_bytes())?)
    }
}

/// The path of `target` in the skeleton.
fn below(target: &Path) -> PathBuf {
    Path::new(SKELETON).join(target.strip_prefix("/").unwrap_or(target))
}
