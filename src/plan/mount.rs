//! What is mounted in the container, in order.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use oci_spec::image::Config;

use crate::definition::network::Network;
use crate::definition::{Container, HostName, Owners, Propagation, UserNamespace};
use crate::plan::Surroundings;
use crate::plan::network::Bridges;
use crate::plan::specifier::Specifiers;
use crate::plan::volume::{self, Image, SecretFile, Volume};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute, below the container's root.
    pub target: PathBuf,
    /// What is mounted.
    pub kind: Kind,
    /// nosuid is always on; nodev too, but where there are nodes that are the container's own ([`Self::has_devices`]).
    pub access: Access,
    /// Programs on it may be executed.
    pub executable: bool,
}

impl Mount {
    /// Whether nodes on it can be used: in `/dev`, which the shim has made, and among the terminals, which the kernel makes.
    #[must_use]
    pub fn has_devices(&self) -> bool {
        matches!(
            self.kind,
            Kind::Devices
                | Kind::New {
                    filesystem: "devpts",
                    ..
                }
        )
    }

    /// Whether what is written to it lies below the host's `directory`.
    #[must_use]
    pub fn is_below(&self, directory: &Path) -> bool {
        match &self.kind {
            Kind::Volume(volume) => volume.directory.starts_with(directory),
            Kind::Image(image) => image.writable.as_ref().is_some_and(|path| path.starts_with(directory)),
            _ => false,
        }
    }

    /// Its flags, `MOUNT_ATTR_…` of mount_setattr(2).
    #[must_use]
    pub fn attributes(&self) -> u64 {
        let mut attributes = libc::MOUNT_ATTR_NOSUID;
        if !self.has_devices() {
            attributes |= libc::MOUNT_ATTR_NODEV;
        }
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
    /// A file or directory of the host, with what is mounted below it.
    Bind {
        /// On the host.
        source: PathBuf,
        /// Whose numbers its owners are.
        owners: Owners,
        /// Whether what is mounted below it later is seen on the other side.
        propagation: Propagation,
    },
    /// The same, the owners' numbers being the host's, if the host has it.
    BindIfPresent(PathBuf),
    /// A file of the host that tells a time zone, if the host has it and the image has no link in that place: what the link leads to may
    /// be another zone's file.
    ZoneFile(PathBuf),
    /// The sysfs(5) of the network namespace that the shim is in: a user namespace can have none but of one that it owns.
    HostSysfs,
    /// A small file made for this container.
    File(String),
    /// A directory of Coracle's own.
    Volume(Box<Volume>),
    /// An image's files.
    Image(Box<Image>),
    /// A credential of the service, as a file in memory.
    Secret(Box<SecretFile>),
    /// A directory in memory with these credentials of the service.
    Credentials(Vec<String>),
}

/// Gives what lies on the new file systems an SELinux context. Those that are the kernel's own take none: mqueue has been mounted with its
/// namespace already, and the files of the others are labelled by the policy.
pub fn set_context(mounts: &mut [Mount], context: &str) {
    for mount in mounts {
        if let Kind::New {
            filesystem: "tmpfs" | "ramfs" | "devpts",
            parameters,
        } = &mut mount.kind
        {
            parameters.push(format!("context={context}"));
        }
    }
}

/// Decides the mounts of `container`.
///
/// # Errors
/// An unknown specifier in a volume's path.
pub fn mounts(
    container: &Container,
    specifiers: &Specifiers<'_>,
    hostname: &str,
    image: Option<&Config>,
    surroundings: &Surroundings<'_>,
    bridges: Option<&Bridges>,
) -> Result<Vec<Mount>> {
    let mut mounts = system_mounts(container);
    if container.read_only && container.read_only_tmpfs != Some(false) {
        mounts.extend(["/run", "/tmp", "/var/tmp"].map(|target| {
            let mode = if target == "/run" { "mode=0755" } else { "mode=1777" };
            new(target, "tmpfs", &[mode])
        }));
    }
    mounts.push(file("/etc/hosts", hosts(hostname, container, bridges)));
    mounts.extend(time_zone(container, surroundings.local_zone));
    let resolver = resolver(container);
    let is_ours = resolver.is_some();
    mounts.extend(resolver.map(|content| file("/etc/resolv.conf", content)));
    // A network whose names nobody answers for still reaches the host's servers; one that is the host's or another's too.
    let is_outward = !matches!(container.network, Network::None);
    if is_outward && !is_ours {
        let resolv = Path::new("/etc/resolv.conf");
        mounts.push(Mount {
            kind: Kind::BindIfPresent(resolv.to_owned()),
            ..bind("/etc/resolv.conf", resolv, Access::ReadOnly, Owners::Outside)
        });
    }
    // systemd-resolved names itself there, at an address of the host's loopback; here it names the servers that it asks.
    if matches!(container.network, Network::Bridges(_)) && !is_ours {
        let resolv = Path::new("/run/systemd/resolve/resolv.conf");
        mounts.push(Mount {
            kind: Kind::BindIfPresent(resolv.to_owned()),
            ..bind("/etc/resolv.conf", resolv, Access::ReadOnly, Owners::Outside)
        });
    }
    if !container.network.is_own() && container.user_namespace != UserNamespace::Host {
        let sysfs = mounts.iter_mut().find(|mount| mount.target == Path::new("/sys"));
        sysfs.into_iter().for_each(|mount| mount.kind = Kind::HostSysfs);
    }
    let mut own = volume::own(container, specifiers, surroundings)?;
    let of_image = volume::of_image(image, mounts.iter().chain(&own), surroundings);
    own.extend(of_image);
    // Parents before children, whatever the order in the file; what the administrator names replaces what is here by default.
    own.sort_by_key(|mount| mount.target.components().count());
    ensure!(
        container.devices.is_empty() || own.iter().all(|mount| mount.target != Path::new("/dev")),
        "'AddDevice' needs the container's own '/dev', on which 'Volume' or 'Tmpfs' mounts something else"
    );
    mounts.retain(|mount| own.iter().all(|own| own.target != mount.target));
    mounts.extend(own);
    mounts.extend(volume::credentials(container, surroundings));
    Ok(mounts)
}

fn system_mounts(container: &Container) -> Vec<Mount> {
    let shm_size = format!("size={}", container.shm_size.as_deref().unwrap_or("64m"));
    let is_sealed = container.read_only && container.read_only_tmpfs == Some(false);
    let shm_access = if is_sealed { Access::ReadOnly } else { Access::ReadWrite };
    let mut mounts = vec![
        new("/proc", "proc", &[]),
        Mount {
            target: "/dev".into(),
            kind: Kind::Devices,
            access: Access::ReadWrite,
            executable: false,
        },
        terminals(&container.user_namespace),
        new("/dev/mqueue", "mqueue", &[]),
        Mount {
            access: shm_access,
            ..new("/dev/shm", "tmpfs", &["mode=1777", &shm_size])
        },
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

/// The terminals, which belong to the group tty wherever there is one: its number is the same everywhere.
fn terminals(namespace: &UserNamespace) -> Mount {
    const TTY: u32 = 5;
    let has_tty = match namespace {
        UserNamespace::Mapped { groups, .. } => groups
            .iter()
            .any(|one| one.inside <= TTY && TTY - one.inside < one.count),
        UserNamespace::Auto | UserNamespace::Host | UserNamespace::KeepId { .. } => true,
    };
    let parameters: &[&str] = match has_tty {
        true => &["ptmxmode=0666", "mode=0620", "gid=5"],
        false => &["ptmxmode=0666", "mode=0620"],
    };
    new("/dev/pts", "devpts", parameters)
}

/// hosts(5), which an image cannot know.
fn hosts(hostname: &str, container: &Container, bridges: Option<&Bridges>) -> String {
    let mut hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    // On a network the name is that of an address that others can reach.
    let addresses = bridges
        .into_iter()
        .flat_map(|bridges| &bridges.interfaces)
        .flat_map(|one| &one.addresses);
    addresses.for_each(|address| hosts.push_str(&format!("{address} {hostname}\n")));
    if bridges.is_none() {
        hosts.push_str(&format!("127.0.1.1 {hostname}\n"));
    }
    for HostName { address, names } in &container.add_host {
        if let Some(address) = address.or_else(|| container.network.host()) {
            hosts.push_str(&format!("{address} {}\n", names.join(" ")));
        }
    }
    hosts
}

/// resolv.conf(5), where the definition says anything of it.
fn resolver(container: &Container) -> Option<String> {
    let Container {
        dns,
        dns_search,
        dns_option,
        ..
    } = container;
    let mut text = String::new();
    for (word, list) in [("search", dns_search), ("options", dns_option)] {
        if !list.is_empty() {
            text.push_str(&format!("{word} {}\n", list.join(" ")));
        }
    }
    let named = container.network.servers();
    // The networks' own servers know the others (`DNS=`) and ask them; pasta's knows none.
    let is_own = named.is_empty() || (container.network == Network::Pasta && !dns.is_empty());
    for server in if is_own { dns } else { &named } {
        text.push_str(&format!("nameserver {server}\n"));
    }
    (!text.is_empty()).then_some(text)
}

/// The zone's file of the host, where programs look for the zone that `$TZ` names, and for the one without a name.
fn time_zone(container: &Container, local_zone: Option<&str>) -> Vec<Mount> {
    let Some(zone) = &container.timezone else {
        return Vec::new();
    };
    let (source, name) = match zone.as_str() {
        "local" => (PathBuf::from(LOCAL_TIME), local_zone),
        zone => (Path::new(ZONES).join(zone), Some(zone)),
    };
    let named = name.map(|name| Path::new(ZONES).join(name));
    let targets = named.into_iter().chain([PathBuf::from(LOCAL_TIME)]);
    targets
        .map(|target| Mount {
            kind: Kind::ZoneFile(source.clone()),
            executable: false,
            ..bind(&target.to_string_lossy(), &source, Access::ReadOnly, Owners::Outside)
        })
        .collect()
}

/// Where the zones' files lie, on the host as in images (tzfile(5)).
pub const ZONES: &str = "/usr/share/zoneinfo";

/// The zone that is meant where none is named (localtime(5)).
pub const LOCAL_TIME: &str = "/etc/localtime";

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
        kind: Kind::Bind {
            source: source.to_owned(),
            owners,
            propagation: Propagation::Private,
        },
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
