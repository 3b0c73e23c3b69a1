//! Makes a container's `/dev`: the nodes and links that every container has, and the devices of the host that were added.
//!
//! A node is made anew, with the numbers of the host's, in a tmpfs that nobody else has seen yet: no path that the image controls is
//! ever looked up for it. The container's root owns it, as it owns all in there, and its mode lets everybody inside use it in the ways
//! that were asked for: whom the device was added for is the container, and the host's owner and group mean nobody inside. That
//! root cannot give itself more by chmod(2) is for the unit's device policy ([`crate::plan::device`]).

pub mod bound;

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use libc::{MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::symlinkat;

use crate::definition::Device;
use crate::plan::device::{NODES, is_group};
use crate::run::lend::Output;
use crate::sys::mount::Filesystem;

/// A device as the host has it.
#[derive(Debug)]
pub struct Node {
    /// Below the container's /dev, relative.
    name: PathBuf,
    kind: SFlag,
    numbers: libc::dev_t,
    mode: Mode,
}

/// More nodes than any directory of devices has.
const NODES_MAX: usize = 1024;

/// Finds `devices` on the host. The paths are the administrator's, so links in them are followed, but not below a directory.
///
/// # Errors
/// One is missing that need not be, or is no device.
pub fn find(devices: &[Device]) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for device in devices {
        let path = device.host.display();
        let name = device
            .target
            .strip_prefix("/dev")
            .context("a device's target does not lie below '/dev'")?;
        let found = match fs::metadata(&device.host) {
            Err(error) if device.optional && error.kind() == ErrorKind::NotFound => continue,
            found => found.with_context(|| format!("looking for the device '{path}'"))?,
        };
        let mode = mode(&device.access);
        if found.is_dir() {
            ensure!(
                is_group(&device.host),
                "systemd cannot be told of all devices in the directory '{path}': name them one by one in 'AddDevice'"
            );
            gather(&device.host, name, mode, &mut nodes).with_context(|| format!("looking for devices in '{path}'"))?;
        } else {
            let node = node(name, &found, mode).with_context(|| format!("'{path}' is no device"))?;
            nodes.push(node);
        }
    }
    Ok(nodes)
}

fn gather(directory: &Path, name: &Path, mode: Mode, nodes: &mut Vec<Node>) -> Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (metadata, name) = (entry.metadata()?, name.join(entry.file_name()));
        if metadata.is_dir() {
            gather(&entry.path(), &name, mode, nodes)?;
        }
        nodes.extend(node(&name, &metadata, mode));
        ensure!(nodes.len() <= NODES_MAX, "there are more than {NODES_MAX}");
    }
    Ok(())
}

fn node(name: &Path, metadata: &Metadata, mode: Mode) -> Option<Node> {
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => SFlag::S_IFCHR,
        kind if kind.is_block_device() => SFlag::S_IFBLK,
        _ => return None,
    };
    Some(Node {
        name: name.to_owned(),
        kind,
        numbers: metadata.rdev(),
        mode,
    })
}

/// 0666, or less where the device is only to be read or only to be written.
fn mode(access: &str) -> Mode {
    let bits = [('r', 0o444), ('w', 0o222)];
    let bits = bits.iter().filter(|(letter, _)| access.contains(*letter));
    Mode::from_bits_truncate(bits.map(|(_, bits)| bits).sum())
}

/// `/dev`, with the nodes and links that every container has (runtime-spec config-linux.md, "Default Devices") and `nodes`, all
/// with the SELinux context `context`.
///
/// # Errors
/// What the kernel says of a node, with its path.
pub fn make(outputs: [Output; 2], nodes: &[Node], context: Option<&str>) -> Result<OwnedFd> {
    let devices = empty(context)?;
    for (name, major, minor) in NODES {
        mknodat(&devices, name, SFlag::S_IFCHR, everybody(), makedev(major, minor))
            .with_context(|| format!("making the device '/dev/{name}'"))?;
    }
    fill(&devices, outputs)?;
    for node in nodes {
        add(&devices, node).with_context(|| format!("making the device '/dev/{}'", node.name.display()))?;
    }
    Ok(devices)
}

fn everybody() -> Mode {
    Mode::from_bits_truncate(0o666)
}

/// The file system for `/dev`, with all files in the SELinux `context` if there is one.
fn empty(context: Option<&str>) -> Result<OwnedFd> {
    let filesystem = Filesystem::open("tmpfs")?;
    if let Some(context) = context {
        filesystem
            .set("context", context)
            .context("setting the SELinux context")?;
    }
    filesystem.set("mode", "0755")?;
    filesystem.set("size", "64k")?;
    Ok(filesystem.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)?)
}

/// What there is in it besides nodes.
fn fill(devices: &OwnedFd, outputs: [Output; 2]) -> Result<()> {
    const LINKS: [(&str, &str); 3] = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("ptmx", "pts/ptmx"),
    ];
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
            Output::Unopenable => mknodat(devices, name, SFlag::S_IFIFO, everybody(), 0)?,
        }
    }
    Ok(())
}

fn add(devices: &OwnedFd, node: &Node) -> Result<()> {
    let Some(name) = node.name.file_name() else {
        bail!("it has no name")
    };
    let mut directory = devices.try_clone()?;
    for part in node.name.parent().into_iter().flat_map(Path::components) {
        match mkdirat(&directory, part.as_os_str(), Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        directory = openat(directory.as_fd(), part.as_os_str(), flags, Mode::empty())?;
    }
    Ok(mknodat(&directory, name, node.kind, node.mode, node.numbers)?)
}

#[cfg(test)]
mod tests {
    use super::{find, mode};
    use crate::definition::Device;

    fn device(host: &str, access: &str) -> Device {
        Device {
            host: host.into(),
            target: "/dev/mine/x".into(),
            access: access.into(),
            optional: false,
        }
    }

    #[test]
    fn only_devices_are_found() {
        let nodes = find(&[device("/dev/null", "r")]).expect("a device");
        assert_eq!((nodes.len(), nodes[0].name.to_str()), (1, Some("mine/x")));
        for host in ["/dev/not-there", "/proc/version", "/tmp"] {
            assert!(find(&[device(host, "r")]).is_err(), "{host}");
        }
        let missing = Device {
            optional: true,
            ..device("/dev/not-there", "r")
        };
        assert!(find(&[missing]).expect("nothing").is_empty());
    }

    #[test]
    fn modes_are_what_was_asked_for() {
        let bits = |access: &str| mode(access).bits();
        assert_eq!([bits("rwm"), bits("r"), bits("wm")], [0o666, 0o444, 0o222]);
    }
}
