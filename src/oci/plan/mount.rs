//! What is mounted in a container, in the order of the file: the options of mount(8) as attributes, propagation, parameters.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::oci::config;
use crate::oci::plan::namespace::extents;
use crate::sys::mount::{Change, Depth};
use crate::sys::user::Extent;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute, below the container's root.
    pub target: PathBuf,
    /// What is mounted.
    pub kind: Kind,
    /// Flags of the one mount.
    pub change: Change,
    /// Flags of all that is mounted below it too.
    pub recursive: Change,
    /// What of later mounts is seen on the other side.
    pub propagation: Vec<(Propagation, Depth)>,
    /// Whether its owners are shown through a map.
    pub owners: Owners,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file or directory of the host.
    Bind {
        /// On the host.
        source: PathBuf,
        /// With what is mounted below it, or not.
        depth: Depth,
    },
    /// The control group's own tree.
    ControlGroup,
    /// A new file system.
    New {
        /// Its type.
        filesystem: String,
        /// `KEY=VALUE` or a word.
        parameters: Vec<String>,
        /// Whether what the image has there is copied into it.
        content: Content,
    },
}

/// What a new file system holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    Empty,
    /// What lay there before (`tmpcopyup`).
    Copied,
}

/// How far mounts made later are seen (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// On neither side.
    Private,
    /// Here, if made there.
    Slave,
    /// On both sides.
    Shared,
    /// On neither, and it cannot be cloned.
    Unbindable,
}

/// Whose numbers the owners on a mount are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// As on disk.
    Plain,
    /// As the container's user namespace sees them.
    Container(Depth),
    /// Through a map of the mount's own.
    Mapped {
        /// Of users.
        users: Vec<Extent>,
        /// Of groups.
        groups: Vec<Extent>,
        /// How deep.
        depth: Depth,
    },
}

impl Propagation {
    /// `MS_…`.
    #[must_use]
    pub const fn flag(self) -> libc::c_ulong {
        match self {
            Self::Private => libc::MS_PRIVATE,
            Self::Slave => libc::MS_SLAVE,
            Self::Shared => libc::MS_SHARED,
            Self::Unbindable => libc::MS_UNBINDABLE,
        }
    }

    /// From `shared`, `rslave` and their kind.
    #[must_use]
    pub fn parse(word: &str) -> Option<(Self, Depth)> {
        let (bare, depth) = match word.strip_prefix('r') {
            Some(bare) => (bare, Depth::Tree),
            None => (word, Depth::Mount),
        };
        Some(match bare {
            "private" => (Self::Private, depth),
            "slave" => (Self::Slave, depth),
            "shared" => (Self::Shared, depth),
            "unbindable" => (Self::Unbindable, depth),
            _ => return None,
        })
    }
}

/// Files below /proc that may be covered: they show what lxcfs(1) shows better.
const COVERABLE: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// Decides the mounts of a container.
///
/// # Errors
/// A target that would leave the root or take the container's protection away, options that are none.
pub fn mounts(mounts: &[config::Mount], bundle: &Path, label: Option<&str>) -> Result<Vec<Mount>> {
    let one = |mount: &config::Mount| {
        let decided = decide(mount, bundle, label);
        decided.with_context(|| format!("the mount on '{}'", mount.destination.display()))
    };
    mounts.iter().map(one).collect()
}

fn decide(mount: &config::Mount, bundle: &Path, label: Option<&str>) -> Result<Mount> {
    ensure!(!mount.destination.as_os_str().is_empty(), "it has no destination");
    // One without a slash is meant from the root on.
    let target = Path::new("/").join(&mount.destination);
    ensure!(
        target.components().all(|part| part != Component::ParentDir) && target.parent().is_some(),
        "nothing can be mounted there"
    );
    let mut options = Options::default();
    for option in mount.options.iter().flatten() {
        options.take(option)?;
    }
    let word = mount.kind.as_deref().unwrap_or_default();
    let bind = match word {
        "bind" => Some(options.bind.unwrap_or(Depth::Mount)),
        _ => options.bind,
    };
    let kind = if let Some(depth) = bind {
        let source = mount.source.as_deref().context("a bind mount needs a 'source'")?;
        Kind::Bind {
            source: bundle.join(source),
            depth,
        }
    } else if matches!(word, "cgroup" | "cgroup2") {
        Kind::ControlGroup
    } else {
        ensure!(!word.is_empty(), "it has no 'type'");
        if let Some(source) = mount.source.as_ref().and_then(|source| source.to_str()) {
            options.parameters.push(format!("source={source}"));
        }
        // The kernel itself labels what it makes up.
        let is_labelled = !matches!(word, "proc" | "sysfs" | "mqueue");
        if let Some(label) = label.filter(|label| is_labelled && !label.is_empty()) {
            options.parameters.push(format!("context={label}"));
        }
        Kind::New {
            filesystem: word.to_owned(),
            parameters: options.parameters,
            content: options.content,
        }
    };
    is_harmless(&target, &kind)?;
    let owners = owners(mount, options.mapped, &kind)?;
    Ok(Mount {
        target,
        kind,
        change: options.change,
        recursive: options.recursive,
        propagation: options.propagation,
        owners,
    })
}

/// Nothing may take the place of procfs, which tells programs who they are and the runtime where to write.
fn is_harmless(target: &Path, kind: &Kind) -> Result<()> {
    let Ok(below) = target.strip_prefix("/proc") else {
        return Ok(());
    };
    let is_allowed = match kind {
        Kind::New { filesystem, .. } => filesystem == "proc" || !below.as_os_str().is_empty() && is_coverable(target),
        Kind::Bind { source, .. } if below.as_os_str().is_empty() => source == Path::new("/proc"),
        Kind::Bind { .. } => is_coverable(target),
        Kind::ControlGroup => false,
    };
    ensure!(
        is_allowed,
        "nothing but a procfs can be mounted on '/proc', and below it only on a few files that tell of the machine"
    );
    Ok(())
}

fn is_coverable(target: &Path) -> bool {
    COVERABLE.iter().any(|path| target == Path::new(path))
}

fn owners(mount: &config::Mount, mapped: Option<Depth>, kind: &Kind) -> Result<Owners> {
    let (users, groups) = (
        extents(mount.uid_mappings.as_deref()),
        extents(mount.gid_mappings.as_deref()),
    );
    ensure!(
        users.is_empty() == groups.is_empty(),
        "'uidMappings' and 'gidMappings' go together"
    );
    ensure!(
        (users.is_empty() && mapped.is_none()) || matches!(kind, Kind::Bind { .. }),
        "only the owners of a bind mount can be mapped"
    );
    Ok(match (users.is_empty(), mapped) {
        (true, None) => Owners::Plain,
        (true, Some(depth)) => Owners::Container(depth),
        (false, depth) => Owners::Mapped {
            users,
            groups,
            depth: depth.unwrap_or(Depth::Mount),
        },
    })
}

#[derive(Debug)]
struct Options {
    bind: Option<Depth>,
    change: Change,
    recursive: Change,
    propagation: Vec<(Propagation, Depth)>,
    mapped: Option<Depth>,
    content: Content,
    parameters: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: None,
            change: Change::default(),
            recursive: Change::default(),
            propagation: Vec::new(),
            mapped: None,
            content: Content::Empty,
            parameters: Vec::new(),
        }
    }
}

impl Options {
    /// One option; what is no flag of mount(2) is the file system's own.
    fn take(&mut self, option: &str) -> Result<()> {
        ensure!(!option.contains('\0'), "an option has a NUL byte");
        if let Some(propagation) = Propagation::parse(option) {
            self.propagation.push(propagation);
            return Ok(());
        }
        if let Some(attribute) = attribute(option) {
            self.change.add(attribute);
            return Ok(());
        }
        if let Some(attribute) = option.strip_prefix('r').and_then(attribute) {
            self.recursive.add(attribute);
            return Ok(());
        }
        match option {
            "" | "defaults" | "loud" => {}
            "bind" => self.bind = Some(Depth::Mount),
            "rbind" => self.bind = Some(Depth::Tree),
            "idmap" => self.mapped = Some(Depth::Mount),
            "ridmap" => self.mapped = Some(Depth::Tree),
            "tmpcopyup" => self.content = Content::Copied,
            "remount" => bail!("'remount' changes a mount that is there already, and there is none"),
            // Of the superblock, and set where there is one of our own.
            "async" | "nomand" | "noiversion" | "nolazytime" | "norelatime" | "nostrictatime" | "silent" => {}
            other => self.parameters.push(other.to_owned()),
        }
        Ok(())
    }
}

/// What an option sets and clears.
fn attribute(option: &str) -> Option<Change> {
    use libc::{
        MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID,
        MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_RELATIME, MOUNT_ATTR_STRICTATIME,
    };
    let set = |set| Change { set, clear: 0 };
    let clear = |clear| Change { set: 0, clear };
    // One of three, of which the first is none of the bits.
    let time = |set| Change {
        set,
        clear: libc::MOUNT_ATTR__ATIME,
    };
    Some(match option {
        "ro" => set(MOUNT_ATTR_RDONLY),
        "rw" => clear(MOUNT_ATTR_RDONLY),
        "nosuid" => set(MOUNT_ATTR_NOSUID),
        "suid" => clear(MOUNT_ATTR_NOSUID),
        "nodev" => set(MOUNT_ATTR_NODEV),
        "dev" => clear(MOUNT_ATTR_NODEV),
        "noexec" => set(MOUNT_ATTR_NOEXEC),
        "exec" => clear(MOUNT_ATTR_NOEXEC),
        "nosymfollow" => set(MOUNT_ATTR_NOSYMFOLLOW),
        "symfollow" => clear(MOUNT_ATTR_NOSYMFOLLOW),
        "nodiratime" => set(MOUNT_ATTR_NODIRATIME),
        "diratime" => clear(MOUNT_ATTR_NODIRATIME),
        "noatime" => time(MOUNT_ATTR_NOATIME),
        "atime" | "relatime" => time(MOUNT_ATTR_RELATIME),
        "strictatime" => time(MOUNT_ATTR_STRICTATIME),
        _ => return None,
    })
}
