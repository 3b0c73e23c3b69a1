//! The container's part of its root: what is mounted where, and which paths are closed.
//!
//! It happens in the container's own mount namespace and with the container's own rights, with mounts that the shim has made where those do
//! not suffice ([`crate::run::lend`]). Every target lies in a tree that the image controls: it is opened below the root without leaving it,
//! and mounted on by descriptor.

use std::cell::{Cell, OnceCell};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use libc::MOUNT_ATTR_RDONLY;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Gid, Uid, fchownat};

use crate::plan::Plan;
use crate::plan::mount::{Access, Kind, Mount};
use crate::plan::volume::Volume;
use crate::run::failure::{Priority, say};
use crate::run::fill::fill;
use crate::run::handover::{Message, Taker};
use crate::run::user;
use crate::sys::mount::{Depth, Filesystem, add_attributes, attach, clone_tree};
use crate::sys::path::{Links, file_type, make_directory_in_root, make_file_in_root, open_in_root};

/// Completes the root that `plan` describes.
///
/// # Errors
/// What the kernel says of a mount, with the path it was for; or the shim is gone.
pub fn complete(plan: &Plan, root: BorrowedFd<'_>, shim: &Taker) -> Result<()> {
    let identity = OnceCell::new();
    let program = || program(plan, root, &identity);
    let filled = Cell::new(false);
    for (number, mount) in (0..).zip(&plan.mounts) {
        mount_one(
            root,
            mount,
            number,
            shim,
            &Help {
                program: &program,
                filled: &filled,
            },
        )
        .with_context(|| format!("mounting '{}'", mount.target.display()))?;
    }
    for place in &plan.owned {
        check_owner(root, place, &program)?;
    }
    close_paths(plan, root, shim)?;
    let directory = Path::new(&plan.process.working_directory);
    make_directory_in_root(root, directory, Links::Inside)
        .with_context(|| format!("opening the working directory '{}'", directory.display()))?;
    if filled.get() {
        // What the payload writes is to last.
        shim.await_maybe(Message::Settled)?;
    }
    if plan.writable_layer.is_none() {
        add_attributes(root, MOUNT_ATTR_RDONLY, Depth::Mount).context("making the root read-only")?;
    }
    Ok(())
}

/// What mounts may need.
struct Help<'h> {
    /// The program's user and group.
    program: &'h dyn Fn() -> Result<(Uid, Gid)>,
    /// Whether a volume was filled that is yet to get its name.
    filled: &'h Cell<bool>,
}

fn mount_one(root: BorrowedFd<'_>, mount: &Mount, number: u16, shim: &Taker, help: &Help<'_>) -> Result<()> {
    let part = || shim.await_maybe(Message::Mount(number));
    let (part, target) = match &mount.kind {
        Kind::New { filesystem, parameters } => {
            // /proc and its kind lie where the skeleton has them; on a tmpfs the administrator may name a path with links.
            let links = if matches!(*filesystem, "tmpfs" | "ramfs") {
                Links::Inside
            } else {
                Links::Refuse
            };
            (
                new_filesystem(filesystem, parameters, mount.attributes())?,
                make_directory_in_root(root, &mount.target, links)?,
            )
        }
        Kind::Devices => (
            part()?.context("the shim has made none")?,
            make_directory_in_root(root, &mount.target, Links::Refuse)?,
        ),
        Kind::ZoneFile(_) => {
            let Some(part) = part()? else { return Ok(()) };
            if is_link(root, &mount.target)? {
                return Ok(());
            }
            (part, make_file_in_root(root, &mount.target)?)
        }
        Kind::Volume(volume) => return mount_volume(root, mount, volume, number, shim, help),
        Kind::Image(image) => {
            let part = part()?.context("the shim has made none")?;
            let target = make_directory_in_root(root, &mount.target, Links::Inside)?;
            add_attributes(part.as_fd(), mount.attributes(), Depth::Mount)?;
            return attach_part(&part, &target, image.subpath.as_deref());
        }
        Kind::Secret(secret) => {
            let part = part()?.context("the shim has made none")?;
            let (user, group) = (help.program)()?;
            let user = secret.user.map_or(user, Uid::from_raw);
            let group = secret.group.map_or(group, Gid::from_raw);
            give_away(part.as_fd(), c"", user, group)?;
            add_attributes(part.as_fd(), mount.attributes(), Depth::Mount)?;
            (part, make_file_in_root(root, &mount.target)?)
        }
        Kind::Credentials(names) => {
            let part = part()?.context("the shim has made none")?;
            let (user, group) = (help.program)()?;
            for name in names {
                give_away(
                    part.as_fd(),
                    std::ffi::CString::new(name.as_str())?.as_c_str(),
                    user,
                    group,
                )?;
            }
            give_away(part.as_fd(), c"", user, group)?;
            add_attributes(part.as_fd(), mount.attributes(), Depth::Mount)?;
            (part, make_directory_in_root(root, &mount.target, Links::Inside)?)
        }
        Kind::Bind { .. } | Kind::BindIfPresent(_) | Kind::HostSysfs | Kind::File(_) => {
            let Some(part) = part()? else { return Ok(()) };
            let target = if is_directory(part.as_fd())? {
                make_directory_in_root(root, &mount.target, Links::Inside)?
            } else {
                make_file_in_root(root, &mount.target)?
            };
            (part, target)
        }
    };
    Ok(attach(part.as_fd(), target.as_fd())?)
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
        fill(volume, &mount.target, root, part.as_fd(), help.program)?;
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
fn check_owner(root: BorrowedFd<'_>, place: &Path, program: &impl Fn() -> Result<(Uid, Gid)>) -> Result<()> {
    let found = fstat(open_in_root(root, place, OFlag::O_PATH, Links::Inside)?)?;
    let (user, _) = program()?;
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

fn is_directory(file: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(file_type(&fstat(file)?) == SFlag::S_IFDIR)
}

fn new_filesystem(kind: &str, parameters: &[String], attributes: u64) -> Result<OwnedFd> {
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

/// Hides what is to be hidden and makes read-only what is to be read only, where it exists.
///
/// Each path of procfs and sysfs is looked up from its first directory, which is a file system of its own: a look-up through the overlay
/// costs as much as the mount. Others are the definition's, and may lead through links of the image.
fn close_paths(plan: &Plan, root: BorrowedFd<'_>, shim: &Taker) -> Result<()> {
    let empty = [
        shim.await_one(Message::EmptyDirectory)?,
        shim.await_one(Message::EmptyFile)?,
    ];
    for top in ["/proc", "/sys"] {
        let directory = open_in_root(root, Path::new(top), OFlag::O_PATH | OFlag::O_DIRECTORY, Links::Refuse)
            .with_context(|| format!("opening '{top}'"))?;
        for path in plan.masked_paths.iter().filter_map(|path| below(top, path)) {
            existing(directory.as_fd(), Path::new(path), Links::Refuse)
                .and_then(|target| hide(target, &empty))
                .with_context(|| format!("masking '{top}/{path}'"))?;
        }
        for path in plan.read_only_paths.iter().filter_map(|path| below(top, path)) {
            make_read_only(directory.as_fd(), Path::new(path))
                .with_context(|| format!("making '{top}/{path}' read-only"))?;
        }
    }
    let is_elsewhere = |path: &&String| ["/proc", "/sys"].iter().all(|top| below(top, path).is_none());
    for path in plan.masked_paths.iter().filter(is_elsewhere) {
        existing(root, Path::new(path), Links::Inside)
            .and_then(|target| hide(target, &empty))
            .with_context(|| format!("masking '{path}'"))?;
    }
    Ok(())
}

/// What of `path` comes after the directory `top`.
fn below<'p>(top: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(top)?.strip_prefix('/')
}

/// Mounts one of the empty ones, a directory and a file, over `target`.
fn hide(target: Option<OwnedFd>, [directory, file]: &[OwnedFd; 2]) -> Result<()> {
    let Some(target) = target else { return Ok(()) };
    let empty = if is_directory(target.as_fd())? { directory } else { file };
    Ok(attach(
        clone_tree(empty.as_fd(), Depth::Mount)?.as_fd(),
        target.as_fd(),
    )?)
}

fn make_read_only(root: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let Some(target) = existing(root, path, Links::Refuse)? else {
        return Ok(());
    };
    let copy = clone_tree(target.as_fd(), Depth::Tree)?;
    add_attributes(copy.as_fd(), MOUNT_ATTR_RDONLY, Depth::Tree)?;
    Ok(attach(copy.as_fd(), target.as_fd())?)
}

fn existing(root: BorrowedFd<'_>, path: &Path, links: Links) -> Result<Option<OwnedFd>> {
    match open_in_root(root, path, OFlag::O_PATH, links) {
        Ok(target) => Ok(Some(target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
