//! Builds the container's root file system: layers, writable layer, mounts, devices, closed paths.
//!
//! It happens in the container's own mount namespace, where nothing that is mounted is seen by the host. Every target lies in a tree that the
//! image controls: it is opened below the root without leaving it, and mounted on by descriptor.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, makedev, mkdirat, mknodat};
use nix::unistd::symlinkat;

use crate::plan::Plan;
use crate::plan::mount::{Access, Kind, Mount};
use crate::sys::mount::{Depth, Filesystem, add_attributes, attach, clone_tree, mount_overlay, open_place};
use crate::sys::path::{Links, make_directory_in_root, make_file_in_root, open_in_root};

/// Where the payload's standard output or error leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A file, a pipe or a terminal, which can be opened again by name.
    Reopenable,
    /// The journal's socket, which cannot: `/dev/stdout` must be something else.
    Socket,
}

/// Builds the root that `plan` describes, and gives its mount. `outputs` are those of standard output and error.
///
/// # Errors
/// What the kernel says of a mount, with the path it was for.
pub fn build(plan: &Plan, outputs: [Output; 2]) -> Result<OwnedFd> {
    let staging = Staging::create(&plan.mount_point)?;
    let root = overlay(plan, &staging)?;
    for (number, mount) in plan.mounts.iter().enumerate() {
        match &mount.kind {
            Kind::File(content) => staging.write(&format!("file{number}"), content)?,
            Kind::New { .. } | Kind::Devices | Kind::Bind(_) | Kind::BindIfPresent(_) => {}
        }
    }
    staging.close()?;
    for (number, mount) in plan.mounts.iter().enumerate() {
        mount_one(root.as_fd(), &staging, number, mount, outputs)
            .with_context(|| format!("mounting '{}'", mount.target.display()))?;
    }
    for path in plan.masked_paths {
        mask(root.as_fd(), &staging, Path::new(path)).with_context(|| format!("masking '{path}'"))?;
    }
    for path in plan.read_only_paths {
        make_read_only(root.as_fd(), Path::new(path)).with_context(|| format!("making '{path}' read-only"))?;
    }
    let directory = Path::new(&plan.process.working_directory);
    make_directory_in_root(root.as_fd(), directory, Links::Inside)
        .with_context(|| format!("opening the working directory '{}'", directory.display()))?;
    if plan.writable_layer.is_none() {
        add_attributes(root.as_fd(), MOUNT_ATTR_RDONLY, Depth::Mount).context("making the root read-only")?;
    }
    Ok(root)
}

/// A small tmpfs, which nobody can see once the root has been entered, with what the mounts are taken from.
struct Staging {
    mount: OwnedFd,
    path: PathBuf,
}

impl Staging {
    fn create(place: &Path) -> Result<Self> {
        let place_fd = open_place(place).with_context(|| format!("opening '{}'", place.display()))?;
        let mount = tmpfs(
            &["mode=0700".to_owned()],
            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
        )?;
        attach(mount.as_fd(), place_fd.as_fd()).context("mounting a tmpfs to work in")?;
        let staging = Self {
            mount,
            path: place.to_owned(),
        };
        mkdirat(&staging.mount, "empty", Mode::from_bits_truncate(0o555))?;
        staging.write("nothing", "")?;
        Ok(staging)
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.mount, name, flags, Mode::from_bits_truncate(0o644))?;
        Ok(fs::File::from(file).write_all(content.as_bytes())?)
    }

    /// From now on nothing in it changes, and every mount that is taken from it is read-only.
    fn close(&self) -> Result<()> {
        Ok(add_attributes(self.mount.as_fd(), MOUNT_ATTR_RDONLY, Depth::Mount)?)
    }

    fn clone(&self, name: &str) -> io::Result<OwnedFd> {
        clone_tree(openat(&self.mount, name, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?.as_fd())
    }
}

/// The layers with the writable one over them, mounted over the staging area.
fn overlay(plan: &Plan, staging: &Staging) -> Result<OwnedFd> {
    let writable = plan.writable_layer.as_ref().unwrap_or(&staging.path);
    if plan.writable_layer.is_none() {
        for name in ["upper", "work"] {
            mkdirat(&staging.mount, name, Mode::from_bits_truncate(0o755))?;
        }
    }
    let upper = writable.join("upper");
    let work = writable.join("work");
    match overlay_by_descriptor(&plan.layers, &upper, &work) {
        Ok(mount) => {
            attach(mount.as_fd(), open_place(&staging.path)?.as_fd()).context("mounting the root")?;
            Ok(mount)
        }
        // Before Linux 6.5 the new API does not take layers one by one.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            overlay_by_option_string(plan, staging, &upper, &work)
        }
        Err(error) => Err(error).with_context(|| format!("mounting an overlay over '{}'", plan.layers[0].display())),
    }
}

fn overlay_by_descriptor(layers: &[PathBuf], upper: &Path, work: &Path) -> io::Result<OwnedFd> {
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

fn overlay_by_option_string(plan: &Plan, staging: &Staging, upper: &Path, work: &Path) -> Result<OwnedFd> {
    let mut options = format!("upperdir={},workdir={},volatile,lowerdir=", text(upper)?, text(work)?);
    for (number, layer) in plan.layers.iter().rev().enumerate() {
        options.push_str(if number == 0 { "" } else { ":" });
        options.push_str(text(layer)?);
    }
    if options.len() >= 4096 {
        bail!(
            "the image has {} layers, more than a kernel before Linux 6.5 can stack here",
            plan.layers.len()
        );
    }
    mount_overlay(&staging.path, &options)
        .with_context(|| format!("mounting an overlay over '{}'", plan.layers[0].display()))?;
    Ok(open_place(&staging.path)?)
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
    staging: &Staging,
    number: usize,
    mount: &Mount,
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
            // An image whose /proc is a link would have us mount it elsewhere, and find another one in its place.
            let target = make_directory_in_root(root, &mount.target, Links::Refuse).context(LINKED)?;
            let new = if *filesystem == "tmpfs" {
                tmpfs(parameters, attributes)?
            } else {
                new_filesystem(filesystem, parameters, attributes)?
            };
            attach(new.as_fd(), target.as_fd())?;
        }
        Kind::Devices => {
            let target = make_directory_in_root(root, &mount.target, Links::Refuse).context(LINKED)?;
            let devices = tmpfs(
                &["mode=0755".to_owned(), "size=64k".to_owned()],
                MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
            )?;
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
            let is_directory = SFlag::from_bits_truncate(fstat(&from)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
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
            attach(staging.clone(&format!("file{number}"))?.as_fd(), target.as_fd())?;
        }
    }
    Ok(())
}

const LINKED: &str = "it must be a directory in the image, and no part of it a link";

fn tmpfs(parameters: &[String], attributes: u64) -> Result<OwnedFd> {
    new_filesystem("tmpfs", parameters, attributes)
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
    let names = [("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")];
    for ((name, target), output) in names.into_iter().zip(outputs) {
        match output {
            Output::Reopenable => symlinkat(target, devices, name)?,
            Output::Socket => mknodat(devices, name, SFlag::S_IFIFO, everybody, 0)?,
        }
    }
    Ok(())
}

/// Hides `path` under something empty, if it is there.
fn mask(root: BorrowedFd<'_>, staging: &Staging, path: &Path) -> Result<()> {
    let Some((target, is_directory)) = existing(root, path)? else {
        return Ok(());
    };
    let empty = staging.clone(if is_directory { "empty" } else { "nothing" })?;
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
            let is_directory = SFlag::from_bits_truncate(fstat(&target)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
            Ok(Some((target, is_directory)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
