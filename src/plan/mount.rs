//! What is mounted in the container, in order, and which paths of procfs and sysfs are closed.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::definition::{Container, Network, Owners, UserNamespace};
use crate::plan::specifier::Specifiers;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute, below the container's root.
    pub target: PathBuf,
    /// What is mounted.
    pub kind: Kind,
    /// nosuid and nodev are always on, but for `/dev`, which has its nodes.
    pub access: Access,
    /// Programs on it may be executed.
    pub executable: bool,
}

impl Mount {
    /// Its flags, `MOUNT_ATTR_…` of mount_setattr(2).
    #[must_use]
    pub fn attributes(&self) -> u64 {
        let mut attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
        if self.access == Access::ReadOnly {
            attributes |= libc::MOUNT_ATTR_RDONLY;
        }
        if !self.executable {
            attributes |= libc::MOUNT_ATTR_NOEXEC;
        }
        attributes
    }
}

/// Whether a mount can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `rw`.
    ReadWrite,
    /// `ro`.
    ReadOnly,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A new file system of this type with these parameters.
    New {
        /// `proc`, `sysfs`, `tmpfs`, …
        filesystem: &'static str,
        /// `KEY=VALUE` or a word.
        parameters: Vec<String>,
    },
    /// `/dev`: a tmpfs with the nodes and links every program may expect.
    Devices,
    /// A file or directory of the host, with what is mounted below it; and whose numbers its owners are.
    Bind(PathBuf, Owners),
    /// The same, the owners' numbers being the host's, if the host has it.
    BindIfPresent(PathBuf),
    /// The host's sysfs(5), without what is mounted below it: with the host's network a user namespace can have no other.
    HostSysfs,
    /// A small file made for this container.
    File(String),
}

/// Hidden: they tell about the host's hardware and kernel, or reach it. The list is Podman's.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

/// Readable but not writable.
pub const READ_ONLY_PATHS: [&str; 6] = [
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Decides the mounts of `container`.
///
/// # Errors
/// An unknown specifier in a volume's path.
pub fn mounts(container: &Container, specifiers: &Specifiers<'_>, hostname: &str) -> Result<Vec<Mount>> {
    let mut mounts = system_mounts();
    if container.read_only {
        mounts.extend(["/run", "/tmp", "/var/tmp"].map(|target| {
            let mode = if target == "/run" { "mode=0755" } else { "mode=1777" };
            new(target, "tmpfs", &[mode])
        }));
    }
    mounts.push(file("/etc/hosts", hosts(hostname)));
    if container.network == Network::Host {
        if container.user_namespace != UserNamespace::Host {
            let sysfs = mounts.iter_mut().find(|mount| mount.target == Path::new("/sys"));
            sysfs.into_iter().for_each(|mount| mount.kind = Kind::HostSysfs);
        }
        let resolv = Path::new("/etc/resolv.conf");
        mounts.push(Mount {
            kind: Kind::BindIfPresent(resolv.to_owned()),
            ..bind("/etc/resolv.conf", resolv, Access::ReadOnly, Owners::Outside)
        });
    }
    let mut own = Vec::new();
    for volume in &container.volumes {
        let expand = |path: &Path| specifiers.expand(&path.to_string_lossy()).context("expanding 'Volume'");
        let access = if volume.read_only {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        };
        let target = expand(&volume.target)?;
        // Said of what is written when it is read; an instance's name can make it come true.
        let path = Path::new(&target);
        let is_free = path.components().all(|part| part != Component::ParentDir)
            && !["/proc", "/sys"].iter().any(|top| path.starts_with(top));
        ensure!(
            is_free && path.parent().is_some(),
            "nothing can be mounted on '{target}', or the container would lose its protection"
        );
        own.push(bind(
            &target,
            Path::new(&expand(&volume.source)?),
            access,
            volume.owners,
        ));
    }
    for tmpfs in &container.tmpfs {
        let target = tmpfs.target.to_string_lossy();
        let options: Vec<&str> = tmpfs.options.iter().map(String::as_str).collect();
        let access = if tmpfs.read_only {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        };
        own.push(Mount {
            access,
            executable: tmpfs.exec,
            ..new(&target, "tmpfs", &options)
        });
    }
    // Parents before children, whatever the order in the file; what the administrator names replaces what is here by default.
    own.sort_by_key(|mount| mount.target.components().count());
    mounts.retain(|mount| own.iter().all(|own| own.target != mount.target));
    mounts.extend(own);
    Ok(mounts)
}

fn system_mounts() -> Vec<Mount> {
    let mut mounts = vec![
        new("/proc", "proc", &[]),
        Mount {
            target: "/dev".into(),
            kind: Kind::Devices,
            access: Access::ReadWrite,
            executable: false,
        },
        new("/dev/pts", "devpts", &["ptmxmode=0666", "mode=0620", "gid=5"]),
        new("/dev/mqueue", "mqueue", &[]),
        new("/dev/shm", "tmpfs", &["mode=1777", "size=64m"]),
        Mount {
            access: Access::ReadOnly,
            ..new("/sys", "sysfs", &[])
        },
        Mount {
            access: Access::ReadOnly,
            ..new("/sys/fs/cgroup", "cgroup2", &[])
        },
    ];
    mounts.iter_mut().for_each(|mount| mount.executable = false);
    mounts
}

/// hosts(5), which an image cannot know.
fn hosts(hostname: &str) -> String {
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {hostname}\n")
}

fn new(target: &str, filesystem: &'static str, parameters: &[&str]) -> Mount {
    let parameters = parameters.iter().map(|&parameter| parameter.to_owned()).collect();
    let kind = Kind::New { filesystem, parameters };
    Mount {
        target: target.into(),
        kind,
        access: Access::ReadWrite,
        executable: false,
    }
}

fn bind(target: &str, source: &Path, access: Access, owners: Owners) -> Mount {
    Mount {
        target: target.into(),
        kind: Kind::Bind(source.to_owned(), owners),
        access,
        executable: true,
    }
}

fn file(target: &str, content: String) -> Mount {
    Mount {
        target: target.into(),
        kind: Kind::File(content),
        access: Access::ReadWrite,
        executable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::{MASKED_PATHS, READ_ONLY_PATHS};

    /// They are looked up from these two, so that one elsewhere would stay open.
    #[test]
    fn what_is_closed_lies_in_procfs_and_sysfs() {
        for path in MASKED_PATHS.iter().chain(&READ_ONLY_PATHS) {
            assert!(path.starts_with("/proc/") || path.starts_with("/sys/"), "{path}");
        }
    }
}
