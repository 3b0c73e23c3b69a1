//! The keys of `[Container]`: all of Quadlet's and Coracle's own, sorted by name.
//!
//! The rule for keys that are not carried out: a warning where the container without it is merely less able or more closed; an error where
//! it would be more open, would lose data, or would be another program than the one that was meant.

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Kind::{Boolean, Choice, Command, Integer, Map, Path, Signal, Size, Text, TimeSpan};
use crate::definition::keys::Repeat::{Many, Once};
use crate::definition::keys::{Key, Kind, Origin, Repeat, Section};

const fn key(name: &'static str, kind: Kind, repeat: Repeat, meaning: &'static str) -> Key {
    Key::new(Section::Container, name, kind, repeat, meaning)
}

const fn own(name: &'static str, kind: Kind, repeat: Repeat, meaning: &'static str) -> Key {
    key(name, kind, repeat, meaning).of(Origin::Coracle)
}

const NO_USER_NAMESPACE: &str = "use UserNS, or UIDMap and GIDMap";

/// Sorted by name, so that it can be searched.
pub(super) const KEYS: &[Key] = &[
    own(
        "AbstractSockets",
        Choice(&["own", "host"]),
        Once,
        "With Network=host, which abstract Unix sockets the program can connect to: its 'own', or those of the 'host' too, a root's of which may be a way out. Programs of 'coracle exec' reach their own, and not the container's.",
    ),
    own(
        "Activation",
        Choice(&["intercept", "inherit", "proxy", "accept"]),
        Once,
        "How the program gets its sockets: 'intercept' puts them in place of what it binds, 'inherit' hands them over as systemd does, 'proxy' copies between them and the program's own in the container, 'accept' starts a container for each connection, which is its descriptor 3, or its standard input and output with StandardInput=socket in [Service].",
    ),
    key(
        "AddCapability",
        Text,
        Many,
        "Adds Linux capabilities to the default set.",
    ),
    key(
        "AddDevice",
        Text,
        Many,
        "Makes a device of the host, or those of a directory, available in the container, HOST[:CONTAINER][:ACCESS]. With '-' before it a device need not be there.",
    ),
    key(
        "AddHost",
        Text,
        Many,
        "Adds lines to the container's /etc/hosts, NAME:ADDRESS; the address host-gateway is the host's, on a bridge or with pasta.",
    ),
    key(
        "Annotation",
        Map,
        Many,
        "Attaches OCI annotations, for people and tools.",
    ),
    key(
        "AppArmor",
        Text,
        Once,
        "Confines the container by this AppArmor profile, which must be loaded, instead of 'coracle-default'; 'unconfined' by none.",
    ),
    key(
        "AutoUpdate",
        Choice(&["registry", "local"]),
        Once,
        "Whether 'coracle update' without names, which coracle-update.timer calls each day, restarts the container when its image's name leads to another image: with 'local' to what was imported; 'registry' asks the image's registry, which is not carried out yet.",
    ),
    key(
        "CgroupsMode",
        Text,
        Once,
        "How control groups are laid out; Coracle always leaves them to systemd.",
    )
    .later(""),
    key("ContainerName", Text, Once, "Names the container apart from its unit.").never(
        Severity::Warning,
        "a container's name is its unit's",
        "use ServiceName to name the unit",
    ),
    key(
        "ContainersConfModule",
        Path,
        Many,
        "Loads a containers.conf(5) module in Podman.",
    )
    .never(
        Severity::Warning,
        "Podman's configuration is not read",
        "write what it sets into the definition",
    ),
    key(
        "DNS",
        Text,
        Many,
        "Sets the name servers of the container; with any of the DNS keys it gets an /etc/resolv.conf of its own.",
    ),
    key(
        "DNSOption",
        Text,
        Many,
        "Sets options of the container's resolver, as in resolv.conf(5).",
    ),
    key(
        "DNSSearch",
        Text,
        Many,
        "Sets a search domain of the container's resolver.",
    ),
    key(
        "DropCapability",
        Text,
        Many,
        "Takes Linux capabilities from the default set, or 'all' of them.",
    ),
    key("Entrypoint", Command, Once, "Replaces the image's entry point."),
    key(
        "Environment",
        Map,
        Many,
        "Sets environment variables of the program, over the image's.",
    ),
    key(
        "EnvironmentFile",
        Path,
        Many,
        "Reads environment variables at each start from files of the host, in systemd's syntax; Environment stands over them. With '-' before it a file need not be there.",
    ),
    key(
        "EnvironmentHost",
        Boolean,
        Once,
        "Hands the host's environment to the program.",
    )
    .later("set what is needed with Environment"),
    key(
        "Exec",
        Command,
        Once,
        "Replaces the image's command: the arguments of the entry point, or the program if there is none.",
    ),
    key(
        "ExposeHostPort",
        Text,
        Many,
        "Documents a port that the program serves; it opens nothing.",
    )
    .later("use PublishPort to open a port"),
    key(
        "GIDMap",
        Text,
        Many,
        "Maps groups of the container to those of the host, INSIDE:OUTSIDE:COUNT; the users' maps where it is not given.",
    ),
    key(
        "GlobalArgs",
        Command,
        Many,
        "Passes arguments between 'podman' and its subcommand.",
    )
    .never(
        Severity::Warning,
        "Podman is not run",
        "use the keys that do what they did",
    ),
    key(
        "Group",
        Text,
        Once,
        "The group, by name or number, that the program runs as; names are looked up in the image.",
    ),
    key(
        "GroupAdd",
        Text,
        Many,
        "Adds supplementary groups to the program's, by name or number; names are looked up in the image.",
    ),
    key(
        "HealthCmd",
        Command,
        Once,
        "A command that runs in the container beside the program, as its user and with its rights, and says by its exit status 0 that the program is well: a string is for the container's /bin/sh, an array is run as it is, 'none' checks nothing. What it leaves running is killed. A check that the image brings is not used.",
    ),
    key(
        "HealthInterval",
        TimeSpan,
        Once,
        "The time between two health checks, 30s by default and at least 100ms, from the beginning of one to that of the next, which comes 250ms after its end at the earliest; 'disable' checks nothing. Until the first one has passed they are more frequent, and such additional ones do not count as failed.",
    ),
    key(
        "HealthLogDestination",
        Text,
        Once,
        "Where the results of health checks are kept: always in the journal, a line for each change, so there is no other place to name.",
    ),
    key(
        "HealthMaxLogCount",
        Integer,
        Once,
        "How many results of health checks are kept.",
    )
    .never(
        Severity::Warning,
        "changes of a container's health are in the journal, which has limits of its own",
        "see journald.conf(5)",
    ),
    key(
        "HealthMaxLogSize",
        Integer,
        Once,
        "How many bytes of what a failed health check has written go to the journal, 500 by default and at most 4096.",
    ),
    key(
        "HealthOnFailure",
        Choice(&["none", "kill", "restart", "stop"]),
        Once,
        "What becomes of an unhealthy container besides being called so: nothing ('none', the default); 'kill' kills the program, so that the unit fails and Restart= in [Service] says what follows; 'restart' stops it, and systemd starts it again whatever Restart= says; 'stop' stops it, and the next connection starts it again. Its sockets stay in any case.",
    ),
    key(
        "HealthRetries",
        Integer,
        Once,
        "How many health checks must fail in a row until the container is unhealthy, 3 by default.",
    ),
    key(
        "HealthStartPeriod",
        TimeSpan,
        Once,
        "How long after a start failed health checks do not count, unless one has passed; none by default.",
    ),
    key(
        "HealthStartupCmd",
        Command,
        Once,
        "A command that runs in the place of HealthCmd, and in the same forms, until it has passed, for a program that takes its time to start.",
    ),
    key(
        "HealthStartupInterval",
        TimeSpan,
        Once,
        "The time between two runs of HealthStartupCmd, 30s by default; until the first has passed they are more frequent.",
    ),
    key(
        "HealthStartupRetries",
        Integer,
        Once,
        "How many runs of HealthStartupCmd may fail until the container is stopped and started again; never by default, or with 0.",
    ),
    key(
        "HealthStartupSuccess",
        Integer,
        Once,
        "How many runs of HealthStartupCmd must pass in a row until HealthCmd takes over, 1 by default.",
    ),
    key(
        "HealthStartupTimeout",
        TimeSpan,
        Once,
        "How long a run of HealthStartupCmd may take, 30s by default.",
    ),
    key(
        "HealthTimeout",
        TimeSpan,
        Once,
        "How long a health check may take, 30s by default; then it is killed with all that it has started, and has failed.",
    ),
    key("HostName", Text, Once, "The container's host name."),
    key(
        "HttpProxy",
        Boolean,
        Once,
        "Hands the host's proxy variables to the program.",
    )
    .later("set them with Environment"),
    key("IP", Text, Once, "The container's IPv4 address on its network."),
    key("IP6", Text, Once, "The container's IPv6 address on its network."),
    own(
        "IdleIgnoresCpu",
        Boolean,
        Once,
        "Whether IdleTimeout stops a container that computes for itself, too: by default more than a twentieth of a processor's time is use as well.",
    ),
    own(
        "IdleTimeout",
        TimeSpan,
        Once,
        "Stops the container after this long without a connection or datagram, and nobody in it by 'coracle exec'; its sockets stay, and the next connection starts it again. At least 250ms.",
    ),
    key(
        "Image",
        Text,
        Once,
        "The image that the container is made of; either this or Rootfs.",
    ),
    key("Label", Map, Many, "Attaches labels, for people and tools."),
    key(
        "LogDriver",
        Choice(&["journald", "passthrough"]),
        Once,
        "Where the output goes; with Coracle always to the journal, as of any service.",
    ),
    key("LogOpt", Text, Many, "Sets an option of the log driver.")
        .later("use systemd's LogRateLimitBurst=, SyslogIdentifier= and so on in [Service]"),
    key(
        "Mask",
        Text,
        Once,
        "Hides these paths of the container, with colons between them, where they exist.",
    ),
    key(
        "Memory",
        Size,
        Once,
        "How much memory the container may use at most; the same as MemoryMax= in [Service].",
    ),
    key(
        "Mount",
        Text,
        Many,
        "Mounts something into the container in Podman's long syntax: type=bind a path of the host, volume, image, tmpfs, ramfs or devpts.",
    ),
    key(
        "Network",
        Text,
        Many,
        "The container's networks: 'none', 'host', 'bridge', NAME.network, or as one the namespace of NAME.container or ns:PATH. In a user's manager 'none', 'host' or 'pasta', which leads outside.",
    ),
    key(
        "NetworkAlias",
        Text,
        Many,
        "Adds a name of the container on its networks.",
    ),
    key(
        "NoNewPrivileges",
        Boolean,
        Once,
        "Whether the program is kept from gaining privileges by executing another; always true.",
    ),
    key(
        "Notify",
        Choice(&["listening", "started", "yes", "healthy"]),
        Once,
        "When the unit counts as started: once the program listens, once it runs, once it says so with sd_notify(3), or once HealthCmd has passed.",
    ),
    key(
        "PidsLimit",
        Integer,
        Once,
        "How many processes and threads the container may have; the same as TasksMax= in [Service].",
    ),
    key("Pod", Text, Once, "Joins the namespaces of a pod.").refused("remove it to start the container on its own"),
    key("PodmanArgs", Command, Many, "Passes arguments to 'podman run'.").never(
        Severity::Error,
        "Podman is not run, and what they close or open is not known",
        "use the keys that do what they did",
    ),
    key(
        "PublishPort",
        Text,
        Many,
        "Makes a socket unit: systemd listens on the host's port, and the program that binds the container's port gets that socket.",
    ),
    key(
        "Pull",
        Choice(&["always", "missing", "never", "newer"]),
        Once,
        "When to pull the image.",
    )
    .later("until then pull it with 'coracle image pull'"),
    key(
        "ReadOnly",
        Boolean,
        Once,
        "Makes the container's root file system read-only.",
    ),
    key(
        "ReadOnlyTmpfs",
        Boolean,
        Once,
        "With ReadOnly, whether there is a tmpfs to write to on /run, /tmp and /var/tmp, and whether /dev/shm is one.",
    ),
    key(
        "ReloadCmd",
        Command,
        Once,
        "A command that 'systemctl reload' runs in the container, as the program's user and with its rights, to make it read its configuration again.",
    ),
    key(
        "ReloadSignal",
        Signal,
        Once,
        "The signal that 'systemctl reload' sends to the program, to make it read its configuration again.",
    ),
    key("RemapGid", Text, Many, "An older form of GIDMap.").refused(NO_USER_NAMESPACE),
    key("RemapUid", Text, Many, "An older form of UIDMap.").refused(NO_USER_NAMESPACE),
    key("RemapUidSize", Integer, Once, "An older form of UserNS's size.").refused(NO_USER_NAMESPACE),
    key("RemapUsers", Text, Once, "An older form of UserNS.").refused(NO_USER_NAMESPACE),
    key("Retry", Integer, Once, "How often a failed pull is tried again.").later(""),
    key(
        "RetryDelay",
        TimeSpan,
        Once,
        "The pause before a failed pull is tried again.",
    )
    .later(""),
    key(
        "Rootfs",
        Path,
        Once,
        "The directory of the host that the container is made of; either this or Image.",
    ),
    key(
        "RunInit",
        Boolean,
        Once,
        "Whether a small init runs as process 1 and reaps orphans; always true.",
    ),
    key(
        "SeccompProfile",
        Text,
        Once,
        "Filters system calls by this profile, a JSON file as Docker and Podman take it, instead of the default one; 'unconfined' filters none.",
    ),
    key(
        "Secret",
        Text,
        Many,
        "Hands a credential of systemd to the program, NAME[,type=mount|env][,target=PATH|VARIABLE][,uid=][,gid=][,mode=]: a file at /run/secrets/NAME, in memory and the program's own, or a variable.",
    ),
    key(
        "SecurityLabelDisable",
        Boolean,
        Once,
        "Leaves the SELinux context as it is, whatever the other keys say.",
    ),
    key(
        "SecurityLabelFileType",
        Text,
        Once,
        "The SELinux type of the container's files, container_file_t where another of these keys is set.",
    ),
    key(
        "SecurityLabelLevel",
        Text,
        Once,
        "The SELinux level of the container's processes and files, s0 where another of these keys is set.",
    ),
    key(
        "SecurityLabelNested",
        Boolean,
        Once,
        "Lets SELinux labels be set in the container.",
    )
    .later(""),
    key(
        "SecurityLabelType",
        Text,
        Once,
        "The SELinux type of the container's processes, container_t where another of these keys is set.",
    ),
    key(
        "ServiceName",
        Text,
        Once,
        "Names the service unit, without '.service', where it is not to be named as the file.",
    ),
    key("ShmSize", Size, Once, "The size of /dev/shm."),
    key(
        "StartWithPod",
        Boolean,
        Once,
        "Whether the container starts with its pod.",
    )
    .later(""),
    key(
        "StopSignal",
        Signal,
        Once,
        "The signal that asks the program to stop, over the image's.",
    ),
    key(
        "StopTimeout",
        TimeSpan,
        Once,
        "How long the program may take to stop; the same as TimeoutStopSec= in [Service].",
    ),
    key(
        "SubGIDMap",
        Text,
        Once,
        "Takes the group map from this name's lines in /etc/subgid.",
    )
    .refused(NO_USER_NAMESPACE),
    key(
        "SubUIDMap",
        Text,
        Once,
        "Takes the user map from this name's lines in /etc/subuid.",
    )
    .refused(NO_USER_NAMESPACE),
    key(
        "Sysctl",
        Map,
        Many,
        "Sets kernel parameters that the container has of its own: net.*, kernel.msg*, kernel.sem, kernel.shm*, kernel.domainname, fs.mqueue.*.",
    ),
    key(
        "Timezone",
        Text,
        Once,
        "The container's time zone: 'local' for the host's, or a name such as Europe/Berlin.",
    ),
    key(
        "Tmpfs",
        Text,
        Many,
        "Mounts an empty file system in memory, TARGET[:OPTIONS].",
    ),
    key(
        "UIDMap",
        Text,
        Many,
        "Maps users of the container to those of the host, INSIDE:OUTSIDE:COUNT; the groups' maps where it is not given.",
    ),
    key(
        "Ulimit",
        Text,
        Many,
        "Sets resource limits of the program, NAME=SOFT[:HARD]; the same as LimitNOFILE= and so on in [Service].",
    ),
    key(
        "Unmask",
        Text,
        Once,
        "Shows paths that are hidden or read-only by default, with colons between them, or 'ALL' of them.",
    ),
    key(
        "User",
        Text,
        Once,
        "The user, by name or number, that the program runs as; names are looked up in the image.",
    ),
    key(
        "UserNS",
        Text,
        Once,
        "Whose users and groups the container's are: 'auto', the default, gives it 65536 that nobody else has, 'host' the host's own. In a user's manager 'auto' makes the user its root, and 'keep-id' lets the user keep its number, or be UID and GID with 'keep-id:uid=UID,gid=GID'.",
    ),
    key("VolatileTmp", Boolean, Once, "Puts a tmpfs on /tmp.").later("use Tmpfs = \"/tmp\""),
    key(
        "Volume",
        Text,
        Many,
        "Mounts a path of the host or a volume into the container, [SOURCE:]TARGET[:OPTIONS], with ro, noexec, nocopy, noidmap, rslave, rshared, subpath=, U, z (SELinux; without it nothing). A SOURCE without a slash is a volume's name, NAME.volume one with a definition; without a SOURCE the volume goes with the container.",
    ),
    key(
        "WorkingDir",
        Path,
        Once,
        "The directory in the container that the program starts in.",
    ),
];
