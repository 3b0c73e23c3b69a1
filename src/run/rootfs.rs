//! The container's part of its root: what is mounted where, and which paths are closed.
//!
//! It happens in the container's own mount namespace and with the container's own rights, with mounts that the shim has made where those do
//! not suffice ([`crate::run::lend`]). Every target lies in a tree that the image controls: it is opened below the root without leaving it,
//! and mounted on by descriptor.
//!
//! What needs no root is prepared while the shim still makes that: new file systems, and /proc and /sys with all that is mounted in them and
//! closed. Those two are mounted over the host's, in a mount namespace that is about to lose them, and move to their places as a whole.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::{Gid, Uid, fchownat};

use crate::plan::Plan;
use crate::plan::mount::{Access, Kind, Mount};
use crate::plan::volume::Volume;
use crate::run::failure::{Priority, say};
use crate::run::fill::fill;
use crate::run::handover::{Message, Taker};
use crate::run::label;
use crate::run::user;
use crate::sys::mount::{Depth, Filesystem, add_attributes, attach, clone_tree, open_place};
use crate::sys::path::{Links, file_type, make_directory_in_root, make_file_in_root, open_in_root};

/// The parts of a root that are there before the root is.
#[derive(Debug)]
pub struct Prepared<'a> {
    plan: &'a Plan,
    /// By the number of the plan's mount; those inside one of the [`TOPS`] are in their places already.
    filesystems: BTreeMap<u16, OwnedFd>,
    /// What closed paths are covered with.
    cover: Cover,
}

/// Directories of the kernel's, with paths in them to close. They exist on every host.
const TOPS: [&str; 2] = ["/proc", "/sys"];

impl<'a> Prepared<'a> {
    /// Prepares the root that `plan` describes.
    ///
    /// # Errors
    /// What the kernel says of a mount, with the path it was for.
    pub fn new(plan: &'a Plan) -> Result<Self> {
        let mut prepared = Self {
            plan,
            filesystems: BTreeMap::new(),
            cover: Cover::new(plan.file_context()).context("making what closed paths are covered with")?,
        };
        for (number, mount) in (0..).zip(&plan.mounts) {
            if let Kind::New { filesystem, parameters } = &mount.kind {
                let part = new_filesystem(filesystem, parameters, mount.attributes());
                let add = |part| prepared.add(number, mount, part);
                part.and_then(add)
                    .with_context(|| format!("mounting '{}'", mount.target.display()))?;
            }
        }
        for top in TOPS {
            if let Some(directory) = prepared.top(top) {
                prepared.close(top, directory)?;
            }
        }
        Ok(prepared)
    }

    fn add(&mut self, number: u16, mount: &Mount, part: OwnedFd) -> Result<()> {
        let target = mount.target.as_path();
        if TOPS.iter().any(|top| target == Path::new(top)) {
            attach(part.as_fd(), open_place(target)?.as_fd())?;
        } else if let Some((top, path)) = TOPS.iter().find_map(|top| Some((top, target.strip_prefix(top).ok()?)))
            && let Some(directory) = self.top(top)
        {
            let place = open_in_root(directory, path, OFlag::O_PATH | OFlag::O_DIRECTORY, Links::Refuse)?;
            return Ok(attach(part.as_fd(), place.as_fd())?);
        }
        self.filesystems.insert(number, part);
        Ok(())
    }

    /// The mount at `top`, if this is one of those that are prepared.
    fn top(&self, top: &str) -> Option<BorrowedFd<'_>> {
        let is_there = |mount: &Mount| mount.target == Path::new(top);
        let number = u16::try_from(self.plan.mounts.iter().position(is_there)?).ok()?;
        self.filesystems.get(&number).map(AsFd::as_fd)
    }

    /// Completes the root, which `root` is.
    ///
    /// # Errors
    /// What the kernel says of a mount, with the path it was for; or the shim is gone.
    pub fn complete(self, root: BorrowedFd<'_>, shim: &Taker) -> Result<()> {
        let plan = self.plan;
        let identity = OnceCell::new();
        let help = Help {
            program: &|| program(plan, root, &identity),
            filled: Cell::new(false),
        };
        for (number, mount) in (0..).zip(&plan.mounts) {
            self.put(number, mount, root, shim, &help)
                .with_context(|| format!("mounting '{}'", mount.target.display()))?;
        }
        for place in &plan.owned {
            check_owner(root, place, &help)?;
        }
        for top in TOPS.into_iter().filter(|top| self.top(top).is_none()) {
            let directory = open_in_root(root, Path::new(top), OFlag::O_PATH | OFlag::O_DIRECTORY, Links::Refuse)
                .with_context(|| format!("opening '{top}'"))?;
            self.close(top, directory.as_fd())?;
        }
        let is_elsewhere = |path: &&String| TOPS.iter().all(|top| below(top, path).is_none());
        for path in plan.masked_paths.iter().filter(is_elsewhere) {
            existing(root, Path::new(path), Links::Inside)
                .and_then(|target| self.cover.hide(target))
                .with_context(|| format!("masking '{path}'"))?;
        }
        let directory = Path::new(&plan.process.working_directory);
        make_directory_in_root(root, directory, Links::Inside)
            .with_context(|| format!("opening the working directory '{}'", directory.display()))?;
        if help.filled.get() {
            // What the payload writes is to last.
            shim.await_maybe(Message::Settled)?;
        }
        if plan.writable_layer.is_none() {
            add_attributes(root, MOUNT_ATTR_RDONLY, Depth::Mount).context("making the root read-only")?;
        }
        Ok(())
    }

    fn put(&self, number: u16, mount: &Mount, root: BorrowedFd<'_>, shim: &Taker, help: &Help<'_>) -> Result<()> {
        if let Kind::New { filesystem, .. } = &mount.kind {
            let Some(part) = self.filesystems.get(&number) else {
                return Ok(());
            };
            // /proc and its kind lie where the skeleton has them; on a tmpfs the administrator may name a path with links.
            let links = if matches!(*filesystem, "tmpfs" | "ramfs") {
                Links::Inside
            } else {
                Links::Refuse
            };
            let target = make_directory_in_root(root, &mount.target, links)?;
            return Ok(attach(part.as_fd(), target.as_fd())?);
        }
        if let Kind::Volume(volume) = &mount.kind {
            return mount_volume(root, mount, volume, number, shim, help);
        }
        let Some(part) = shim.await_maybe(Message::Mount(number))? else {
            return Ok(());
        };
        match &mount.kind {
            Kind::Image(image) => {
                let target = make_directory_in_root(root, &mount.target, Links::Inside)?;
                add_attributes(part.as_fd(), mount.attributes(), Depth::Mount)?;
                return attach_part(&part, &target, image.subpath.as_deref());
            }
            Kind::Secret(_) | Kind::Credentials(_) => give_secrets(&part, mount, help)?,
            _ => {}
        }
        let target = match &mount.kind {
            Kind::Devices => make_directory_in_root(root, &mount.target, Links::Refuse)?,
            Kind::ZoneFile(_) if is_link(root, &mount.target)? => return Ok(()),
            _ if is_directory(part.as_fd())? => make_directory_in_root(root, &mount.target, Links::Inside)?,
            _ => make_file_in_root(root, &mount.target)?,
        };
        Ok(attach(part.as_fd(), target.as_fd())?)
    }

    /// Hides what is to be hidden below `top` and makes read-only what is to be read only, where it exists.
    fn close(&self, top: &str, directory: BorrowedFd<'_>) -> Result<()> {
        for path in self.plan.masked_paths.iter().filter_map(|path| below(top, path)) {
            existing(directory, Path::new(path), Links::Refuse)
                .and_then(|target| self.cover.hide(target))
                .with_context(|| format!("masking '{top}/{path}'"))?;
        }
        for path in self.plan.read_only_paths.iter().filter_map(|path| below(top, path)) {
            make_read_only(directory, Path::new(path), Links::Refuse)
                .with_context(|| format!("making '{top}/{path}' read-only"))?;
        }
        Ok(())
    }
}

/// An empty directory and an empty file, to be mounted over others.
#[derive(Debug)]
pub struct Cover {
    directory: OwnedFd,
    file: OwnedFd,
}

impl Cover {
    /// Makes them, in the SELinux `context` if there is one. The mount lies on `/proc`, in the way of nobody who mounts a procfs there.
    ///
    /// # Errors
    /// What the kernel says of the mount.
    pub fn new(context: Option<&str>) -> Result<Self> {
        let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
        let filesystem = Filesystem::open("tmpfs")?;
        label::files(&filesystem, context)?;
        let mount = filesystem.mount(attributes & !MOUNT_ATTR_RDONLY)?;
        let mode = Mode::from_bits_truncate(0o755);
        mkdirat(&mount, "directory", mode)?;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        drop(openat(&mount, "file", flags, Mode::from_bits_truncate(0o644))?);
        add_attributes(mount.as_fd(), attributes, Depth::Mount)?;
        // Only what is mounted somewhere can be cloned (before Linux 6.15), and there the container's own procfs is about to cover it.
        attach(mount.as_fd(), open_place(Path::new(TOPS[0]))?.as_fd())?;
        let open = |name| openat(&mount, name, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
        Ok(Self {
            directory: open("directory")?,
            file: open("file")?,
        })
    }

    /// Of an empty directory and an empty file that are mounted somewhere.
    #[must_use]
    pub const fn of(directory: OwnedFd, file: OwnedFd) -> Self {
        Self { directory, file }
    }

    /// Covers `target`, if there is one.
    ///
    /// # Errors
    /// What the kernel says of the mount.
    pub fn hide(&self, target: Option<OwnedFd>) -> Result<()> {
        let Some(target) = target else { return Ok(()) };
        let empty = if is_directory(target.as_fd())? {
            &self.directory
        } else {
            &self.file
        };
        let clone = clone_tree(empty.as_fd(), Depth::Mount)?;
        Ok(attach(clone.as_fd(), target.as_fd())?)
    }
}

/// What mounts may need.
struct Help<'h> {
    /// The program's user and group.
    program: &'h dyn Fn() -> Result<(Uid, Gid)>,
    /// Whether a volume was filled that is yet to get its name.
    filled: Cell<bool>,
}

/// A volume, which is filled first where it is new.
fn mount_volume(
    root: BorrowedFd<'_>,
    mount: &Mount,
    volume: &Volume,
    number: u16,
    shim: &Taker,
    help: &Help<'_>,
) -> Result<()> {
    let (message, part) = shim.await_either([Message::Mount(number), Message::Fresh(number)])?;
    let part = part.context("the shim has made none")?;
    if message == Message::Fresh(number) {
        let filled = |context| {
            label::new_files(root, context)?;
            fill(volume, &mount.target, root, part.as_fd(), help.program)?;
            label::new_files(root, context.map(|_| ""))
        };
        filled(volume.context.as_deref())?;
        if mount.access == Access::ReadOnly {
            add_attributes(part.as_fd(), MOUNT_ATTR_RDONLY, Depth::Mount)?;
        }
        if volume.name.is_some() {
            shim.tell(Message::Filled(number));
            help.filled.set(true);
        }
    }
    let target = make_directory_in_root(root, &mount.target, Links::Inside)?;
    attach_part(&part, &target, volume.subpath.as_deref())
}

/// Attaches a mount, or a directory in it. What that is made of may be hostile: it is looked up without leaving the mount, and lies over it.
fn attach_part(part: &OwnedFd, target: &OwnedFd, subpath: Option<&Path>) -> Result<()> {
    attach(part.as_fd(), target.as_fd())?;
    let Some(subpath) = subpath else { return Ok(()) };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let inner = open_in_root(part.as_fd(), subpath, flags, Links::Inside)
        .with_context(|| format!("opening the subpath '{}'", subpath.display()))?;
    Ok(attach(clone_tree(inner.as_fd(), Depth::Tree)?.as_fd(), target.as_fd())?)
}

/// Gives secrets to their owners, and closes the file or directory that they are.
fn give_secrets(part: &OwnedFd, mount: &Mount, help: &Help<'_>) -> Result<()> {
    let (user, group) = (help.program)()?;
    let (user, group) = match &mount.kind {
        Kind::Secret(secret) => (
            secret.user.map_or(user, Uid::from_raw),
            secret.group.map_or(group, Gid::from_raw),
        ),
        Kind::Credentials(names) => {
            for name in names {
                give_away(part.as_fd(), CString::new(name.as_str())?.as_c_str(), user, group)?;
            }
            (user, group)
        }
        _ => return Ok(()),
    };
    give_away(part.as_fd(), c"", user, group)?;
    Ok(add_attributes(part.as_fd(), mount.attributes(), Depth::Mount)?)
}

/// Gives a file in memory to the program's user.
fn give_away(directory: BorrowedFd<'_>, name: &CStr, user: Uid, group: Gid) -> Result<()> {
    let flags = AtFlags::AT_EMPTY_PATH | AtFlags::AT_SYMLINK_NOFOLLOW;
    fchownat(directory, name, Some(user), Some(group), flags).context("giving it to the program's user")
}

/// The program's user and group, looked up once.
fn program(plan: &Plan, root: BorrowedFd<'_>, known: &OnceCell<(Uid, Gid)>) -> Result<(Uid, Gid)> {
    if let Some(known) = known.get() {
        return Ok(*known);
    }
    let process = &plan.process;
    let identity = user::look_up_below(root, &process.user, process.group.as_deref(), &[])?;
    Ok(*known.get_or_init(|| (identity.uid, identity.gid)))
}

/// Says where a place that is to belong to the program's user does not: nothing on disk is given to anybody.
fn check_owner(root: BorrowedFd<'_>, place: &Path, help: &Help<'_>) -> Result<()> {
    let found = fstat(open_in_root(root, place, OFlag::O_PATH, Links::Inside)?)?;
    let (user, _) = (help.program)()?;
    if found.st_uid != user.as_raw() {
        let place = place.display();
        let message = format!(
            "{place}: option 'U' would give it to user {user}, it belongs to {}; owners on disk are never changed, but those on disk are \
             those inside: change it there once with chown(1)",
            found.st_uid
        );
        say(Priority::Warning, &message);
    }
    Ok(())
}

/// Whether the image has a link at `path`, the rest of which may lead through others.
fn is_link(root: BorrowedFd<'_>, path: &Path) -> io::Result<bool> {
    match open_in_root(root, path, OFlag::O_PATH | OFlag::O_NOFOLLOW, Links::Inside) {
        Ok(found) => Ok(file_type(&fstat(found)?) == SFlag::S_IFLNK),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether it is one.
///
/// # Errors
/// What fstat(2) says.
pub fn is_directory(file: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(file_type(&fstat(file)?) == SFlag::S_IFDIR)
}

/// A detached mount of a new file system.
///
/// # Errors
/// What the file system says of its parameters.
pub fn new_filesystem(kind: &str, parameters: &[String], attributes: u64) -> Result<OwnedFd> {
    let filesystem = Filesystem::open(kind).with_context(|| format!("opening the file system type '{kind}'"))?;
    for parameter in parameters {
        let result = match parameter.split_once('=') {
            Some((key, value)) => filesystem.set(key, value),
            None => filesystem.flag(parameter),
        };
        result.with_context(|| format!("setting '{parameter}'"))?;
    }
    Ok(filesystem.mount(attributes)?)
}

/// What of `path` comes after the directory `top`.
#[must_use]
pub fn below<'p>(top: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(top)?.strip_prefix('/')
}

/// Makes `path` read-only with all that is mounted below it, if it exists.
///
/// # Errors
/// What the kernel says.
pub fn make_read_only(root: BorrowedFd<'_>, path: &Path, links: Links) -> Result<()> {
    let Some(target) = existing(root, path, links)? else {
        return Ok(());
    };
    let copy = clone_tree(target.as_fd(), Depth::Tree)?;
    add_attributes(copy.as_fd(), MOUNT_ATTR_RDONLY, Depth::Tree)?;
    Ok(attach(copy.as_fd(), target.as_fd())?)
}

/// Opens `path` if it exists.
///
/// # Errors
/// What openat2(2) says.
pub fn existing(root: BorrowedFd<'_>, path: &Path, links: Links) -> Result<Option<OwnedFd>> {
    match open_in_root(root, path, OFlag::O_PATH, links) {
        Ok(target) => Ok(Some(target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
