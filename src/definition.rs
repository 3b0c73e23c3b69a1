//! What an administrator wrote, as values: a container's definition after parsing, merging and checking.
//!
//! Both front ends (TOML, and Quadlet's unit files) fill the same [`Definition`] through the same key table. The
//! generator turns it into units, and writes it as JSON beside them for the shim, so that units and resolved definition always come
//! from the same reload.
//!
//! Nothing here opens a file or reads the environment, but for [`places`], which lists and reads definition files.

pub mod activation;
pub mod certainty;
pub mod diagnostic;
pub mod end;
pub mod health;
pub mod idle;
pub mod install;
pub mod keys;
pub mod label;
pub mod listen;
pub mod name;
pub mod network;
pub mod places;
pub mod renewal;
pub mod report;
pub mod resolve;
pub mod secret;
pub mod setting;
pub mod toml;
pub mod units;
pub mod volume;

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::definition::certainty::Certainty;
use crate::definition::diagnostic::Diagnostic;
use crate::definition::end::CleanEnds;
use crate::definition::health::Health;
use crate::definition::idle::Idle;
use crate::definition::install::Install;
use crate::definition::label::{AbstractSockets, Labels, SecurityModule};
use crate::definition::network::Network;
use crate::definition::places::Scope;
use crate::definition::renewal::Renewal;
use crate::definition::secret::Secret;
use crate::definition::volume::Volume;
use crate::sys::user::Extent;
use crate::unitfile::line::Line;

/// What the generator leaves for the shim: `NAME.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolved {
    /// A container that can be started.
    Container(Box<Definition>),
    /// A definition with errors: the rendered diagnostics, which the shim prints as the reason why it does not start.
    Broken(Vec<String>),
}

/// One container definition: `NAME.toml` with its drop-ins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The file's stem: `web`, or `web@` for a template.
    pub name: String,
    /// The file, as it is named in `SourcePath=`.
    pub source: PathBuf,
    /// The drop-ins that were merged over it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop_ins: Vec<PathBuf>,
    /// The container itself.
    pub container: Container,
    /// The sockets it is woken by, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<Socket>,
    /// The host's, as it was when the definition was read.
    #[serde(default, skip_serializing_if = "SecurityModule::is_none")]
    pub security_module: SecurityModule,
    /// What goes through to systemd as it is. Only the generator reads it.
    #[serde(skip)]
    pub passthrough: Passthrough,
    /// What one manager or the other cannot give. Only the generator reads it.
    #[serde(skip)]
    pub out_of_reach: Vec<(Scope, Diagnostic)>,
    /// Options that came with this version of systemd, and what to say where an older one runs. Only the generator reads it.
    #[serde(skip)]
    pub too_new: Vec<(u32, Diagnostic)>,
}

/// The sections that belong to systemd, in the order of the files. What no container can have is left out, and said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passthrough {
    /// `[Unit]`.
    pub unit: Vec<Line>,
    /// `[Service]`, and before it what keys of `[Container]` set there (`Memory=` is `MemoryMax=`).
    pub service: Vec<Line>,
    /// `[Timer]`: makes a `NAME.timer`.
    pub timer: Vec<Line>,
    /// `[Install]`.
    pub install: Install,
    /// `ServiceName=`: the service unit's name without its suffix, where it is not [`Definition::name`].
    pub service_name: Option<String>,
    /// What is to be said at the place of each network that the container names, if it cannot be had.
    pub network_places: Vec<Option<Diagnostic>>,
    /// Whether the sockets are known, though there may be mistakes.
    pub certainty: Certainty,
    /// The units whose names do not follow from the file's, each with the place where its name stands.
    pub unit_places: Vec<(String, Diagnostic)>,
}

/// Keys of `[Container]` as the plan needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// `Image=` or `Rootfs=`.
    pub root: Root,
    /// `Entrypoint=`: replaces the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// `Exec=`: replaces the image's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    /// `Environment=`, in the order of the file; over the image's. Where a name occurs twice, the last one counts.
    /// Specifiers (`%i`, `%n`, `%h` …) are as they were written, here and in all other texts of the container: the shim
    /// resolves them from the unit's name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(String, String)>,
    /// `EnvironmentFile=`: read at the start; below `Environment=`, over the image's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment_files: Vec<EnvironmentFile>,
    /// `Timezone=`: `local`, or a zone below /usr/share/zoneinfo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// `WorkingDir=`: absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// `User=`: a name or a number, resolved in the image's passwd; may be `USER:GROUP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `Group=`: a name or a number, resolved in the image's group file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `GroupAdd=`: names or numbers, resolved in the image's group file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
    /// `HostName=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `Volume=`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// `Tmpfs=`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<Tmpfs>,
    /// `Secret=`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// `ShmSize=`: bytes as systemd and tmpfs(5) write them, `64M`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<String>,
    /// `ReadOnly=`: no writable layer.
    pub read_only: bool,
    /// `ReadOnlyTmpfs=`: true where the file does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_tmpfs: Option<bool>,
    /// `Mask=`: absolute paths in the container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mask: Vec<String>,
    /// `Unmask=`: absolute paths in the container, with `*` at their end or without, or `ALL`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmask: Vec<String>,
    /// `AddDevice=`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// `Sysctl=`, in the order of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sysctls: Vec<Sysctl>,
    /// `AddHost=`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_host: Vec<HostName>,
    /// `DNS=`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
    /// `DNSSearch=`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<String>,
    /// `DNSOption=`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_option: Vec<String>,
    /// `AddCapability=`: names such as `CAP_NET_RAW`, upper case with prefix, or `all`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_capability: Vec<String>,
    /// `DropCapability=`, as above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop_capability: Vec<String>,
    /// `UserNS=`, or `UIDMap=` and `GIDMap=`.
    pub user_namespace: UserNamespace,
    /// `SeccompProfile=`.
    #[serde(skip_serializing_if = "SeccompProfile::is_default")]
    pub seccomp_profile: SeccompProfile,
    /// `AppArmor=`, `SecurityLabel…=`.
    #[serde(skip_serializing_if = "Labels::is_default")]
    pub security_labels: Labels,
    /// `AbstractSockets=`.
    #[serde(skip_serializing_if = "AbstractSockets::is_default")]
    pub abstract_sockets: AbstractSockets,
    /// `Network=`.
    pub network: Network,
    /// `StopSignal=`: a number; over the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<i32>,
    /// `Activation=`: `None` where the file does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// `Notify=`: `None` where the file does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// Which of its ends are clean.
    #[serde(skip_serializing_if = "CleanEnds::is_default")]
    pub clean_ends: CleanEnds,
    /// `IdleTimeout=`, where there are sockets to watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
    /// `HealthCmd=` and its family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How it comes to what is new.
    #[serde(skip_serializing_if = "Renewal::is_nothing")]
    pub renewal: Renewal,
    /// `Label=` and `Annotation=`: for people and tools, without effect on the container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<(String, String)>,
}

/// Where the container's root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// An image reference as it was written.
    Image(String),
    /// A directory on the host, absolute.
    Rootfs(PathBuf),
}

impl Default for Root {
    fn default() -> Self {
        Self::Image(String::new())
    }
}

/// One `EnvironmentFile=[-]PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentFile {
    /// On the host, absolute.
    pub path: PathBuf,
    /// `-` was given: it need not be there.
    #[serde(default)]
    pub optional: bool,
}

/// One `AddDevice=[-]HOST[:CONTAINER][:ACCESS]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Below the host's /dev: a node, or a directory with nodes in it.
    pub host: PathBuf,
    /// Below the container's /dev.
    pub target: PathBuf,
    /// Some of `rwm`, as in systemd's `DeviceAllow=`.
    pub access: String,
    /// `-` was given: it need not be there.
    #[serde(default)]
    pub optional: bool,
}

/// One `Sysctl=NAME=VALUE`: a kernel parameter that the container has of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Below /proc/sys, relative, checked: `net/core/somaxconn`.
    pub path: String,
    /// What is written there.
    pub value: String,
}

/// One `AddHost=NAME:ADDRESS`: a line of hosts(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostName {
    /// The address; nothing for `host-gateway`, which is what the container's network has for the host ([`Network::host`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Its names, at least one.
    pub names: Vec<String>,
}

/// Whether what is mounted below a volume later is seen on the other side (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    /// On neither.
    #[default]
    Private,
    /// What the host mounts is seen in the container.
    Slave,
    /// What either mounts is seen by the other.
    Shared,
}

impl Propagation {
    fn is_private(&self) -> bool {
        *self == Self::Private
    }
}

/// Whether programs on a volume can be executed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exec {
    /// `exec`.
    #[default]
    Allowed,
    /// `noexec`.
    Denied,
}

impl Exec {
    fn is_allowed(&self) -> bool {
        *self == Self::Allowed
    }
}

/// Whose numbers the owners of a volume's files are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owners {
    /// The container's: what belongs to 1000 on disk belongs to 1000 inside.
    #[default]
    Inside,
    /// The host's: nobody's, inside a user namespace.
    Outside,
}

/// One `Tmpfs=TARGET[:OPTIONS]`, or another new file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// Absolute path in the container.
    pub target: PathBuf,
    /// Options for tmpfs(5), checked: `size=`, `mode=`, `nr_inodes=`, `uid=`, `gid=`; without the mount flags below.
    #[serde(default)]
    pub options: Vec<String>,
    /// `ro` was given.
    #[serde(default)]
    pub read_only: bool,
    /// `exec` was given (`noexec` is the default).
    #[serde(default)]
    pub exec: bool,
    /// Which type of file system, with `Mount=`.
    #[serde(default, skip_serializing_if = "volume::Memory::is_tmpfs")]
    pub kind: volume::Memory,
}

/// `UserNS=`: which users and groups of the host those of the container are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserNamespace {
    /// 65,536 that nobody else has.
    #[default]
    Auto,
    /// The host's own.
    Host,
    /// A user's own, and those that were lent to them; the user has the same number inside, or this one.
    KeepId {
        /// `uid=`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<u32>,
        /// `gid=`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<u32>,
    },
    /// Those of `UIDMap=` and `GIDMap=`.
    Mapped {
        /// The users.
        users: Vec<Extent>,
        /// The groups.
        groups: Vec<Extent>,
    },
}

/// `SeccompProfile=`: which system calls the payload may make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompProfile {
    /// Those of the profile that the container world shares.
    #[default]
    Default,
    /// All.
    Unconfined,
    /// Those that a file on the host names, absolute but for specifiers.
    File(String),
}

impl SeccompProfile {
    fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

/// `Activation=`: how the program gets the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `bind(2)` is caught and the activated socket put in place. The default where there are sockets.
    Intercept,
    /// The sd_listen_fds(3) protocol, and `{fd:NAME}` in arguments and environment.
    Inherit,
    /// The program keeps sockets of its own, and systemd-socket-proxyd(8) in its network copies what comes and goes.
    Proxy,
    /// A container for each connection, which it gets as descriptor 3, or as standard input and output.
    Accept,
}

/// `Notify=`: when the unit counts as started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notify {
    /// When the payload listens on every declared stream socket. The default with `Activation=intercept` and `proxy` and sockets.
    Listening,
    /// When the payload has been executed. The default otherwise.
    Started,
    /// When the payload sends `READY=1`; relayed by init.
    Yes,
    /// When `HealthCmd=` has passed.
    Healthy,
}

/// One socket unit and what its sockets are inside the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// `FileDescriptorName=`: unique in the definition, by it the shim finds the descriptors in `$LISTEN_FDNAMES`.
    pub name: String,
    /// The unit's name without suffix: `web`, `web-admin`, `web@`, `web-admin@`.
    pub unit: String,
    /// The addresses, in the order of the file, which is the order of the descriptors.
    pub listen: Vec<Listen>,
    /// Other keys of `[Socket]`, as they are. Only the generator reads them.
    #[serde(skip)]
    pub options: Vec<Line>,
}

/// One listening address: what systemd binds, and what the payload will ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// The type of the socket.
    pub kind: SocketKind,
    /// The address in the syntax of systemd.socket(5): `8080`, `127.0.0.1:8080`, `[::1]:8080`, `/run/x.sock`, `@x`, `vsock:2:80`.
    pub address: String,
    /// What the payload binds.
    pub container: ContainerAddress,
}

/// The type of a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SocketKind {
    /// `ListenStream=`.
    Stream,
    /// `ListenDatagram=`.
    Datagram,
    /// `ListenSequentialPacket=`: Unix and vsock sockets only.
    SequentialPacket,
    /// `ListenFIFO=`: a named pipe, which nobody binds.
    Fifo,
}

/// The address that the payload's `bind(2)` names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerAddress {
    /// A TCP or UDP port, on any address of the container.
    Port(u16),
    /// A Unix socket: an absolute path, or `@NAME` for an abstract one.
    Unix(String),
    /// A vsock port, on any context id.
    Vsock(u32),
    /// None: the payload can only inherit it.
    Nothing,
}
