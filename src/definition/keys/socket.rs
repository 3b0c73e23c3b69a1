//! `[Socket]`: all options of systemd.socket(5), Coracle's addition to them, and why a few kinds of sockets are refused.
//!
//! What is not explained otherwise goes through to systemd as it is. The options are listed because a mistyped one is named then, and because
//! some came with later versions of systemd than others ([`crate::definition::keys::newer`]). The section also takes the options of
//! systemd.exec(5) and its like for the commands that a socket's unit may run; those are not listed, and go through too.

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Kind::{Boolean, Choice, Integer, Size, Text, TimeSpan};
use crate::definition::keys::Repeat::{Many, Once};
use crate::definition::keys::{Key, Kind, Origin, Repeat, Section};

const fn key(name: &'static str, kind: Kind, repeat: Repeat, meaning: &'static str) -> Key {
    Key::new(Section::Socket, name, kind, repeat, meaning).of(Origin::Systemd)
}

/// Sorted by name.
pub(super) const KEYS: &[Key] = &[
    key("Accept", Boolean, Once, "Whether each connection starts a container of its own: with Activation=accept alone."),
    key("AcceptFileDescriptors", Boolean, Once, "Whether file descriptors may be sent to the program through a Unix socket (SO_PASSRIGHTS)."),
    key("Backlog", Integer, Once, "How many connections may wait to be accepted; at most and by default net.core.somaxconn."),
    key("BindIPv6Only", Choice(&["default", "both", "ipv6-only"]), Once, "Whether an IPv6 address without a host serves IPv4 clients too."),
    key("BindToDevice", Text, Once, "The network interface from which connections come."),
    key("Broadcast", Boolean, Once, "Whether datagrams may be sent to broadcast addresses."),
    key(
        "ContainerListen",
        Text,
        Many,
        "What the program binds inside the container for each address: a port, a path, an abstract name or vsock::PORT; by default the same.",
    )
    .of(Origin::Coracle),
    key("DeferAcceptSec", TimeSpan, Once, "How long a connection without data does not wake the program."),
    key("DeferTrigger", Text, Once, "Whether a start that conflicts with running units waits for them."),
    key("DeferTriggerMaxSec", TimeSpan, Once, "How long it waits for them at most."),
    key("DirectoryMode", Text, Once, "The mode of directories that are made for the paths of Unix sockets and named pipes."),
    key("ExecStartPost", Text, Many, "Commands of the host that run when the socket listens."),
    key("ExecStartPre", Text, Many, "Commands of the host that run before the socket is bound."),
    key("ExecStopPost", Text, Many, "Commands of the host that run when the socket has been closed."),
    key("ExecStopPre", Text, Many, "Commands of the host that run before the socket is closed."),
    key("FileDescriptorName", Text, Once, "The name of the sockets in $LISTEN_FDNAMES; by default the unit's or NAME of [Socket.NAME]."),
    key("FlushPending", Boolean, Once, "Whether what waits in the queue is thrown away when the container ends; its clients are refused then."),
    key("FreeBind", Boolean, Once, "Whether an address can be bound that the host does not have yet."),
    key("IPTOS", Text, Once, "The type of service of packets that are sent."),
    key("IPTTL", Integer, Once, "How many hops packets may take that are sent."),
    key("KeepAlive", Boolean, Once, "Whether idle TCP connections are probed."),
    key("KeepAliveIntervalSec", TimeSpan, Once, "The time between two such probes."),
    key("KeepAliveProbes", Integer, Once, "After how many unanswered probes a connection is dead."),
    key("KeepAliveTimeSec", TimeSpan, Once, "How long a TCP connection is idle before it is probed."),
    key("ListenDatagram", Text, Many, "Listens for datagrams on a port, an address with a port, a path or an abstract name."),
    key("ListenFIFO", Text, Many, "Opens a named pipe, which the program inherits (Activation = \"inherit\")."),
    key("ListenMessageQueue", Text, Many, "Opens a POSIX message queue.").never(
        Severity::Error,
        "a program opens a message queue by its name, in the container's own IPC namespace",
        "use a Unix socket of ListenSequentialPacket",
    ),
    key("ListenNetlink", Text, Many, "Opens a netlink socket.").never(
        Severity::Error,
        "it would hand the events of the host's kernel into the container",
        "run what needs them as a service of the host",
    ),
    key("ListenSequentialPacket", Text, Many, "Listens for connections that keep the borders of messages, on a path, an abstract name or a vsock address."),
    key("ListenSpecial", Text, Many, "Opens a special file.").never(
        Severity::Error,
        "it would open a device or a file of /proc or /sys past the container's own",
        "use AddDevice in [Container] for a device",
    ),
    key("ListenStream", Text, Many, "Listens for connections on a port, an address with a port, a path, an abstract name or a vsock address."),
    key("ListenUSBFunction", Text, Many, "Opens a USB gadget's endpoints.").never(
        Severity::Error,
        "a USB gadget is the host's own hardware, and its service needs options that no container has",
        "run it as a service of the host",
    ),
    key("Mark", Integer, Once, "The firewall mark of packets that are sent."),
    key("MaxConnections", Integer, Once, "How many containers for connections may run at once; only where each connection has one (Accept)."),
    key("MaxConnectionsPerSource", Integer, Once, "How many of them may belong to one address."),
    key("MessageQueueMaxMessages", Integer, Once, "How many messages a POSIX message queue holds; nothing here listens on one."),
    key("MessageQueueMessageSize", Integer, Once, "How long a message of a POSIX message queue is; nothing here listens on one."),
    key("NoDelay", Boolean, Once, "Whether small packets are sent at once (TCP_NODELAY)."),
    key("PassCredentials", Boolean, Once, "Whether the program is told of the processes that send to a Unix socket (SO_PASSCRED)."),
    key("PassFileDescriptorsToExec", Boolean, Once, "Whether commands such as ExecStartPost get the sockets."),
    key("PassPIDFD", Boolean, Once, "Whether the program gets pidfds of the processes that send to a Unix socket (SO_PASSPIDFD)."),
    key("PassPacketInfo", Boolean, Once, "Whether the program is told to which address and interface a datagram came."),
    key("PassSecurity", Boolean, Once, "Whether the program is told the security labels of those who send to a Unix socket (SO_PASSSEC)."),
    key("PipeSize", Size, Once, "The size of a named pipe's buffer."),
    key("PollLimitBurst", Integer, Once, "How often the socket may wake systemd in PollLimitIntervalSec before it is left alone for the rest of it."),
    key("PollLimitIntervalSec", TimeSpan, Once, "The time in which PollLimitBurst counts."),
    key("Priority", Integer, Once, "The priority of packets that are sent."),
    key("ReceiveBuffer", Size, Once, "The size of the receive buffer."),
    key("RemoveOnStop", Boolean, Once, "Whether the files of Unix sockets and named pipes are removed when the socket's unit is stopped."),
    key("ReusePort", Boolean, Once, "Whether several sockets can be bound to one port."),
    key("SELinuxContextFromNet", Boolean, Once, "Whether the SELinux level follows from the client; only where each connection has a container."),
    key("SendBuffer", Size, Once, "The size of the send buffer."),
    key("Service", Text, Once, "The unit that is activated; always the container.").never(
        Severity::Error,
        "the socket starts the container it is defined with",
        "remove it",
    ),
    key("SmackLabel", Text, Once, "The Smack label of a named pipe."),
    key("SmackLabelIPIn", Text, Once, "The Smack label of packets that come."),
    key("SmackLabelIPOut", Text, Once, "The Smack label of packets that are sent."),
    key("SocketGroup", Text, Once, "The group of the host that owns the files of Unix sockets and named pipes."),
    key("SocketMode", Text, Once, "The mode of the files of Unix sockets and named pipes."),
    key("SocketProtocol", Text, Once, "The protocol instead of TCP or UDP: mptcp, sctp or udplite."),
    key("SocketUser", Text, Once, "The user of the host who owns the files of Unix sockets and named pipes."),
    key("Symlinks", Text, Many, "Links to the file of the one Unix socket or named pipe."),
    key("TCPCongestion", Text, Once, "The congestion control of TCP connections."),
    key("TimeoutSec", TimeSpan, Once, "How long commands such as ExecStartPre may take."),
    key("Timestamping", Choice(&["off", "us", "ns"]), Once, "Whether the program is told when a datagram came."),
    key("Transparent", Boolean, Once, "Whether the socket takes connections to addresses that the host does not have (IP_TRANSPARENT)."),
    key("TriggerLimitBurst", Integer, Once, "How often the container may be started in TriggerLimitIntervalSec before the socket is closed for good."),
    key("TriggerLimitIntervalSec", TimeSpan, Once, "The time in which TriggerLimitBurst counts."),
    key("Writable", Boolean, Once, "Whether a special file is opened for writing; nothing here listens on one."),
    key("XAttrAccept", Text, Many, "Extended attributes of accepted connections of a Unix socket."),
    key("XAttrEntryPoint", Text, Many, "Extended attributes of a Unix socket's file."),
    key("XAttrListen", Text, Many, "Extended attributes of a listening Unix socket."),
];
