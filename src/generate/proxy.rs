//! `NAME-proxy.service`: what a socket activates with `Activation=proxy`.
//!
//! It wants the container and comes after it, so that it starts when the container is ready; whether there is a container it finds out
//! itself ([`crate::run::proxy`]), since a socket dies of a service that cannot start for want of another. The container never wants its proxies:
//! when either waits for its next try, systemd starts at once whatever it wants, and the two would try without a pause.

use std::borrow::Cow;

use crate::definition::places::Scope;
use crate::definition::{Definition, Socket};
use crate::generate::draft::Draft;
use crate::generate::service::{self, Lines};
use crate::generate::{Context, unit_section};
use crate::unitfile::{UnitFile, quote};

/// How many connections are forwarded at once where `MaxConnections=` does not say. systemd-socket-proxyd(8) would take 256.
const CONNECTIONS: u32 = 1024;

/// What a connection takes: two sockets, and two pipes to copy through.
const DESCRIPTORS_EACH: u32 = 6;

/// What the program has open besides.
const DESCRIPTORS_MORE: u32 = 64;

/// Adds the proxies of all sockets to the draft.
pub fn draft(draft: &mut Draft<'_>, context: &Context) {
    for socket in &draft.definition().sockets {
        let unit = unit_lines(draft.definition(), socket, &draft.stem);
        let lines = service_lines(draft, socket, context);
        let mut file = UnitFile::new(service::COMMENT);
        file.section("Unit", service::pairs(&unit));
        file.section("Service", service::pairs(&lines));
        draft.add([&stem(socket), ".service"].concat(), file.into_text());
    }
}

/// The proxy's name without suffix: `web-proxy`, `web-admin-proxy@`.
#[must_use]
pub fn stem(socket: &Socket) -> String {
    match socket.unit.split_once('@') {
        Some((prefix, instance)) => [prefix, "-proxy@", instance].concat(),
        None => [&socket.unit, "-proxy"].concat(),
    }
}

/// What the container's service has where its proxies end when nobody connects: it ends with the last of them, and so one that was started by
/// hand has them started too. It cannot want them for that, see above.
#[must_use]
pub fn pin(definition: &Definition, scope: Scope) -> Lines<'static> {
    if !definition.is_proxied() || definition.container.idle.is_none() {
        return Lines::new();
    }
    let proxies = definition.sockets.iter();
    let proxies = proxies.map(|socket| [&service::instance_of(&stem(socket)), ".service"].concat());
    let manager = if scope == Scope::User { " --user" } else { "" };
    let proxies = proxies.collect::<Vec<_>>().join(" ");
    let command = format!("-/usr/bin/systemctl{manager} --no-block start {proxies}");
    vec![("ExecStartPost", command.into())]
}

fn unit_lines<'a>(definition: &'a Definition, socket: &Socket, container: &str) -> Lines<'a> {
    let description = [&unit_section::description(definition), ", proxy"].concat();
    let container = [&service::instance_of(container), ".service"].concat();
    let socket = [&service::instance_of(&socket.unit), ".socket"].concat();
    vec![
        ("Description", description.into()),
        ("SourcePath", unit_section::source_path(definition).into()),
        ("StartLimitIntervalSec", "0".into()),
        ("Requires", socket.clone().into()),
        ("Wants", container.clone().into()),
        // What it forwards to is another after a restart.
        ("PartOf", container.clone().into()),
        ("After", [&socket, " ", &container].concat().into()),
    ]
}

fn service_lines<'a>(draft: &Draft<'a>, socket: &Socket, context: &Context) -> Lines<'a> {
    let definition = draft.definition();
    let given = service::given(&definition.passthrough.service);
    let slice = given.iter().rfind(|(key, _)| *key == "Slice");
    let slice = slice.map_or(Cow::Borrowed("coracle.slice"), |(_, slice)| slice.clone());
    let connections = connections(socket);
    let descriptors = connections
        .saturating_mul(DESCRIPTORS_EACH)
        .saturating_add(DESCRIPTORS_MORE);
    let mut lines: Lines<'_> = vec![
        ("Type", "notify".into()),
        ("NotifyAccess", "main".into()),
        ("ExecStart", exec_start(draft, socket, connections, context).into()),
        // The same as the container's, beside which it is looked for.
        ("Slice", slice),
        ("SyslogIdentifier", service::syslog_identifier(&stem(socket)).into()),
        ("Restart", "on-failure".into()),
    ];
    lines.extend(service::restart_pause(&Lines::new(), context));
    lines.push(("LimitNOFILE", descriptors.to_string().into()));
    lines.extend(sandbox(context.scope));
    lines
}

/// The most that a start of a proxy can reach; what is left to the proxy itself is nothing.
fn sandbox(scope: Scope) -> Lines<'static> {
    let mut lines: Lines<'_> = vec![("NoNewPrivileges", "yes".into())];
    if scope == Scope::System {
        // To look at the container's first process, to join its network, and to become nobody.
        let capabilities = "CAP_SETGID CAP_SETUID CAP_SYS_ADMIN CAP_SYS_PTRACE";
        lines.push(("CapabilityBoundingSet", capabilities.into()));
    }
    lines
}

fn exec_start(draft: &Draft<'_>, socket: &Socket, connections: u32, context: &Context) -> String {
    let container = [&service::instance_of(&quote::text(&draft.stem)), ".service"].concat();
    let target = socket.listen.first().map(|listen| listen.container.to_string());
    let words = [
        quote::command_word(&context.shim.to_string_lossy()).into_owned(),
        "--proxy".to_owned(),
        "%n".to_owned(),
        quote::expanded_command_word(&container).into_owned(),
        quote::expanded_command_word(&target.unwrap_or_default()).into_owned(),
        format!("--connections-max={connections}"),
    ];
    let idle = draft.definition().container.idle.as_ref();
    let idle = idle.map(|idle| format!("--exit-idle-time={}ms", idle.timeout));
    words.into_iter().chain(idle).collect::<Vec<_>>().join(" ")
}

/// `MaxConnections=` of `[Socket]`, which systemd itself only heeds where it accepts.
fn connections(socket: &Socket) -> u32 {
    let given = socket.options.iter().rfind(|line| line.key() == "MaxConnections");
    given
        .and_then(|line| line.value().trim().parse().ok())
        .filter(|count| *count > 0)
        .unwrap_or(CONNECTIONS)
}
