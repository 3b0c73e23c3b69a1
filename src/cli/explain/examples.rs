//! A default and an example for each key, for `coracle explain` and coracle.toml(5).
//!
//! Beside the key table and not in it, since generator and shim have no use for them. A test parses each example with the real front
//! end: an example that is wrong is worse than none.

use crate::definition::keys::{Key, Kind, Repeat, Section};

/// What counts where the key is not given, if there is anything to say.
#[must_use]
pub fn default(key: &Key) -> Option<&'static str> {
    Some(match (key.section, key.name) {
        (Section::Container, "AbstractSockets") => "own, where the kernel can keep a program to them (Linux 6.12)",
        (Section::Container, "AppArmor") => {
            "coracle-default, where it is loaded and the definition opens nothing that it closes"
        }
        (Section::Container, "Activation") => "intercept where there are sockets",
        (Section::Container, "Entrypoint" | "Exec" | "StopSignal" | "User" | "WorkingDir") => "the image's",
        (Section::Container, "Group") => "the user's own group",
        (Section::Container, "IdleIgnoresCpu") => "false",
        (Section::Container, "IdleTimeout") => "never",
        (Section::Container, "LogDriver") => "the journal",
        (Section::Container, "Network") => "none",
        (Section::Container, "NoNewPrivileges" | "RunInit") => "true",
        (Section::Container, "Notify") => "listening where sockets are intercepted or have a proxy, started otherwise",
        (Section::Container, "ReadOnly") => "false",
        (Section::Container, "ReadOnlyTmpfs") => "true",
        (Section::Container, "ShmSize") => "64M",
        (Section::Container, "Timezone") => "the image's",
        (Section::Container, "SeccompProfile") => {
            "the profile that Docker and Podman share, the stricter one where they differ"
        }
        (Section::Container, "ServiceName") => "the file's name without its suffix",
        (Section::Container, "StopTimeout") => "systemd's DefaultTimeoutStopSec=",
        (Section::Network, "Gateway") => "the subnet's first address",
        (Section::Network, "IPRange") => "all of the subnet",
        (Section::Network, "InterfaceName") => "cor- and the network's name",
        (Section::Network, "NetworkDeleteOnStop") => "true",
        (Section::Network, "NetworkName") => "the file's name without its suffixes",
        (Section::Network, "DNS") => "the host's",
        (Section::Network, "DisableDNS" | "IPv6" | "Internal") => "false",
        (Section::Network, "Subnet") => "a /24 of 10.208.0.0/12 that follows from the network's name",
        (Section::Socket, "ContainerListen") => "the address itself",
        (Section::Socket, "BindIPv6Only") => "default: for both, unless net.ipv6.bindv6only says otherwise",
        (Section::Socket, "FileDescriptorName") => "the unit's name, or NAME of [Socket.NAME]",
        (Section::Socket, "FreeBind") => "true where an address is given",
        (Section::Socket, "RemoveOnStop") => "true where there is a path or an abstract name",
        (Section::Socket, "SocketMode") => "0660",
        _ => return None,
    })
}

/// The key as it is written in a definition, with its section.
#[must_use]
pub fn example(key: &Key) -> String {
    format!("[{}]\n{}", key.section, assignment(key))
}

fn assignment(key: &Key) -> String {
    if matches!(key.name, "Environment" | "Label" | "Annotation") && key.section.is_ours() {
        let (name, value) = if key.name == "Environment" {
            ("TZ", "UTC")
        } else {
            ("org.example.team", "web")
        };
        return format!("{} = {{ \"{name}\" = \"{value}\" }}", key.name);
    }
    let value = match (special(key), key.kind) {
        (Some(value), _) => value,
        (None, Kind::Boolean) => "true",
        (None, Kind::Text) => "\"…\"",
        (None, Kind::Integer) => "3",
        (None, Kind::Size) => "\"64M\"",
        (None, Kind::TimeSpan) => "\"30s\"",
        (None, Kind::Command) => "[\"/bin/program\", \"--option\"]",
        (None, Kind::Map) => "[\"NAME=VALUE\"]",
        (None, Kind::Signal) => "\"SIGHUP\"",
        (None, Kind::Path) => "\"/path/on/the/host\"",
        (None, Kind::Choice(words)) => return format!("{} = \"{}\"", key.name, words.first().unwrap_or(&"")),
    };
    match key.repeat {
        Repeat::Many if !value.starts_with(['[', '{']) => format!("{} = [{value}]", key.name),
        _ => format!("{} = {value}", key.name),
    }
}

/// Values of keys whose form says more than their kind.
fn special(key: &Key) -> Option<&'static str> {
    Some(match (key.section, key.name) {
        (Section::Container, "Activation") => "\"inherit\"",
        (Section::Container, "AddCapability") => "\"CAP_NET_RAW\"",
        (Section::Container, "AddDevice") => "\"/dev/fuse\"",
        (Section::Container, "AddHost") => "\"db.internal:10.0.0.5\"",
        (Section::Container, "AppArmor") => "\"web-profile\"",
        (Section::Container, "SecurityLabelFileType") => "\"container_ro_file_t\"",
        (Section::Container, "SecurityLabelLevel") => "\"s0:c1,c2\"",
        (Section::Container, "SecurityLabelType") => "\"spc_t\"",
        (Section::Container, "DNS") => "\"192.0.2.53\"",
        (Section::Container, "DNSOption") => "\"ndots:2\"",
        (Section::Container, "DNSSearch") => "\"example.org\"",
        (Section::Container, "DropCapability") => "\"all\"",
        (Section::Container, "GIDMap" | "UIDMap") => "\"0:700000:65536\"",
        (Section::Container, "Entrypoint") => "[\"/usr/sbin/nginx\"]",
        (Section::Container, "EnvironmentFile") => "\"/etc/web.env\"",
        (Section::Container, "Exec") => "[\"-g\", \"daemon off;\"]",
        (Section::Container, "Group") => "\"www-data\"",
        (Section::Container, "GroupAdd") => "\"audio\"",
        (Section::Container, "AutoUpdate") => "\"local\"",
        (Section::Container, "ReloadCmd") => "[\"/usr/sbin/nginx\", \"-s\", \"reload\"]",
        (Section::Container, "ReloadSignal") => "\"SIGHUP\"",
        (Section::Container, "HealthCmd") => "\"curl -fsS http://localhost/\"",
        (Section::Container, "HealthInterval") => "\"10s\"",
        (Section::Container, "HealthLogDestination") => "\"local\"",
        (Section::Container, "HealthOnFailure") => "\"restart\"",
        (Section::Container, "HealthStartPeriod") => "\"1min\"",
        (Section::Container, "HealthStartupCmd") => "[\"test\", \"-e\", \"/run/app/started\"]",
        (Section::Container, "HostName") => "\"web\"",
        (Section::Container, "IP") => "\"10.208.1.10\"",
        (Section::Container, "IP6") => "\"fd00::10\"",
        (Section::Container, "IdleTimeout") => "\"5min\"",
        (Section::Container, "Image") => "\"docker.io/library/nginx:1.27\"",
        (Section::Container, "Mask") => "\"/proc/cmdline:/sys/class/dmi\"",
        (Section::Container, "Memory") => "\"256M\"",
        (Section::Container, "Mount") => "\"type=tmpfs,destination=/cache\"",
        (Section::Container, "Network") => "\"app.network\"",
        (Section::Container, "Notify") => "\"yes\"",
        (Section::Container, "PidsLimit") => "100",
        (Section::Container, "PublishPort") => "\"8080:80\", \"127.0.0.1:8443:443\"",
        (Section::Container, "Rootfs") => "\"/srv/web\"",
        (Section::Container, "SeccompProfile") => "\"/etc/coracle/web-seccomp.json\"",
        (Section::Container, "ServiceName") => "\"my-web\"",
        (Section::Container, "StopSignal") => "\"SIGQUIT\"",
        (Section::Container, "Sysctl") => "{ \"net.core.somaxconn\" = \"1024\" }",
        (Section::Container, "Timezone") => "\"Europe/Berlin\"",
        (Section::Container, "Tmpfs") => "\"/tmp:size=64M\"",
        (Section::Container, "Ulimit") => "\"nofile=1024:2048\"",
        (Section::Container, "Unmask") => "\"/proc/keys\"",
        (Section::Container, "User") => "\"www-data\"",
        (Section::Container, "UserNS") => "\"host\"",
        (Section::Container, "Volume") => "\"/srv/www:/usr/share/nginx/html:ro\", \"data:/var/lib/app\"",
        (Section::Container, "NetworkAlias") => "\"www\"",
        (Section::Network, "DNS") => "\"192.0.2.53\"",
        (Section::Network, "Gateway") => "\"10.208.1.1\"",
        (Section::Network, "IPRange") => "\"10.208.1.128/25\"",
        (Section::Network, "InterfaceName") => "\"app0\"",
        (Section::Network, "NetworkName") => "\"app\"",
        (Section::Network, "Options") => "{ mtu = \"1400\" }",
        (Section::Network, "Subnet") => "\"10.208.1.0/24\"",
        (Section::Container, "WorkingDir") => "\"/srv\"",
        (Section::Container, "Secret") => "\"db-password,type=env,target=PGPASSWORD\"",
        (Section::Volume, "Device") => "\"/dev/disk/by-label/data\"",
        (Section::Volume, "Driver") => "\"local\"",
        (Section::Volume, "Options") => "\"noatime\"",
        (Section::Volume, "Type") => "\"tmpfs\"",
        (Section::Volume, "User" | "Group" | "UID" | "GID") => "1000",
        (Section::Volume, "VolumeName") => "\"web-data\"",
        (Section::Socket, "Accept") => "false",
        (Section::Socket, "ContainerListen") => "\"80\"",
        (Section::Socket, "BindToDevice") => "\"eth0\"",
        (Section::Socket, "DeferTrigger") => "\"patient\"",
        (Section::Socket, "DirectoryMode") => "\"0750\"",
        (Section::Socket, "ExecStartPost" | "ExecStartPre" | "ExecStopPost" | "ExecStopPre") => {
            "\"/usr/bin/logger web.socket\""
        }
        (Section::Socket, "FileDescriptorName") => "\"http\"",
        (Section::Socket, "IPTOS") => "\"low-delay\"",
        (Section::Socket, "ListenFIFO") => "\"/run/web.pipe\"",
        (Section::Socket, "ListenSequentialPacket") => "\"/run/web.packets\"",
        (Section::Socket, "SmackLabel" | "SmackLabelIPIn" | "SmackLabelIPOut") => "\"web\"",
        (Section::Socket, "SocketGroup" | "SocketUser") => "\"www-data\"",
        (Section::Socket, "SocketMode") => "\"0600\"",
        (Section::Socket, "SocketProtocol") => "\"mptcp\"",
        (Section::Socket, "Symlinks") => "\"/run/www.sock\"",
        (Section::Socket, "TCPCongestion") => "\"cubic\"",
        (Section::Socket, "XAttrAccept" | "XAttrEntryPoint" | "XAttrListen") => "\"user.of=web\"",
        (Section::Socket, "ListenDatagram") => "\"127.0.0.1:5353\"",
        (Section::Socket, "ListenStream") => "\"/run/web.sock\"",
        _ => return None,
    })
}
