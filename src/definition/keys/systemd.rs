//! Keys of systemd's sections of which there is something to say: Coracle's addition to `[Socket]`, and those that the generated units
//! need for themselves. All other keys go through as they are.

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Kind::{Boolean, Text};
use crate::definition::keys::Repeat::{Many, Once};
use crate::definition::keys::{Key, Kind, Origin, Repeat, Section};

const fn socket(name: &'static str, kind: Kind, repeat: Repeat, meaning: &'static str) -> Key {
    Key::new(Section::Socket, name, kind, repeat, meaning).of(Origin::Systemd)
}

const fn service(name: &'static str, meaning: &'static str, instead: &'static str) -> Key {
    Key::new(Section::Service, name, Text, Many, meaning)
        .of(Origin::Systemd)
        .never(Severity::Error, "the generated service needs it for itself", instead)
}

const OTHER_SOCKET: &str = "use ListenStream or ListenDatagram";
const INSIDE: &str = "it would apply to Coracle's own shim, not to the program";

/// `[Socket]`, sorted by name.
pub(super) const SOCKET: &[Key] = &[
    socket("Accept", Boolean, Once, "Whether each connection starts a container of its own: with Activation=accept alone."),
    socket(
        "ContainerListen",
        Text,
        Many,
        "What the program binds inside the container for each address: a port, a path or an abstract name; by default the same.",
    )
    .of(Origin::Coracle),
    socket("FileDescriptorName", Text, Once, "The name of the sockets in $LISTEN_FDNAMES; by default the unit's or NAME of [Socket.NAME]."),
    socket("ListenDatagram", Text, Many, "Listens for datagrams on a port, an address with a port, a path or an abstract name."),
    socket("ListenFIFO", Text, Many, "Opens a named pipe.").refused(OTHER_SOCKET),
    socket("ListenMessageQueue", Text, Many, "Opens a POSIX message queue.").refused(OTHER_SOCKET),
    socket("ListenNetlink", Text, Many, "Opens a netlink socket.").refused(OTHER_SOCKET),
    socket("ListenSequentialPacket", Text, Many, "Listens for sequential packets on a Unix socket.").refused(OTHER_SOCKET),
    socket("ListenSpecial", Text, Many, "Opens a special file.").refused(OTHER_SOCKET),
    socket("ListenStream", Text, Many, "Listens for connections on a port, an address with a port, a path or an abstract name."),
    socket("ListenUSBFunction", Text, Many, "Opens a USB gadget's endpoints.").refused(OTHER_SOCKET),
    socket("Service", Text, Once, "The unit that is activated; always the container.").never(
        Severity::Error,
        "the socket starts the container it is defined with",
        "remove it",
    ),
];

/// `[Unit]`, sorted by name.
pub(super) const UNIT: &[Key] = &[Key::new(
    Section::Unit,
    "SourcePath",
    Text,
    Once,
    "The file that a unit was generated from; always the definition.",
)
.of(Origin::Systemd)
.never(Severity::Warning, "it is set to the definition", "")];

/// `[Service]`, sorted by name.
pub(super) const SERVICE: &[Key] = &[
    service(
        "BusName",
        "The D-Bus name that tells readiness.",
        "use Notify in [Container]",
    ),
    Key::new(
        Section::Service,
        "DynamicUser",
        Boolean,
        Once,
        "Allocates a user for the service.",
    )
    .of(Origin::Systemd)
    .never(Severity::Error, INSIDE, "use User in [Container]"),
    service(
        "ExecStart",
        "The command that starts the container.",
        "use Exec and Entrypoint in [Container]",
    ),
    Key::new(Section::Service, "Group", Text, Once, "The group of the service.")
        .of(Origin::Systemd)
        .never(Severity::Error, INSIDE, "use Group in [Container]"),
    service("GuessMainPID", "How systemd finds the main process.", "remove it"),
    service("NotifyAccess", "Who may tell readiness.", "use Notify in [Container]"),
    service("PIDFile", "Where the main process is written down.", "remove it"),
    Key::new(
        Section::Service,
        "RootDirectory",
        Text,
        Once,
        "The root directory of the service.",
    )
    .of(Origin::Systemd)
    .never(Severity::Error, INSIDE, "use Rootfs in [Container]"),
    Key::new(
        Section::Service,
        "RootImage",
        Text,
        Once,
        "The root image of the service.",
    )
    .of(Origin::Systemd)
    .never(Severity::Error, INSIDE, "use Image in [Container]"),
    service(
        "Type",
        "How systemd learns that the service has started.",
        "use Notify in [Container]",
    ),
    Key::new(Section::Service, "User", Text, Once, "The user of the service.")
        .of(Origin::Systemd)
        .never(Severity::Error, INSIDE, "use User in [Container]"),
    Key::new(
        Section::Service,
        "WorkingDirectory",
        Text,
        Once,
        "The working directory of the service.",
    )
    .of(Origin::Systemd)
    .never(Severity::Error, INSIDE, "use WorkingDir in [Container]"),
];

/// `[Timer]`, sorted by name.
pub(super) const TIMER: &[Key] = &[Key::new(
    Section::Timer,
    "Unit",
    Text,
    Once,
    "The unit that is started; always the container.",
)
.of(Origin::Systemd)
.never(
    Severity::Error,
    "the timer starts the container it is defined with",
    "remove it",
)];

/// `[Install]`: nothing to say of any key yet.
pub(super) const INSTALL: &[Key] = &[];
