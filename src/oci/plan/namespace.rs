//! Which namespaces a container has of its own, shares with the caller, or joins.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use crate::oci::config::{Linux, Mapping, Namespace};
use crate::sys::user::Extent;

/// The namespaces that are not the caller's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// New ones.
    pub new: Vec<Kind>,
    /// Those of other processes, by path, in the order in which they are to be joined.
    pub joined: Vec<(Kind, PathBuf)>,
    /// The maps of a new user namespace.
    pub users: Vec<Extent>,
    /// Likewise of groups.
    pub groups: Vec<Extent>,
    /// The clocks of a new time namespace: lines of `/proc/PID/timens_offsets`.
    pub offsets: Vec<String>,
}

/// A kind of namespace (namespaces(7)), in the order in which they are joined: the user namespace gives the rights to join the others, and
/// after the mount namespace no path of the host is in sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `user`.
    User,
    /// `time`.
    Time,
    /// `pid`.
    Pid,
    /// `network`.
    Network,
    /// `ipc`.
    Ipc,
    /// `uts`.
    Uts,
    /// `cgroup`.
    Cgroup,
    /// `mount`.
    Mount,
}

impl Kind {
    /// All of them, in the order in which they are joined.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Time,
        Self::Pid,
        Self::Network,
        Self::Ipc,
        Self::Uts,
        Self::Cgroup,
        Self::Mount,
    ];

    /// As the specification calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Time => "time",
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::Mount => "mount",
        }
    }

    /// As `/proc/PID/ns` calls it.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Network => "net",
            Self::Mount => "mnt",
            other => other.name(),
        }
    }

    /// `CLONE_NEW…`.
    #[must_use]
    pub const fn flag(self) -> libc::c_int {
        match self {
            Self::User => libc::CLONE_NEWUSER,
            Self::Time => libc::CLONE_NEWTIME,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Network => libc::CLONE_NEWNET,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
            Self::Mount => libc::CLONE_NEWNS,
        }
    }
}

impl Namespaces {
    /// Whether there is a new one of this kind.
    #[must_use]
    pub fn is_new(&self, kind: Kind) -> bool {
        self.new.contains(&kind)
    }

    /// Whether it is another than the caller's.
    #[must_use]
    pub fn is_own(&self, kind: Kind) -> bool {
        self.is_new(kind) || self.joined.iter().any(|(joined, _)| *joined == kind)
    }
}

/// Decides the namespaces of a container.
///
/// # Errors
/// An unknown type, one that is there twice, maps without a user namespace or the reverse, a relative path.
pub fn namespaces(linux: &Linux) -> Result<Namespaces> {
    let mut namespaces = Namespaces::default();
    for Namespace { kind: word, path } in linux.namespaces.iter().flatten() {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == word);
        let kind = kind.with_context(|| format!("'{word}' is no type of namespace"))?;
        ensure!(!namespaces.is_own(kind), "the namespace '{word}' is there twice");
        match path.clone().filter(|path| !path.as_os_str().is_empty()) {
            None => namespaces.new.push(kind),
            Some(path) => {
                ensure!(
                    path.is_absolute(),
                    "the path '{}' of the namespace '{word}' is not absolute",
                    path.display()
                );
                namespaces.joined.push((kind, path));
            }
        }
    }
    namespaces.joined.sort_by_key(|(kind, _)| *kind);
    namespaces.users = extents(linux.uid_mappings.as_deref());
    namespaces.groups = extents(linux.gid_mappings.as_deref());
    let is_mapped = !namespaces.users.is_empty() && !namespaces.groups.is_empty();
    if namespaces.is_new(Kind::User) {
        ensure!(
            is_mapped,
            "a new user namespace needs 'uidMappings' and 'gidMappings' in 'linux'"
        );
    } else if !namespaces.is_own(Kind::User) {
        ensure!(
            namespaces.users.is_empty() && namespaces.groups.is_empty(),
            "'uidMappings' and 'gidMappings' need a namespace of the type 'user'"
        );
    }
    for (clock, offset) in linux.time_offsets.iter().flatten() {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            bail!("the clock '{clock}' has no offset, only 'monotonic' and 'boottime' have");
        }
        ensure!(
            namespaces.is_new(Kind::Time),
            "'timeOffsets' need a new namespace of the type 'time'"
        );
        ensure!(
            offset.nanosecs < 1_000_000_000,
            "the offset of '{clock}' has more than a second of nanoseconds"
        );
        namespaces
            .offsets
            .push(format!("{clock} {} {}\n", offset.secs, offset.nanosecs));
    }
    Ok(namespaces)
}

/// Maps as the kernel takes them.
#[must_use]
pub fn extents(mappings: Option<&[Mapping]>) -> Vec<Extent> {
    let extent = |mapping: &Mapping| Extent {
        inside: mapping.container_id,
        outside: mapping.host_id,
        count: mapping.size,
    };
    mappings.unwrap_or_default().iter().map(extent).collect()
}
