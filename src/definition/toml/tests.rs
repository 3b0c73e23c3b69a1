//! The TOML front end and the meaning of keys, from text to definition and diagnostics.

use std::path::{Path, PathBuf};

use proptest::prelude::{Strategy, prop, prop_assert, prop_oneof, proptest};

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::keys::{self, Kind, Section, Support};
use crate::definition::label::AppArmor;
use crate::definition::network::Network;
use crate::definition::toml::{parse, parse_merged};
use crate::definition::volume::Source;
use crate::definition::{Activation, ContainerAddress, Definition, Notify, Root, SocketKind};
use crate::unitfile::line::Line;

fn web(text: &str) -> (Definition, Vec<Diagnostic>) {
    parse(Path::new("/etc/coracle/web.toml"), text)
}

/// The definition of a text without any mistake.
fn good(text: &str) -> Definition {
    let (definition, diagnostics) = web(text);
    assert_eq!(diagnostics, [], "{text}");
    definition
}

/// The same with this in `[Container]` beside an image.
fn container(keys: &str) -> Definition {
    good(&format!("[Container]\nImage = \"x\"\n{keys}\n"))
}

/// What is said of a text, one line each: severity, line, column, sentence.
fn said(text: &str) -> Vec<String> {
    let (_, diagnostics) = web(text);
    diagnostics
        .iter()
        .map(|d| format!("{} {}:{} {}", d.severity, d.line, d.column, d.sentence()))
        .collect()
}

/// The one diagnostic on this in `[Container]` beside an image.
fn mistake(keys: &str) -> Diagnostic {
    let (_, mut diagnostics) = web(&format!("[Container]\nImage = \"x\"\n{keys}\n"));
    assert_eq!(diagnostics.len(), 1, "{keys}: {diagnostics:?}");
    diagnostics.remove(0)
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn lines(lines: &[(&str, &str)]) -> Vec<Line> {
    let line = |(key, value): &(&str, &str)| Line::new(key, (*value).to_owned()).unwrap();
    lines.iter().map(line).collect()
}

#[test]
fn a_full_definition() {
    let definition = good(
        r#"
        [Unit]
        Description = "A web server"
        After = ["a.service", "b.service"]
        X-Ours = 1
        [Container]
        Image = "docker.io/library/nginx:1.27"
        Entrypoint = ["/entry", "two words"]
        Exec = 'a "b c" %i'
        Environment = { B = "1 2", A = 2 }
        WorkingDir = "/srv"
        User = 1000
        Group = "www"
        HostName = "web-1"
        Volume = ["/srv/%i:/data:ro", "./conf:/etc/x/"]
        Tmpfs = "/scratch:size=10m,mode=1777,exec"
        ReadOnly = true
        AddCapability = ["net_raw", "CAP_CHOWN"]
        DropCapability = "all"
        Network = "host"
        StopSignal = "SIGQUIT"
        StopTimeout = "1min 30s"
        Memory = "256m"
        PidsLimit = 100
        PublishPort = ["8080:80", "127.0.0.1:53:5353/udp"]
        Activation = "inherit"
        Notify = true
        Label = ["a=b", "c=d=e"]
        Annotation = { "org.x" = "y" }
        NoNewPrivileges = true
        RunInit = true
        LogDriver = "journald"
        ServiceName = "www"
        [Service]
        CPUQuota = "50%"
        MemoryMax = 1000
        SendSIGHUP = false
        [Socket]
        Backlog = 128
        [Socket.admin]
        ListenStream = "/run/admin.sock"
        SocketMode = "0600"
        [Timer]
        OnCalendar = "daily"
        [Install]
        WantedBy = "multi-user.target"
        "#,
    );
    let container = &definition.container;
    assert_eq!(container.root, Root::Image("docker.io/library/nginx:1.27".to_owned()));
    assert_eq!(container.entrypoint.as_deref().unwrap(), ["/entry", "two words"]);
    assert_eq!(container.exec.as_deref().unwrap(), ["a", "b c", "%i"]);
    assert_eq!(container.environment, pairs(&[("B", "1 2"), ("A", "2")]));
    assert_eq!(container.user.as_deref(), Some("1000"));
    assert_eq!(container.volumes[0].source, Source::Path("/srv/%i".into()));
    assert!(container.volumes[0].read_only && !container.volumes[1].read_only);
    assert_eq!(container.volumes[1].source, Source::Path("/etc/coracle/./conf".into()));
    assert_eq!(container.volumes[1].target.to_str(), Some("/etc/x"));
    assert_eq!(container.tmpfs[0].options, ["size=10m", "mode=1777"]);
    assert!(container.tmpfs[0].exec && container.read_only);
    assert_eq!(container.add_capability, ["CAP_NET_RAW", "CAP_CHOWN"]);
    assert_eq!(container.drop_capability, ["all"]);
    assert_eq!(container.network, Network::Host);
    assert_eq!(container.stop_signal, Some(3));
    assert_eq!(container.activation, Some(Activation::Inherit));
    assert_eq!(container.notify, Some(Notify::Yes));
    assert_eq!(container.labels, pairs(&[("a", "b"), ("c", "d=e"), ("org.x", "y")]));
    let passthrough = &definition.passthrough;
    assert_eq!(
        passthrough.unit,
        lines(&[
            ("Description", "A web server"),
            ("After", "a.service"),
            ("After", "b.service")
        ])
    );
    assert_eq!(
        passthrough.service,
        lines(&[
            ("MemoryMax", "256M"),
            ("TasksMax", "100"),
            ("TimeoutStopSec", "1min 30s"),
            ("CPUQuota", "50%"),
            ("MemoryMax", "1000"),
            ("SendSIGHUP", "false")
        ])
    );
    assert_eq!(passthrough.timer, lines(&[("OnCalendar", "daily")]));
    assert_eq!(passthrough.install.wanted_by.as_deref().unwrap(), ["multi-user.target"]);
    assert_eq!(passthrough.service_name.as_deref(), Some("www"));
    let [first, second] = definition.sockets.as_slice() else {
        panic!("{:?}", definition.sockets)
    };
    assert_eq!((first.name.as_str(), first.unit.as_str()), ("web", "web"));
    assert_eq!(first.options, lines(&[("Backlog", "128")]));
    assert_eq!(first.listen.len(), 2);
    assert_eq!(first.listen[1].kind, SocketKind::Datagram);
    assert_eq!((second.name.as_str(), second.unit.as_str()), ("admin", "web-admin"));
    assert_eq!(second.options, lines(&[("SocketMode", "0600")]));
    assert_eq!(
        second.listen[0].container,
        ContainerAddress::Unix("/run/admin.sock".to_owned())
    );
    // What the generator leaves for the shim says the same again, but for what only the generator needs.
    let json = serde_json::to_string(&definition).unwrap();
    let back: Definition = serde_json::from_str(&json).unwrap();
    assert_eq!(back.container, definition.container);
}

#[test]
fn several_mistakes_at_once() {
    let text = "[Container]\nImgae = \"nginx\"\nReadOnly = \"yes\"\nPublishPort = \"80\"\nSubUIDMap = \"auto\"\nHttpProxy = true\n";
    assert_eq!(
        said(text),
        [
            "error 1:2 [Container] has neither Image nor Rootfs; write for example Image = \"docker.io/library/nginx\"",
            "warning 2:1 unknown key 'Imgae' in [Container], did you mean 'Image'? Ignoring.",
            "error 3:12 'ReadOnly' takes true or false, without quotes, not a string",
            "error 4:15 'PublishPort': '80' names no port of the host, and a port that changes at every start cannot be listened \
             on; write for example \"80:80\"",
            "error 5:1 key 'SubUIDMap' is not carried out yet, refusing to start without it; use UserNS, or UIDMap and GIDMap",
            "warning 6:1 key 'HttpProxy' is not carried out yet, ignoring; set them with Environment",
        ]
    );
}

#[test]
fn one_line_and_many() {
    let (_, diagnostics) = web("[Container]\nImage = \"x\"\nä = 1\nReadOnly = 1 # ä\n");
    assert_eq!(diagnostics.len(), 2);
    assert_eq!(
        diagnostics[1].to_string(),
        "/etc/coracle/web.toml:4:12: 'ReadOnly' takes true or false, without quotes, not a number"
    );
    assert_eq!(
        diagnostics[1].render(),
        "/etc/coracle/web.toml:4:12: error: 'ReadOnly' takes true or false, without quotes, not a number\n \
         4 | ReadOnly = 1 # ä\n   |            ^"
    );
}

#[test]
fn syntax_errors_do_not_hide_the_rest() {
    assert_eq!(
        said("[Container]\nImage = docker.io/x\nReadOnly = \"yes\"\n"),
        [
            "error 2:9 the value is missing or not quoted, write a string between double quotes",
            "error 3:12 'ReadOnly' takes true or false, without quotes, not a string"
        ]
    );
    assert_eq!(
        said("[Container]\nImage = \"x\nReadOnly = 1\n"),
        [
            "error 2:11 the string is not closed, write '\"' at its end",
            "error 3:12 'ReadOnly' takes true or false, without quotes, not a number"
        ]
    );
    assert_eq!(
        said("[Container]\nImage = \"x\"\nImage = \"y\"\n[Container]\n"),
        [
            "error 3:1 the key is set twice, keep one of the two (several values go into an array)",
            "error 4:2 the section stands twice, write its keys below one heading"
        ]
    );
    assert_eq!(said("[Container\nImage = \"x\"\nReadOnly = 1\n").len(), 1);
}

#[test]
fn sections_and_strays() {
    assert_eq!(
        said("Image = \"x\"\n[Contianer]\nImage = \"x\"\n[Container]\nImage = \"y\"\n"),
        [
            "warning 1:1 key 'Image' stands outside of any section, ignoring; write [Container] on a line above it",
            "warning 2:2 unknown section [Contianer], did you mean [Container]? Ignoring."
        ]
    );
    assert_eq!(
        said(""),
        ["error 0:0 there is no [Container] section with an Image or a Rootfs"]
    );
    assert_eq!(said("[[Container]]\nImage = 1\n").len(), 2);
    assert_eq!(
        said("[Container]\nImage = \"x\"\nX-Mine = 1\n[X-Mine]\nA = 1\n"),
        Vec::<String>::new()
    );
    assert_eq!(
        mistake("ListenStream = 80").sentence(),
        "unknown key 'ListenStream' in [Container], ignoring; it belongs in [Socket]"
    );
}

#[test]
fn exactly_one_root() {
    assert_eq!(
        good("[Container]\nRootfs = \"/srv/root\"\n").container.root,
        Root::Rootfs(PathBuf::from("/srv/root"))
    );
    assert_eq!(said("[Container]\nRootfs = \"srv\"\n").len(), 1);
    assert_eq!(said("[Container]\nImage = 1.5\n").len(), 1);
    assert_eq!(mistake("Rootfs = \"/srv\"").line, 3);
    assert_eq!(said("[Container]\nImage = \"\"\n").len(), 1);
    assert_eq!(said("[Container]\nImage = \"a b\"\n").len(), 1);
    assert_eq!(said("[Container]\nImage = \"a\\u202eb\"\n").len(), 1);
    assert_eq!(said("[Container]\nRootfs = \"/srv:O\"\n").len(), 1);
    assert_eq!(
        said("[Container]\nImage = \"docker.io/Nginx\"\n"),
        [
            "error 2:9 'Image': 'Nginx' is not a repository: expected lower-case letters and digits, separated by '.', '_', '-' or \
          '/'"
        ]
    );
    assert_eq!(
        good("[Container]\nImage = \"localhost:5000/%i:1\"\n").container.root,
        Root::Image("localhost:5000/%i:1".to_owned())
    );
}

#[test]
fn every_key_that_is_carried_out_does_something() {
    let plain = container("");
    // Keys that only accept what is always so, and say otherwise.
    let without_effect = ["NoNewPrivileges", "RunInit", "LogDriver"];
    for key in keys::all().filter(|key| key.section == Section::Container && key.support == Support::CarriedOut) {
        let value = match key.name {
            "Image" => continue,
            "Volume" => "\"/a:/b\"",
            "Tmpfs" => "\"/b\"",
            "PublishPort" => "\"80:80\"",
            "AddCapability" | "DropCapability" => "\"CAP_CHOWN\"",
            "Network" | "UserNS" | "AbstractSockets" => "\"host\"",
            // These mean something on a network only.
            "IP" | "IP6" | "NetworkAlias" => continue,
            // And these where there are sockets.
            "IdleTimeout" | "IdleIgnoresCpu" => continue,
            // These need a check.
            name if name.starts_with("Health") && name != "HealthCmd" => continue,
            "UIDMap" | "GIDMap" => "\"0:700000:65536\"",
            "SeccompProfile" => "\"/x.json\"",
            "Notify" => "\"started\"",
            "AddHost" => "\"db:192.0.2.1\"",
            "DNS" => "\"192.0.2.53\"",
            "Mask" | "Unmask" => "\"/proc/keys:/srv\"",
            "Ulimit" => "\"nofile=1024\"",
            "Mount" => "\"type=tmpfs,dst=/a\"",
            "AddDevice" => "\"/dev/fuse\"",
            "Sysctl" => "\"net.core.somaxconn=1024\"",
            _ => match key.kind {
                Kind::Boolean => "true",
                Kind::Integer => "7",
                Kind::Size => "\"1M\"",
                Kind::TimeSpan => "\"1min\"",
                Kind::Map => "{ A = \"b\" }",
                Kind::Command => "[\"a\"]",
                Kind::Signal => "\"SIGINT\"",
                Kind::Path => "\"/x\"",
                Kind::Choice(words) => &format!("\"{}\"", words[0]),
                Kind::Text => "\"x\"",
            },
        };
        let text = match key.name {
            "Rootfs" => format!("[Container]\nRootfs = {value}\n"),
            name => format!("[Container]\nImage = \"x\"\n{name} = {value}\n"),
        };
        let definition = good(&text);
        assert_eq!(definition == plain, without_effect.contains(&key.name), "{}", key.name);
        // And nothing takes a value of a type that no key has.
        let (_, diagnostics) = web(&format!("[Container]\nImage = \"x\"\n{} = 1979-05-27\n", key.name));
        assert!(
            diagnostics.iter().any(|d| d.severity == Severity::Error && d.line == 3),
            "{}",
            key.name
        );
        // An empty value takes back.
        let none = web(&format!("[Container]\nImage = \"x\"\n{} = \"\"\n", key.name)).0;
        assert_eq!(none, plain, "{}", key.name);
    }
    for key in without_effect.iter().take(2) {
        assert_eq!(mistake(&format!("{key} = false")).severity, Severity::Warning);
    }
    assert_eq!(mistake("LogDriver = \"none\"").severity, Severity::Warning);
}

#[test]
fn checks() {
    let health = |lines: &str| good(&format!("[Container]\nImage = \"x\"\n{lines}")).container.health;
    let command = |value: &str| health(&format!("HealthCmd = {value}\n")).map(|health| health.check.command);
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(health(""), None);
    for off in ["''", "'none'", "'NONE'", "['NONE']", "'[\"NONE\"]'"] {
        assert_eq!(command(off), None, "{off}");
    }
    for shell in [
        "'a | b'",
        "'CMD-SHELL a | b'",
        "['CMD-SHELL', 'a | b']",
        "'[\"CMD-SHELL\", \"a | b\"]'",
    ] {
        assert_eq!(command(shell), words(&["/bin/sh", "-c", "a | b"]), "{shell}");
    }
    for exec in [
        "['a', '| b']",
        "['CMD', 'a', '| b']",
        "'[\"a\", \"| b\"]'",
        "'[\"CMD\", \"a\", \"| b\"]'",
    ] {
        assert_eq!(command(exec), words(&["a", "| b"]), "{exec}");
    }
    assert_eq!(command("'[ -e /x ]'"), words(&["/bin/sh", "-c", "[ -e /x ]"]));
    let default = health("HealthCmd = ['a']\n").unwrap();
    assert_eq!(
        (default.check.interval, default.check.timeout, default.retries),
        (30_000, 30_000, 3)
    );
    assert_eq!(
        (default.start_period, default.log_size, default.patience()),
        (0, 500, 120_000)
    );
    assert_eq!(health("HealthCmd = 'a'\nHealthInterval = 'disable'\n"), None);
    let startup = "HealthStartupCmd = ['b']\n";
    for (line, startup) in [
        ("HealthInterval = 7", ""),
        ("HealthTimeout = 7", ""),
        ("HealthRetries = 7", ""),
        ("HealthStartPeriod = 7", ""),
        ("HealthMaxLogSize = 7", ""),
        ("HealthOnFailure = 'stop'", ""),
        (startup, ""),
        ("HealthStartupInterval = 7", startup),
        ("HealthStartupTimeout = 7", startup),
        ("HealthStartupRetries = 7", startup),
        ("HealthStartupSuccess = 7", startup),
    ] {
        let plain = health(&format!("HealthCmd = ['a']\n{startup}"));
        let changed = health(&format!("HealthCmd = ['a']\n{startup}{line}\n"));
        assert!(changed.is_some() && changed != plain, "{line}");
    }
}

#[test]
fn idleness() {
    let idle = |lines: &str| {
        let text = format!("[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\n{lines}\n");
        let idle = good(&text).container.idle?;
        Some((idle.timeout, idle.ignores_cpu, idle.stop_timeout))
    };
    assert_eq!(idle(""), None);
    assert_eq!(idle("IdleTimeout = 90"), Some((90_000, false, Some(90_000))));
    let lines = "IdleTimeout = \"5min 250ms\"\nIdleIgnoresCpu = true\nStopTimeout = 5";
    assert_eq!(idle(lines), Some((300_250, true, Some(5_000))));
    // [Service] has the last word.
    let lines = "IdleTimeout = \"1h\"\nStopTimeout = 5\n[Service]\nTimeoutStopSec = \"infinity\"";
    assert_eq!(idle(lines), Some((3_600_000, false, None)));
    assert_eq!(idle("IdleTimeout = 0"), None);
    assert_eq!(idle("IdleTimeout = \"infinity\""), None);
    assert_eq!(idle("IdleTimeout = \"\""), None);
    assert_eq!(
        mistake("PublishPort = \"80:80\"\nIdleTimeout = \"249ms\"").severity,
        Severity::Error
    );
    for lines in [
        "IdleTimeout = \"1min\"",
        "PublishPort = \"80:80\"\nIdleIgnoresCpu = true",
        "PublishPort = \"80:80\"\nActivation = \"accept\"\nIdleTimeout = \"1min\"",
        "PublishPort = \"80:80\"\nActivation = \"proxy\"\nIdleTimeout = \"1min\"\nIdleIgnoresCpu = true",
    ] {
        assert_eq!(mistake(lines).severity, Severity::Warning, "{lines}");
    }
    // Not where the mistake is another.
    let message = mistake("PublishPort = \"x\"\nIdleTimeout = \"1min\"").message;
    assert!(message.contains("PublishPort"), "{message}");
}

#[test]
fn every_key_that_is_not_carried_out_is_named() {
    let mut refused = 0;
    for key in keys::all().filter(|key| key.section == Section::Container) {
        let severity = match key.support {
            Support::CarriedOut => continue,
            Support::NotYet { severity, .. } | Support::Never { severity, .. } => severity,
        };
        let said = mistake(&format!("{} = \"x\"", key.name));
        assert_eq!(
            (said.severity, said.line, said.column),
            (severity, 3, 1),
            "{}",
            key.name
        );
        assert!(said.message.contains(key.name));
        container(&format!("{} = \"\"", key.name));
        refused += usize::from(severity == Severity::Error);
    }
    assert!(refused > 5);
    for key in ["Pod", "UIDMap", "PodmanArgs"] {
        assert_eq!(mistake(&format!("{key} = \"x\"")).severity, Severity::Error, "{key}");
    }
}

#[test]
fn impossible_values() {
    for keys in [
        "User = \"1:2:3\"",
        "User = 4294967295",
        "User = -1",
        "User = \"a b\"",
        "Group = \"a:b\"",
        "HostName = \"-x\"",
        "HostName = \"a_b c\"",
        "WorkingDir = \"srv\"",
        "Exec = \"'a\"",
        "Exec = [\"a\\u0000b\"]",
        "Exec = [[\"a\"]]",
        "Exec = true",
        "Environment = \"A\"",
        "Environment = [\"=b\"]",
        "Environment = { A = [1] }",
        "Environment = { \"A=\" = \"b\" }",
        "Environment = { A = \"\\u0000\" }",
        "Volume = \"/\"",
        "Volume = \"da ta:/a\"",
        "Volume = \"-data:/a\"",
        "Volume = \"data:/a:noidmap\"",
        "Volume = \"data:/a:subpath=../x\"",
        "Volume = \"/a:/b:subpath=x\"",
        "Mount = \"type=glob,source=/a/*,target=/b\"",
        "Mount = \"type=image,target=/b\"",
        "Mount = \"type=volume,source=/a,target=/b\"",
        "Mount = \"type=bind,source=data,target=/b\"",
        "Mount = \"type=ramfs,target=/b,size=1m\"",
        "Mount = \"type=devpts,target=/b,size=1m\"",
        "Secret = \"../x\"",
        "Secret = \"x,type=file\"",
        "Volume = \"/a:b\"",
        "Volume = \"/a:/\"",
        "Volume = \"/a:/proc/x\"",
        "Volume = \"/a:/sys\"",
        "Volume = \"/a:/b/../c\"",
        "Volume = \"/a:/b:rshared\"",
        "Volume = \"/a:/b:O\"",
        "Tmpfs = \"x\"",
        "Tmpfs = \"/x:size=1,upperdir=/\"",
        "Tmpfs = \"/x:mode=9\"",
        "Tmpfs = \"/x:uid=-1\"",
        "AddCapability = \"CAP_X\"",
        "Network = [\"none\", \"host\"]",
        "StopSignal = \"SIGX\"",
        "StopSignal = 0",
        "StopSignal = 65",
        "StopSignal = 32",
        "ShmSize = \"x\"",
        "Mask = \"proc/keys\"",
        "Mask = \"/\"",
        "Mask = \"/proc/\"",
        "Mask = \"/a:/b/../c\"",
        "Mask = \"ALL\"",
        "Unmask = \"keys\"",
        "ReadOnlyTmpfs = \"no\"",
        "GroupAdd = \"keep-groups\"",
        "GroupAdd = \"a:b\"",
        "AddHost = \"db\"",
        "AddHost = \"db:host-gateway\"",
        "AddHost = \"db:10.0.0\"",
        "AddHost = \"d b:10.0.0.1\"",
        "AddHost = \":10.0.0.1\"",
        "DNS = \"none\"",
        "DNSSearch = \"a..b\"",
        "DNSSearch = \"a b\"",
        "DNSOption = \"ndots 2\"",
        "Timezone = \"../../etc/shadow\"",
        "Timezone = \"/etc/localtime\"",
        "Timezone = \"Europe/../x\"",
        "Timezone = \"a//b\"",
        "EnvironmentFile = \"-\"",
        "Ulimit = \"nofile\"",
        "Ulimit = \"files=1\"",
        "Ulimit = \"nofile=2:1\"",
        "Ulimit = [\"nofile=1\", \"cpu=x\"]",
        "Sysctl = \"net.core.somaxconn\"",
        "Sysctl = { \"kernel.core_pattern\" = \"|/x\" }",
        "Sysctl = [\"vm.overcommit_memory=1\"]",
        "Sysctl = [\"kernel.hostname=x\"]",
        "Sysctl = [\"net.//.kernel.core_pattern=x\"]",
        "Sysctl = [\"net/../kernel/core_pattern=x\"]",
        "Sysctl = [\"kernel.sem=1\\n2\"]",
        "Sysctl = \"net.core.somaxconn=1\"\nNetwork = \"host\"",
        "AddDevice = \"/etc/fuse\"",
        "AddDevice = \"/dev\"",
        "AddDevice = \"/dev/../etc/x\"",
        "AddDevice = \"/dev/fuse:/fuse\"",
        "AddDevice = \"/dev/fuse:/dev/null\"",
        "AddDevice = \"/dev/sda:/dev/pts/7\"",
        "AddDevice = \"/dev/fuse:m\"",
        "AddDevice = \"/dev/fuse:/dev/fuse:rx\"",
        "AddDevice = \"/dev/fuse:/dev/fuse:\"",
        "Mount = \"type=bind,src=/a\"",
        "Mount = \"type=bind,dst=/a\"",
        "Mount = \"type=bind,src=/a,dst=/proc\"",
        "Mount = \"type=tmpfs,src=/a,dst=/b\"",
        "Mount = \"type=bnid,src=/a,dst=/b\"",
        "StopTimeout = -1",
        "StopTimeout = \"1 x\"",
        "Memory = \"1x\"",
        "Memory = true",
        "Memory = 1.5",
        "PidsLimit = -2",
        "PidsLimit = \"x\"",
        "ServiceName = \"a b\"",
        "PublishPort = \"80/tcp\"",
        "PublishPort = [\"80:80\", \"80:81\"]",
        "Activation = \"proxy\"",
        "Activation = \"accept\"",
        "Activation = \"accept\"\nPublishPort = \"80:80/udp\"",
        "Activation = \"proxy\"\nPublishPort = \"80:80/udp\"",
        "Activation = \"Intercept\"",
        "Notify = \"healthy\"",
        "Notify = \"healthy\"\nHealthCmd = \"none\"",
        "HealthRetries = 0\nHealthCmd = \"a\"",
        "HealthCmd = [\"CMD\"]",
        "HealthCmd = \"CMD-SHELL \"",
        "HealthCmd = 1",
        "HealthInterval = \"99ms\"\nHealthCmd = \"a\"",
        "HealthTimeout = \"disable\"\nHealthCmd = \"a\"",
        "HealthStartPeriod = \"1y\"\nHealthCmd = \"a\"",
        "HealthStartupRetries = -1\nHealthCmd = \"a\"\nHealthStartupCmd = \"b\"",
        "HealthOnFailure = \"reboot\"\nHealthCmd = \"a\"",
        "Notify = \"listening\"",
        "Notify = \"x\"",
        "ReadOnly = 99999999999999999999999999999999999999999999",
        "HostName = [\"a\"]",
        "WorkingDir = \"/a\\nb\"",
        "Network = \"app\"",
        "Network = \"none:ip=10.0.0.1\"",
        "Network = \"app.network:ip=10.0.0\"",
        "Network = \"app.network:ip6=10.0.0.1\"",
        "Network = \"app.network:mac=01:00:00:00:00:01\"",
        "Network = \"app.network:name=x\"",
        "Network = \"app.network:interface_name=lo\"",
        "Network = \"a b.network\"",
        "Network = \"a@b.network\"",
        "Network = [\"app.network\", \"app.network\"]",
        "Network = [\"app.network\", \"host\"]",
        "Network = [\"none\", \"app.network\"]",
        "Network = \"ns:run/x\"",
        "Network = \"a b.container\"",
        "IP = \"fd00::1\"",
        "IP6 = \"x\"",
        "NetworkAlias = \"a b\"",
    ] {
        let said = mistake(keys);
        assert_eq!((said.severity, said.line), (Severity::Error, 3), "{keys}: {said}");
    }
}

#[test]
fn possible_values() {
    assert_eq!(container("StopSignal = \"RTMIN+3\"").container.stop_signal, Some(37));
    assert_eq!(container("StopSignal = 15").container.stop_signal, Some(15));
    assert_eq!(container("StopSignal = \"term\"").container.stop_signal, Some(15));
    assert_eq!(container("Notify = false").container.notify, Some(Notify::Started));
    assert_eq!(
        container("PidsLimit = -1").passthrough.service,
        lines(&[("TasksMax", "infinity")])
    );
    assert_eq!(container("User = \"%U:%G\"").container.user.as_deref(), Some("%U:%G"));
    assert_eq!(container("HostName = \"%i\"").container.hostname.as_deref(), Some("%i"));
    assert_eq!(container("Exec = []").container.exec, None);
    assert_eq!(
        container("Environment = 'A=1 \"B=2 3\"'").container.environment,
        pairs(&[("A", "1"), ("B", "2 3")])
    );
    assert_eq!(
        container("Environment = [\"A=x 'y\"]").container.environment,
        pairs(&[("A", "x 'y")])
    );
    assert_eq!(
        container("[Container.Environment]\nB = 1\nA = true")
            .container
            .environment,
        pairs(&[("B", "1"), ("A", "true")])
    );
    assert_eq!(mistake("Volume = \"/a:/b:nocopy\"").severity, Severity::Warning);
    assert_eq!(
        container("ServiceName = \"x.service\"")
            .passthrough
            .service_name
            .as_deref(),
        Some("x")
    );
}

#[test]
fn sockets() {
    let socket = |text: &str| good(&format!("[Container]\nImage = \"x\"\n{text}\n")).sockets;
    let both = socket(
        "PublishPort = \"80:80\"\n[Socket]\nListenStream = [81, \"/run/x\"]\nContainerListen = [\"tcp/8081\", \"@x\"]",
    );
    assert_eq!(both.len(), 1);
    let addresses: Vec<_> = both[0].listen.iter().map(|l| l.address.as_str()).collect();
    assert_eq!(addresses, ["80", "81", "/run/x"]);
    assert_eq!(both[0].listen[1].container, ContainerAddress::Port(8081));
    assert_eq!(both[0].listen[2].container, ContainerAddress::Unix("@x".to_owned()));
    let named = socket("[Socket.a]\nListenDatagram = 53\nFileDescriptorName = \"dns\"\nAccept = false");
    assert_eq!((named[0].name.as_str(), named[0].unit.as_str()), ("dns", "web-a"));
    assert_eq!(named[0].options, []);
    let one = socket("[Socket]\nListenStream = \"80%i\"\nContainerListen = 80");
    assert_eq!(one[0].listen[0].address, "80%i");
    let (template, said) = parse(
        Path::new("/etc/coracle/web@.toml"),
        "[Container]\nImage='x'\nPublishPort='80%i:80'\n[Socket.b]\nListenStream='/run/%i'\n",
    );
    assert_eq!(said, []);
    assert_eq!(
        (template.sockets[0].name.as_str(), template.sockets[0].unit.as_str()),
        ("web", "web@")
    );
    assert_eq!(
        (template.sockets[1].name.as_str(), template.sockets[1].unit.as_str()),
        ("b", "web-b@")
    );
}

#[test]
fn mistakes_in_sockets() {
    for keys in [
        "[Socket]\nBacklog = 1",
        "[Socket.a]",
        "[Socket.\"a b\"]\nListenStream = 1",
        "[Socket.\"\"]\nListenStream = 1",
        "[Socket]\nListenStream = \"localhost:80\"",
        "[Socket]\nListenStream = [1, 2, 3]\nContainerListen = [1, 2]",
        "[Socket]\nListenStream = \"80%i\"",
        "[Socket]\nListenStream = 1\nContainerListen = \"udp/1\"",
        "[Socket]\nListenStream = 1\nAccept = true",
        "[Socket]\nListenStream = 1\nService = \"x.service\"",
        "[Socket]\nListenStream = 1\nListenFIFO = \"/x\"",
        "[Socket]\nListenStream = 1\nFileDescriptorName = \"a:b\"",
        "[Socket]\nListenStream = 1\nBacklog = \"1\\n2\"",
        "[Socket]\nListenStream = 1\nBacklog = \"1\\\\\"",
        "[Socket]\nListenStream = 1\nBacklog = { a = 1 }\n",
        "PublishPort = \"80:80\"\n[Socket.a]\nListenStream = 80",
        "[Socket.a]\nListenStream = 1\n[Socket.b]\nListenStream = 2\nFileDescriptorName = \"a\"",
    ] {
        let said = mistake(keys);
        assert_eq!(said.severity, Severity::Error, "{keys}");
        assert!(said.line > 2, "{keys}: {said}");
    }
    assert_eq!(
        mistake("[Socket]\nListenStream = 1\nContainerListem = 80").sentence(),
        "key 'ContainerListem' in [Socket] is not known, passing it on as it is, did you mean 'ContainerListen'?"
    );
}

#[test]
fn keys_that_the_units_need() {
    for keys in [
        "ExecStart = \"x\"",
        "Type = \"simple\"",
        "User = \"x\"",
        "NotifyAccess = \"all\"",
        "\"a b\" = 1",
        "A = \"x\\n[Service]\"",
    ] {
        assert_eq!(
            mistake(&format!("[Service]\n{keys}")).severity,
            Severity::Error,
            "{keys}"
        );
    }
    assert_eq!(mistake("[Service]\nWorkingDir = \"/\"").severity, Severity::Warning);
    // A key that [Container] has too is not said to be passed on where it is not.
    for keys in [
        "[Service]\nEnvironment = \"A=b\"",
        "[Service]\nNoNewPrivileges = true",
        "[Install]\nImage = \"x\"",
    ] {
        let said = mistake(keys).sentence();
        assert!(
            !said.contains("passing it on") && said.contains("[Container]"),
            "{said}"
        );
    }
}

#[test]
fn drop_ins() {
    let base = "[Container]\nImage = \"a\"\nUser = \"u\"\nPod = \"auto\"\nEnvironment = [\"A=1\"]\nVolume = \"/a:/a\"\n[Service]\nX = 1\n";
    let merge = |drop_ins: &[&str]| {
        let drop_ins: Vec<_> = drop_ins
            .iter()
            .enumerate()
            .map(|(i, text)| (PathBuf::from(format!("/d/{i}.toml")), (*text).to_owned()))
            .collect();
        parse_merged("web", Path::new("/web.toml"), base, &drop_ins)
    };
    let (definition, diagnostics) = merge(&[
        "[Container]\nUser = \"v\"\nPod = \"\"\nEnvironment = [\"B=2\"]\nVolume = []\n[Service]\nX = \"\"\n",
        "[Container]\nImage = \"\"\nRootfs = \"/r\"\n[Service]\nX = 2\n",
    ]);
    assert_eq!(diagnostics, []);
    assert_eq!(definition.container.root, Root::Rootfs(PathBuf::from("/r")));
    assert_eq!(definition.container.user.as_deref(), Some("v"));
    assert_eq!(definition.container.environment, pairs(&[("A", "1"), ("B", "2")]));
    assert_eq!(definition.container.volumes, []);
    assert_eq!(
        definition.passthrough.service,
        lines(&[("X", "1"), ("X", ""), ("X", "2")])
    );
    assert_eq!(
        definition.drop_ins,
        [PathBuf::from("/d/0.toml"), PathBuf::from("/d/1.toml")]
    );
    let (_, diagnostics) = merge(&["[Container]\nPod = []\nReadOnly = 1\n", "[Container]\nImage = \"\"\n"]);
    let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("/web.toml:1:2: [Container] has neither"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("/d/0.toml:3:12: 'ReadOnly'"), "{lines:?}");
}

#[test]
fn hostile_texts() {
    for depth in [100, 100_000] {
        let deep = format!("[Container]\nExec = {}{}\n", "[".repeat(depth), "]".repeat(depth));
        assert!(!web(&deep).1.is_empty());
        let deep = format!(
            "[Container]\nEnvironment = {}1{}\n",
            "{a=".repeat(depth),
            "}".repeat(depth)
        );
        assert!(!web(&deep).1.is_empty());
        assert!(!web(&format!("[{}a]\n", "a.".repeat(depth))).1.is_empty());
        assert!(!web(&format!("{}a = 1\n", "a.".repeat(depth))).1.is_empty());
    }
    let long = format!("[Container]\n{} = \"{}\"\n", "k".repeat(500_000), "v".repeat(500_000));
    let (_, diagnostics) = web(&long);
    assert!(
        diagnostics
            .iter()
            .all(|d| d.render().len() < 4000 && d.to_string().len() < 4000)
    );
    let many = format!(
        "[Container]\n{}",
        (0..50_000).map(|i| format!("k{i} = 1\n")).collect::<String>()
    );
    let (_, diagnostics) = web(&many);
    assert_eq!(diagnostics.len(), 101);
    assert_eq!(diagnostics[100].message, "49901 more mistakes are not shown");
    assert_eq!(diagnostics[100].severity, Severity::Error);
    assert!(!web(&"= ".repeat(300_000)).1.is_empty());
    assert!(!web("\0\u{1}\u{1b}[31m").1.is_empty());
    let (_, diagnostics) = web("[Container]\nImage = \"x\"\n\"\\u001b[31m\\n\" = 1\n");
    assert!(!diagnostics[0].to_string().contains(['\u{1b}', '\n']));
}

#[test]
fn excerpts_of_long_lines() {
    let (_, diagnostics) = web(&format!(
        "[Container]\nImage = \"x\"\nLabel = [{}1, \"b\"]\n",
        "\"a=b\", ".repeat(50)
    ));
    let (line, carets) = diagnostics[0].excerpt().unwrap();
    assert!(line.starts_with('…') && line.chars().count() < 140);
    let caret = carets.chars().position(|c| c == '^').unwrap();
    assert_eq!(line.chars().nth(caret), Some('1'));
}

/// Every place that a diagnostic names is in its text.
fn places_are_inside(text: &str, diagnostics: &[Diagnostic]) -> bool {
    let lines: Vec<_> = text.split('\n').collect();
    diagnostics.iter().all(|d| {
        let (line, column) = (d.line as usize, d.column as usize);
        let _ = (d.render(), d.to_string());
        line == 0
            || lines
                .get(line - 1)
                .is_some_and(|l| (1..=l.chars().count() + 1).contains(&column) && d.width >= 1)
    })
}

/// Texts that look like definitions, so that more than the parser's first lines is reached.
fn almost_definition() -> impl Strategy<Value = String> {
    let names: Vec<_> = keys::all().map(|key| key.name.to_owned()).collect();
    let value = prop_oneof![
        "\"[^\"\\\\]{0,12}\"",
        "-?[0-9]{1,20}",
        "(true|false|1979-05-27|1.5|inf|\\[\\]|\\{\\}|'')",
        "\\[(\"[a-z:/=0-9%]{0,9}\",? ?){0,3}\\]",
        "\\{ [A-Z] = \"[a-z]{0,3}\" \\}",
        "\"(/[a-z]{1,3}|[0-9]{1,5}):(/[a-z]{1,3}|[0-9]{1,5})(:ro|/udp)?\"",
        "\\PC{0,8}",
    ];
    let line = prop_oneof![
        4 => (prop::sample::select(names), value).prop_map(|(name, value)| format!("{name} = {value}")),
        1 => "\\[(Container|Socket|Socket\\.a|Unit|Service|Timer|Install|X|)\\]?",
        1 => "\\PC{0,12}",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| format!("[Container]\n{}", lines.join("\n")))
}

proptest! {
    #[test]
    fn any_text(text in "[\\PC\n\r\t\0]{0,80}") {
        let (_, diagnostics) = web(&text);
        prop_assert!(places_are_inside(&text, &diagnostics));
    }

    #[test]
    fn nearly_good_text(text in almost_definition()) {
        let (definition, diagnostics) = web(&text);
        prop_assert!(places_are_inside(&text, &diagnostics), "{diagnostics:?}");
        let broken = diagnostics.iter().any(|d| d.severity == Severity::Error);
        prop_assert!(broken || definition.container.root != Root::default());
        let passthrough = &definition.passthrough;
        let sockets = definition.sockets.iter().flat_map(|socket| &socket.options);
        let lines = passthrough.unit.iter().chain(&passthrough.service).chain(&passthrough.timer);
        for line in lines.chain(sockets) {
            let (key, value) = (line.key(), line.value());
            let is_one_line = !value.contains(['\n', '\r', '\0']) && !value.ends_with('\\');
            prop_assert!(is_one_line && key.bytes().all(|b| b.is_ascii_graphic() && b != b'='), "{key:?} {value:?}");
        }
    }
}

#[test]
fn identities() {
    use crate::definition::UserNamespace;
    use crate::sys::user::Extent;
    let namespace = |text: &str| container(text).container.user_namespace;
    assert_eq!(namespace(""), UserNamespace::Auto);
    assert_eq!(namespace("UserNS = \"auto\""), UserNamespace::Auto);
    assert_eq!(namespace("UserNS = \"host\""), UserNamespace::Host);
    let kept = |user, group| UserNamespace::KeepId { user, group };
    assert_eq!(namespace("UserNS = \"keep-id\""), kept(None, None));
    assert_eq!(namespace("UserNS = \"keep-id:gid=7\""), kept(None, Some(7)));
    assert_eq!(
        namespace("UserNS = \"keep-id:uid=200,gid=210\""),
        kept(Some(200), Some(210))
    );
    let extent = |inside, outside, count| Extent { inside, outside, count };
    let both = UserNamespace::Mapped {
        users: vec![extent(0, 1000, 1), extent(1, 5000, 10)],
        groups: vec![extent(0, 1000, 1), extent(1, 5000, 10)],
    };
    assert_eq!(namespace("UIDMap = [\"0:1000\", \"1:5000:10\"]"), both);
    assert_eq!(namespace("GIDMap = [\"0:1000:1\", \"1:5000:10\"]"), both);
    for wrong in [
        "UserNS = \"keep-id:\"",
        "UserNS = \"keep-id:uid=1,uid=2\"",
        "UserNS = \"keep-id:uid=-1\"",
        "UserNS = \"keep-id:size=1\"",
        "UserNS = \"keep-ids\"",
        "UserNS = \"nomap\"",
        "UserNS = \"Auto\"",
        "UIDMap = \"0:1\"\nUserNS = \"auto\"",
        "UIDMap = \"1:1000:1\"",
        "UIDMap = \"0\"",
        "UIDMap = \"0:+1:1\"",
        "UIDMap = \"0:1:0\"",
        "UIDMap = \"0:1:1:1\"",
        "UIDMap = \"0:4294967295:2\"",
        "UIDMap = [\"0:1000:10\", \"9:3000:1\"]",
        "UIDMap = [\"0:1000:10\", \"10:1009:1\"]",
    ] {
        assert_eq!(mistake(wrong).severity, Severity::Error, "{wrong}");
    }
}

#[test]
fn labels() {
    let labels = container("AppArmor = \"unconfined\"\nSecurityLabelLevel = \"s0:c1,c2\"\n")
        .container
        .security_labels;
    assert_eq!(labels.app_armor, AppArmor::Unconfined);
    assert_eq!(labels.selinux_level.as_deref(), Some("s0:c1,c2"));
    for wrong in [
        "AppArmor = \"&x\"",
        "SecurityLabelType = \"a:b\"",
        "SecurityLabelLevel = \"s0 c1\"",
        "AbstractSockets = \"no\"",
    ] {
        assert_eq!(mistake(wrong).severity, Severity::Error, "{wrong}");
    }
}
