//! Builds the container's root file system: layers, writable layer, mounts, devices, closed paths.
//!
//! It happens in the container's own mount namespace, where nothing that is mounted is seen by the host. Every target lies in a tree that the
//! image controls: it is opened below the root without leaving it, and mounted on by descriptor.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, fstat, makedev, mkdirat, mknodat};
use nix::unistd::symlinkat;

use crate::plan::Plan;
use crate::plan::mount::{Access, Kind, Mount};
use crate::run::handover::Taker;
use crate::run::staging::{GROUND, SKELETON, Staging};
use crate::sys::mount::{Depth, Filesystem, add_attributes, attach, clone_tree, mount_overlay, open_place};
use crate::sys::network;
use crate::sys::path::{Links, file_type, make_directory_in_root, make_file_in_root, open_in_root};

/// Where the payload's standard output or error leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A file, a pipe or a terminal, which can be opened again by name.
    Reopenable,
    /// The journal's socket, which cannot: `/dev/stdout` must be something else.
    Socket,
}

/// Builds the root that `plan` describes, and gives its mount. `outputs` are those of standard output and error. What `shim` has to give
/// is waited for where it is needed, and this process is in the container's own network namespace when it has been.
///
/// # Errors
/// What the kernel says of a mount, with the path it was for; or the shim is gone.
pub fn build(plan: &Plan, outputs: [Output; 2], shim: &Taker) -> Result<OwnedFd> {
    let staging = Staging::create(plan)?;
    if plan.writable_layer.is_some() {
        shim.await_layer()?;
    }
    let root = overlay(plan, &staging)?;
    staging.close()?;
    let network = plan.mounts.iter().position(Mount::shows_the_network);
    for (number, mount) in plan.mounts.iter().enumerate() {
        if Some(number) == network {
            enter_network(shim)?;
        }
        let made_file = || staging.made_file(number);
        mount_one(root.as_fd(), mount, made_file, outputs)
            .with_context(|| format!("mounting '{}'", mount.target.display()))?;
    }
    if network.is_none() {
        enter_network(shim)?;
    }
    close_paths(plan, root.as_fd(), &staging)?;
    let directory = Path::new(&plan.process.working_directory);
    make_directory_in_root(root.as_fd(), directory, Links::Inside)
        .with_context(|| format!("opening the working directory '{}'", directory.display()))?;
    if plan.writable_layer.is_none() {
        add_attributes(root.as_fd(), MOUNT_ATTR_RDONLY, Depth::Mount).context("making the root read-only")?;
    }
    Ok(root)
}

fn enter_network(shim: &Taker) -> Result<()> {
    match shim.await_network()? {
        Some(namespace) => network::join(namespace).context("entering the network namespace"),
        None => Ok(()),
    }
}

/// The layers with the writable one over them, mounted over the staging area.
fn overlay(plan: &Plan, staging: &Staging) -> Result<OwnedFd> {
    let writable = plan.writable_layer.as_deref().unwrap_or(staging.path());
    let upper = writable.join("upper");
    let work = writable.join("work");
    if let Some(image) = plan.layers.last() {
        look_alike(image, &upper).with_context(|| format!("looking at '{}'", image.display()))?;
    }
    let (ground, skeleton) = (staging.path().join(GROUND), staging.path().join(SKELETON));
    let layers: Vec<&Path> = [ground.as_path()]
        .into_iter()
        .chain(plan.layers.iter().map(PathBuf::as_path))
        .chain([skeleton.as_path()])
        .collect();
    let mounted = match overlay_by_descriptor(&layers, &upper, &work) {
        Ok(mount) => {
            attach(mount.as_fd(), open_place(staging.path())?.as_fd()).context("mounting the root")?;
            Ok(mount)
        }
        // Before Linux 6.5 the new API does not take layers one by one.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            overlay_by_option_string(&layers, staging.path(), &upper, &work)
        }
        Err(error) => Err(error.into()),
    };
    mounted.with_context(|| format!("mounting an overlay over '{}'", plan.layers[0].display()))
}

/// The root has the owner and mode of its uppermost directory, which is ours: they are to be the image's.
fn look_alike(image: &Path, upper: &Path) -> io::Result<()> {
    let metadata = fs::metadata(image)?;
    if (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777) == (0, 0, 0o755) {
        return Ok(());
    }
    std::os::unix::fs::chown(upper, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(upper, metadata.permissions())
}

fn overlay_by_descriptor(layers: &[&Path], upper: &Path, work: &Path) -> io::Result<OwnedFd> {
    let filesystem = Filesystem::open("overlay")?;
    filesystem.set("source", "coracle")?;
    for layer in layers.iter().rev() {
        filesystem.set("lowerdir+", text(layer)?)?;
    }
    filesystem.set("upperdir", text(upper)?)?;
    filesystem.set("workdir", text(work)?)?;
    // The layer vanishes at the stop, so nothing of it ever needs to be synced (volatile, Linux 5.10).
    filesystem.flag("volatile")?;
    // A device node in an image is the host's device. Programs gain no rights by what they are anyway (no_new_privs).
    filesystem.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
}

fn overlay_by_option_string(layers: &[&Path], place: &Path, upper: &Path, work: &Path) -> Result<OwnedFd> {
    let mut options = format!("upperdir={},workdir={},volatile,lowerdir=", text(upper)?, text(work)?);
    for (number, layer) in layers.iter().rev().enumerate() {
        options.push_str(if number == 0 { "" } else { ":" });
        options.push_str(text(layer)?);
    }
    if options.len() >= 4096 {
        bail!(
            "the image has {} layers, more than a kernel before Linux 6.5 can stack here",
            layers.len() - 2
        );
    }
    mount_overlay(place, &options)?;
    Ok(open_place(place)?)
}

/// A path as an overlay option, in which commas, colons and backslashes would mean something.
fn text(path: &Path) -> io::Result<&str> {
    let text = path.to_str().filter(|text| !text.contains([',', ':', '\\']));
    text.ok_or_else(|| {
        io::Error::other(format!(
            "the path '{}' has characters that overlayfs does not take",
            path.display()
        ))
    })
}

fn mount_one(
    root: BorrowedFd<'_>,
    mount: &Mount,
    made_file: impl Fn() -> io::Result<OwnedFd>,
    outputs: [Output; 2],
) -> Result<()> {
    let mut attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if mount.access == Access::ReadOnly {
        attributes |= MOUNT_ATTR_RDONLY;
    }
    if !mount.executable {
        attributes |= MOUNT_ATTR_NOEXEC;
    }
    match &mount.kind {
        Kind::New { filesystem, parameters } => {
            // /proc and its kind lie where the skeleton has them; on a tmpfs the administrator may name a path with links.
            let links = if *filesystem == "tmpfs" {
                Links::Inside
            } else {
                Links::Refuse
            };
            let target = make_directory_in_root(root, &mount.target, links)?;
            attach(
                new_filesystem(filesystem, parameters, attributes)?.as_fd(),
                target.as_fd(),
            )?;
        }
        Kind::Devices => {
            let target = make_directory_in_root(root, &mount.target, Links::Refuse)?;
            let parameters = ["mode=0755".to_owned(), "size=64k".to_owned()];
            let devices = new_filesystem("tmpfs", &parameters, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)?;
            attach(devices.as_fd(), target.as_fd())?;
            make_devices(devices.as_fd(), outputs)?;
        }
        Kind::Bind(source) | Kind::BindIfPresent(source) => {
            let from = match open_place(source) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && mount.kind != Kind::Bind(source.clone()) => {
                    return Ok(());
                }
                from => from.with_context(|| format!("opening '{}'", source.display()))?,
            };
            let is_directory = file_type(&fstat(&from)?) == SFlag::S_IFDIR;
            let copy = clone_tree(from.as_fd())?;
            add_attributes(copy.as_fd(), attributes, Depth::Tree)?;
            let target = if is_directory {
                make_directory_in_root(root, &mount.target, Links::Inside)?
            } else {
                make_file_in_root(root, &mount.target)?
            };
            attach(copy.as_fd(), target.as_fd())?;
        }
        Kind::File(_) => {
            let target = make_file_in_root(root, &mount.target)?;
            attach(made_file()?.as_fd(), target.as_fd())?;
        }
    }
    Ok(())
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

/// The nodes and links of `/dev` that every container has (runtime-spec config-linux.md, "Default Devices").
fn make_devices(devices: BorrowedFd<'_>, outputs: [Output; 2]) -> Result<()> {
    const NODES: [(&str, u64, u64); 6] = [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ];
    const LINKS: [(&str, &str); 3] = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("ptmx", "pts/ptmx"),
    ];
    let everybody = Mode::from_bits_truncate(0o666);
    for (name, major, minor) in NODES {
        mknodat(devices, name, SFlag::S_IFCHR, everybody, makedev(major, minor))
            .with_context(|| format!("making the device '/dev/{name}'"))?;
    }
    for (name, target) in LINKS {
        symlinkat(target, devices, name)?;
    }
    // For what the plan mounts next.
    for name in ["pts", "mqueue", "shm"] {
        mkdirat(devices, name, Mode::from_bits_truncate(0o755))?;
    }
    let names = [("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")];
    for ((name, target), output) in names.into_iter().zip(outputs) {
        match output {
            Output::Reopenable => symlinkat(target, devices, name)?,
            Output::Socket => mknodat(devices, name, SFlag::S_IFIFO, everybody, 0)?,
        }
    }
    Ok(())
}

/// Hides what is to be hidden and makes read-only what is to be read only, where it exists.
///
/// Each path is looked up from its first directory, which is a file system of its own: a look-up through the overlay costs as much as the mount.
fn close_paths(plan: &Plan, root: BorrowedFd<'_>, staging: &Staging) -> Result<()> {
    for top in ["/proc", "/sys"] {
        let directory = open_in_root(root, Path::new(top), OFlag::O_PATH | OFlag::O_DIRECTORY, Links::Refuse)
            .with_context(|| format!("opening '{top}'"))?;
        let below = |path: &'static str| path.strip_prefix(top)?.strip_prefix('/');
        for path in plan.masked_paths.iter().copied().filter_map(below) {
            mask(directory.as_fd(), staging, Path::new(path)).with_context(|| format!("masking '{top}/{path}'"))?;
        }
        for path in plan.read_only_paths.iter().copied().filter_map(below) {
            make_read_only(directory.as_fd(), Path::new(path))
                .with_context(|| format!("making '{top}/{path}' read-only"))?;
        }
    }
    Ok(())
}

/// Hides `path` under something empty, if it is there.
fn mask(root: BorrowedFd<'_>, staging: &Staging, path: &Path) -> Result<()> {
    let Some((target, is_directory)) = existing(root, path)? else {
        return Ok(());
    };
    let empty = if is_directory {
        staging.empty_directory()
    } else {
        staging.empty_file()
    }?;
    Ok(attach(empty.as_fd(), target.as_fd())?)
}

fn make_read_only(root: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let Some((target, _)) = existing(root, path)? else {
        return Ok(());
    };
    let copy = clone_tree(target.as_fd())?;
    add_attributes(copy.as_fd(), MOUNT_ATTR_RDONLY, Depth::Tree)?;
    Ok(attach(copy.as_fd(), target.as_fd())?)
}

fn existing(root: BorrowedFd<'_>, path: &Path) -> Result<Option<(OwnedFd, bool)>> {
    match open_in_root(root, path, OFlag::O_PATH, Links::Refuse) {
        Ok(target) => {
            let is_directory = file_type(&fstat(&target)?) == SFlag::S_IFDIR;
            Ok(Some((target, is_directory)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
