//! `coracle probe` and `coracle init`: run something once, look at what it does, and say which definition fits it.
//!
//! Nothing is guessed that can be tried. What a program binds is read from the kernel's tables while it runs in an empty network; whether it
//! takes sockets from systemd is seen when it is given some and somebody connects; whether a program that binds IPv4 alone bears a socket for both
//! families, by a client that comes through one. Each is a run of its own, on ports of the loopback, without a volume of anybody's.

mod bound;
mod trial;
mod verdict;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueHint};

use crate::cli::inside::scope;
use crate::cli::output::{Cell, Format, Output, visible};
use crate::cli::probe::bound::{Bound, Family, Protocol};
use crate::cli::probe::trial::{Fate, Trial, free_port};
use crate::cli::probe::verdict::{Verdict, definition, publish};
use crate::cli::run::of_image;
use crate::cli::scope::Scope;
use crate::definition::places::Loaded;
use crate::definition::volume::{Copying, Source};
use crate::definition::{Activation, ContainerAddress, Listen, Root, SocketKind, name};
use crate::store::{Store, parse_config};

/// Run an image once, and tell which definition fits it
///
/// It runs in an empty network, as 'coracle run' would run it, until it has bound its ports; then twice more, to see whether it takes sockets
/// from systemd, and what it does with a client of the other family. Told is what it binds, after what time it listens, its user, its volumes,
/// and a definition with the reasons for what is in it.
///
/// Of a container that is defined its image is run with the same program, user and environment, but with none of its sockets, and with
/// empty volumes in the place of all that could be written to.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coracle probe docker.io/library/nginx:1.27\n  coracle probe web --format json | jq '.\"listens-after-ms\"'\n\nExit status: 1 if it ends, or binds nothing, before it was seen."
)]
pub struct Arguments {
    /// The image, or a directory from '/' or './' on, or the name of a container that is defined
    #[arg(value_name = "IMAGE|NAME", value_hint = ValueHint::Other)]
    pub subject: String,
    /// How long it may take until it binds something
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
    /// The calling user's store and service manager instead of the system's
    #[arg(long)]
    pub user: bool,
}

/// Write a definition for an image
///
/// The image is run once, as by 'coracle probe', and a definition that fits is printed. Its comments say what was seen.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  coracle init docker.io/library/nginx:1.27 > /etc/coracle/web.toml && coracle check"
)]
pub struct Init {
    /// The image, or a directory from '/' or './' on
    #[arg(value_name = "IMAGE", value_hint = ValueHint::Other)]
    pub image: String,
    /// Name of the container, for what is named after it [default: the image's]
    #[arg(long)]
    pub name: Option<String>,
    /// How long it may take until it binds something
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
    /// The calling user's store and service manager instead of the system's
    #[arg(long)]
    pub user: bool,
}

/// Runs it, and prints all that was seen.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<ExitCode> {
    let scope = scope(arguments.user);
    let subject = find(&arguments.subject, &scope)?;
    let verdict = probe(&subject, &scope, Duration::from_secs(arguments.wait))?;
    match arguments.format {
        Format::Json => output.json(&verdict)?,
        Format::Table => {
            let rows: Vec<Vec<Cell>> = verdict.bound.iter().map(row).collect();
            output.table(&["LISTENS ON", "FAMILY", "PROGRAM"], &rows)?;
            output.line("")?;
            output.line(&format!("listens after     {} ms", verdict.listens_after_ms))?;
            let reads = if verdict.reads_listen_fds {
                "taken from systemd"
            } else {
                "made by itself"
            };
            output.line(&format!("its sockets are   {reads}"))?;
            output.line(&format!("runs as           {}", visible(&verdict.user)))?;
            output.line(&format!(
                "asks for volumes  {}",
                visible(&none_or(&verdict.volumes.join(", ")))
            ))?;
            output.line("\nA definition that fits:\n")?;
            output.bytes(definition(&verdict, &default_name(&verdict.image)).as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the image, and prints the definition.
pub fn init(arguments: &Init, output: &mut Output) -> Result<ExitCode> {
    let scope = scope(arguments.user);
    let container = match &arguments.name {
        Some(typed) => typed.clone(),
        None => default_name(&arguments.image),
    };
    if let Some(mistake) = name::mistake(&container) {
        anyhow::bail!("'--name={container}': {mistake}");
    }
    let subject = of_image(&arguments.image)?;
    let verdict = probe(&subject, &scope, Duration::from_secs(arguments.wait))?;
    output.line(&format!(
        "# Made by 'coracle init': the image was run, and listened after {} ms.",
        verdict.listens_after_ms
    ))?;
    output.bytes(definition(&verdict, &container).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The container of this name, or one of this image.
fn find(typed: &str, scope: &Scope) -> Result<Loaded> {
    let defined = scope.load().into_iter().find(|loaded| loaded.definition.name == typed);
    let Some(mut loaded) = defined else {
        return of_image(typed);
    };
    ensure!(
        !loaded.is_broken(),
        "the definition of '{typed}' has mistakes: see 'coracle check'"
    );
    for volume in &mut loaded.definition.container.volumes {
        if !volume.read_only && !matches!(volume.source, Source::Image { .. }) {
            volume.source = Source::Anonymous(Copying::Copy);
        }
    }
    Ok(loaded)
}

/// Runs `subject` as often as there is something to find out.
fn probe(subject: &Loaded, scope: &Scope, patience: Duration) -> Result<Verdict> {
    let image = match &subject.definition.container.root {
        Root::Image(reference) => reference.clone(),
        Root::Rootfs(directory) => directory.to_string_lossy().into_owned(),
    };
    let seen = Trial::start(subject, Vec::new(), Activation::Intercept, scope)?
        .watch(patience)
        .with_context(|| format!("running '{}'", visible(&image)))?;
    let streams = streams(&seen.bound);
    let reads_listen_fds = match streams.first() {
        Some(_) => takes_sockets(subject, &streams, scope, seen.after)?,
        None => false,
    };
    let mut ipv4_only_ports = Vec::new();
    for port in streams.iter().filter(|port| is_ipv4_only(&seen.bound, **port)) {
        if !reads_listen_fds && !bears_both(subject, *port, scope, seen.after)? {
            ipv4_only_ports.push(*port);
        }
    }
    let (user, volumes) = told(subject, scope)?;
    Ok(Verdict {
        image,
        published: publish(&seen.bound, &ipv4_only_ports),
        bound: seen.bound,
        listens_after_ms: u64::try_from(seen.after.as_millis())?,
        reads_listen_fds,
        ipv4_only_ports,
        user,
        volumes,
    })
}

/// The ports of TCP.
fn streams(bound: &[Bound]) -> Vec<u16> {
    let mut ports: Vec<u16> = bound
        .iter()
        .filter(|one| one.protocol == Protocol::Tcp)
        .filter_map(|one| one.port)
        .collect();
    ports.dedup();
    ports
}

fn is_ipv4_only(bound: &[Bound], port: u16) -> bool {
    let mut families = bound
        .iter()
        .filter(|one| one.protocol == Protocol::Tcp && one.port == Some(port))
        .map(|one| one.family);
    families.all(|family| family == Some(Family::Ipv4))
}

/// Whether a client is served through a socket that the program was only handed over.
fn takes_sockets(subject: &Loaded, ports: &[u16], scope: &Scope, started: Duration) -> Result<bool> {
    let mut listens = Vec::new();
    for port in ports {
        listens.push(listen("127.0.0.1", free_port()?, *port));
    }
    let hosts: Vec<u16> = listens
        .iter()
        .filter_map(|listen| listen.address.rsplit(':').next()?.parse().ok())
        .collect();
    let trial = Trial::start(subject, listens, Activation::Inherit, scope)?;
    for host in hosts {
        if trial.connect(host, started * 2 + Duration::from_secs(1))? != Fate::Waits {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an IPv4 client that comes as `::ffff:127.0.0.1`, as through a socket for both families, is served as one that comes plainly.
fn bears_both(subject: &Loaded, port: u16, scope: &Scope, started: Duration) -> Result<bool> {
    let host = free_port()?;
    let mapped = vec![listen("[::ffff:127.0.0.1]", host, port)];
    let fate = Trial::start(subject, mapped, Activation::Intercept, scope)?
        .connect(host, started * 2 + Duration::from_secs(1))?;
    Ok(fate == Fate::Served)
}

fn listen(address: &str, host: u16, port: u16) -> Listen {
    Listen {
        kind: SocketKind::Stream,
        address: format!("{address}:{host}"),
        container: ContainerAddress::Port(port),
    }
}

/// The user and the volumes that the image names.
fn told(subject: &Loaded, scope: &Scope) -> Result<(String, Vec<String>)> {
    let container = &subject.definition.container;
    let config = match &container.root {
        Root::Image(reference) => {
            let details = Store::open(&scope.store())?.inspect(&reference.parse()?)?;
            parse_config(&details.config)?.config().clone()
        }
        Root::Rootfs(_) => None,
    };
    let named = config.as_ref().and_then(|config| config.user().clone());
    let user = container.user.clone().or(named).filter(|user| !user.is_empty());
    let mut volumes = config.and_then(|config| config.volumes().clone()).unwrap_or_default();
    volumes.sort();
    Ok((user.unwrap_or_else(|| "root".to_owned()), volumes))
}

fn row(bound: &Bound) -> Vec<Cell> {
    let protocol = match bound.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Unix => "unix",
    };
    let place = match bound.port {
        Some(port) if bound.address.contains(':') => format!("[{}]:{port}/{protocol}", bound.address),
        Some(port) => format!("{}:{port}/{protocol}", bound.address),
        None => bound.address.clone(),
    };
    let family = match bound.family {
        Some(Family::Ipv4) => "IPv4",
        Some(Family::Ipv6) => "IPv6",
        Some(Family::DualStack) => "IPv4 and IPv6",
        None => "",
    };
    [place.as_str(), family, bound.program.as_str()]
        .map(Cell::plain)
        .to_vec()
}

fn none_or(text: &str) -> String {
    match text {
        "" => "none".to_owned(),
        text => text.to_owned(),
    }
}

/// A name for a container of `image`: the last part of its own, without tag and digest.
fn default_name(image: &str) -> String {
    let last = image.trim_end_matches('/').rsplit('/').next().unwrap_or(image);
    let bare = last.split(['@', ':']).next().unwrap_or(last);
    match name::mistake(bare) {
        None => bare.to_owned(),
        Some(_) => "container".to_owned(),
    }
}
