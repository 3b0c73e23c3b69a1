//! A small tmpfs to build the root from: what it is made of that comes neither from the image nor from the host.
//!
//! It is mounted over a directory that nothing else here needs, and the root over it, so once the root has been entered only the
//! mounts that were taken from it are left of it.
//!
//! Its `skeleton` is the uppermost read-only layer of the root, with the directories for `/proc` and its kind. So they need not be made in
//! the writable layer, which lies on disk; and an image in which `/proc` is a link, or no directory, cannot have anything mounted
//! elsewhere: the skeleton's lies over it.
//!
//! Its `ground` is the lowest layer, with an empty file for each one that is made for the container, as `/etc/hosts`. Where the image has
//! no such file, it is mounted on this one; the image's own directories and files lie over it and stay as they are.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};

use crate::plan::Plan;
use crate::plan::mount::Kind;
use crate::run::{label, secret};
use crate::sys::mount::{Depth, Filesystem, add_attributes, attach, clone_tree, open_place};

/// The tmpfs.
#[derive(Debug)]
pub struct Staging {
    mount: OwnedFd,
    path: PathBuf,
    context: Option<String>,
    secrets: OnceCell<OwnedFd>,
}

/// The uppermost read-only layer's name.
pub const SKELETON: &str = "skeleton";

/// The lowest layer's name.
pub const GROUND: &str = "ground";

/// Where the image's layers are put.
pub const LAYERS: &str = "layers";

/// Where secrets lie: a file system of their own.
pub const SECRETS: &str = "secret";

/// Where the layers of an image are put that is mounted somewhere, with the mount's number behind it.
pub const IMAGE: &str = "image";

/// Where such an image's writable layer is put.
pub const IMAGE_WRITABLE: &str = "image-writable";

/// Where the writable layer is put, if it lies on disk.
pub const WRITABLE: &str = "writable";

/// Where a `/dev` is put together that consists of several mounts.
pub const DEVICES: &str = "devices";

impl Staging {
    /// Mounts it, with everything in it that `plan` needs.
    ///
    /// # Errors
    /// What the kernel says of a mount or a file.
    pub fn create(plan: &Plan) -> Result<Self> {
        let path = plan.mount_point.clone();
        let place = open_place(&path).with_context(|| format!("opening '{}'", path.display()))?;
        let filesystem = Filesystem::open("tmpfs")?;
        label::files(&filesystem, plan.file_context())?;
        let mount = filesystem.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?;
        attach(mount.as_fd(), place.as_fd()).context("mounting a tmpfs to work in")?;
        let staging = Self {
            mount,
            path,
            context: plan.file_context().map(str::to_owned),
            secrets: OnceCell::new(),
        };
        staging.fill(plan).context("filling the tmpfs to work in")?;
        Ok(staging)
    }

    fn fill(&self, plan: &Plan) -> Result<()> {
        for name in [SKELETON, GROUND, LAYERS, WRITABLE] {
            self.directory(name, 0o755)?;
        }
        for (number, mount) in plan.mounts.iter().enumerate() {
            match &mount.kind {
                // What lies deeper lies on another of these mounts.
                Kind::New { .. } | Kind::Devices if mount.target.components().count() == 2 => {
                    let name = mount.target.strip_prefix("/").unwrap_or(&mount.target);
                    self.directory(&Path::new(SKELETON).join(name), 0o755)?;
                }
                Kind::File(content) => {
                    self.file(file_name(number).as_str(), content)?;
                    self.ground(&mount.target)?;
                }
                Kind::Secret(_) => {
                    self.directory(SECRETS, 0o700)?;
                    self.ground(&mount.target)?;
                }
                Kind::Image(image) => {
                    self.directory(format!("{IMAGE}{number}").as_str(), 0o755)?;
                    self.directory(format!("{IMAGE}-root{number}").as_str(), 0o755)?;
                    self.directory(format!("{IMAGE}-ground{number}").as_str(), 0o755)?;
                    if image.writable.is_some() {
                        self.directory(format!("{IMAGE_WRITABLE}{number}").as_str(), 0o755)?;
                    }
                }
                Kind::New { .. }
                | Kind::Devices
                | Kind::Volume(_)
                | Kind::Credentials(_)
                | Kind::Bind { .. }
                | Kind::BindIfPresent(_)
                | Kind::ZoneFile(_)
                | Kind::HostSysfs => {}
            }
        }
        if plan.writable_layer.is_none() {
            // A root that cannot be written has an upper layer all the same, for the mount points that the image lacks.
            self.directory("upper", 0o755)?;
            self.directory("work", 0o700)?;
        }
        Ok(())
    }

    /// Makes one more place to mount on.
    ///
    /// # Errors
    /// What mkdir(2) says.
    pub fn make_place(&self, name: &str) -> Result<()> {
        self.directory(name, 0o755)
    }

    /// Puts a mount at one of its places.
    ///
    /// # Errors
    /// What move_mount(2) says.
    pub fn put(&self, place: &str, mount: BorrowedFd<'_>) -> Result<()> {
        Ok(attach(mount, self.open(place)?.as_fd())?)
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

    /// A mount of the file that the plan's mount `number` consists of.
    ///
    /// # Errors
    /// What open_tree(2) says.
    pub fn made_file(&self, number: usize) -> io::Result<OwnedFd> {
        self.take(&file_name(number))
    }

    /// The directory for secrets, in a file system that is made with the first of them.
    ///
    /// # Errors
    /// What fsmount(2) says.
    pub fn secrets(&self) -> Result<OwnedFd> {
        if self.secrets.get().is_none() {
            let memory = secret::memory(self.context.as_deref()).context("mounting a ramfs for secrets")?;
            self.put(SECRETS, memory.as_fd())?;
            let _ = self.secrets.set(memory);
        }
        let memory = self.secrets.get().context("there is no place for secrets")?;
        Ok(memory.try_clone()?)
    }

    fn take(&self, name: &str) -> io::Result<OwnedFd> {
        clone_tree(self.open(name)?.as_fd(), Depth::Mount)
    }

    fn open(&self, name: &str) -> nix::Result<OwnedFd> {
        openat(&self.mount, name, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
    }

    fn directory<P: nix::NixPath + ?Sized>(&self, path: &P, mode: libc::mode_t) -> Result<()> {
        match mkdirat(&self.mount, path, Mode::from_bits_truncate(mode)) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// An empty file at `target` in the lowest layer.
    fn ground(&self, target: &Path) -> Result<()> {
        let mut path = PathBuf::from(GROUND);
        for name in target.parent().into_iter().flat_map(Path::components).skip(1) {
            path.push(name);
            self.directory(&path, 0o755)?;
        }
        self.file(&Path::new(GROUND).join(target.strip_prefix("/")?), "")
    }

    fn file<P: nix::NixPath + ?Sized>(&self, name: &P, content: &str) -> Result<()> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.mount, name, flags, Mode::from_bits_truncate(0o644))?;
        Ok(File::from(file).write_all(content.as_bytes())?)
    }
}

fn file_name(number: usize) -> String {
    format!("file{number}")
}
