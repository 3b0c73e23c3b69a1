//! `coracle run`: one container for one command, as a transient unit.
//!
//! What is typed becomes the same settings that a file makes, the same definition, and the units that the generator would write; only that
//! systemd is handed them over D-Bus, and that the resolved definition lies below `/run/coracle/run` until the container has ended. The
//! shim, the plan and the isolation are those of every other container.
//!
//! In the foreground the container belongs to this process. Its standard streams are the caller's own, or a pseudo-terminal between the two;
//! its exit status is this command's; and it ends with it, even if this process is killed: it is bound to a service that reads a pipe
//! which only this process holds open ([`crate::run::attend`]).

pub(in crate::cli) mod attached;
pub(in crate::cli) mod request;
mod resolved;
mod settings;
mod terminal;

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum, ValueHint};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};

use crate::cli::output::{Output, complain};
use crate::cli::run::attached::Attached;
use crate::cli::run::request::{Given, Streams};
use crate::cli::run::resolved::{Directory, Written};
use crate::cli::scope::Scope;
use crate::cli::show::plan;
use crate::definition::Resolved;
use crate::definition::diagnostic::Severity;
use crate::definition::places::Loaded;
use crate::definition::places::networks;
use crate::definition::volume::link;
use crate::generate::generate;
use crate::run::failure;
use crate::systemd::Manager;
use crate::systemd::property;
use crate::systemd::transient::{Outcome, Request, Running, Until};
use crate::unitfile::name;

/// Run a command in a new container
///
/// The container is a unit like any other: 'systemctl status', 'journalctl -u' and 'coracle stats' know it by its name. It is gone when it
/// has ended, with all it has written. What it is to keep belongs into a volume, and what is to start again into a definition.
///
/// Without --detach its standard input, output and error are this command's own, its exit status is this command's, SIGINT, SIGTERM and
/// SIGHUP stop it, and it ends when this command is killed.
#[derive(Debug, Default, Args)]
#[command(
    override_usage = "coracle run [OPTIONS] IMAGE [CMD]...",
    after_help = "Examples:\n  coracle run docker.io/library/debian cat /etc/os-release\n  coracle run -it docker.io/library/debian bash\n  tar c . | coracle run -v /srv/out:/out localhost/tools tar x -C /out\n  coracle run -d --name web -p 8080:80 --property MemoryMax=256M docker.io/library/nginx\n  coracle run -k Notify=yes -k StopSignal=SIGINT localhost/app\n\nExit status: the command's, or 128 and the number of the signal that ended it; 125 if the container could not be made,\n126 if the command could not be executed."
)]
pub struct Arguments {
    /// The image, or a directory from '/' or './' on that is its root; and the command with its arguments, instead of the image's
    // One list, so that whatever stands behind the image is the command's.
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, value_name = "IMAGE [CMD]", value_hint = ValueHint::CommandWithArguments)]
    pub words: Vec<String>,
    /// Name of the container and its unit [default: run- and something unique]
    #[arg(long)]
    pub name: Option<String>,
    /// Return as soon as it has started, and print its unit's name; its output goes to the journal
    #[arg(short, long, conflicts_with_all = ["tty", "interactive"])]
    pub detach: bool,
    /// Give it a terminal of its own, which this command's terminal shows
    #[arg(short, long)]
    pub tty: bool,
    /// Keep standard input open; without --detach it always is
    #[arg(short, long)]
    pub interactive: bool,
    /// Remove the container when it has ended; it always is
    #[arg(long, hide = true)]
    pub rm: bool,
    /// Set an environment variable; without '=VALUE' to what it is here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Mount a directory or file of the host, or a volume by its name
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]", value_hint = ValueHint::AnyPath)]
    pub volume: Vec<String>,
    /// Mount an empty file system in memory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub tmpfs: Vec<String>,
    /// Listen on a port of the host: systemd does, the program gets the socket
    #[arg(short, long, value_name = "[IP:]HOST:CONTAINER[/udp]")]
    pub publish: Vec<String>,
    /// Make its root file system read-only
    #[arg(long)]
    pub read_only: bool,
    /// Put it on a network: 'bridge', NAME.network[:ip=ADDRESS], 'host', or that of NAME.container
    #[arg(long, value_name = "NETWORK")]
    pub network: Vec<String>,
    /// Run as this user of the image
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// Start in this directory
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Program instead of the image's entry point; several words as a JSON array
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_add: Vec<String>,
    /// Drop a capability, or 'all'
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_drop: Vec<String>,
    /// Name that the container sees of its host
    #[arg(long)]
    pub hostname: Option<String>,
    #[allow(rustdoc::broken_intra_doc_links, reason = "help of a command, and no link")]
    /// Set any key of [Container] as in a definition, see coracle.toml(5); again for another value
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub key: Vec<String>,
    /// Set a property of the unit: MemoryMax=, CPUQuota=, TasksMax= …, see systemd.resource-control(5)
    #[arg(long, value_name = "KEY=VALUE")]
    pub property: Vec<String>,
    /// Slice that it runs in [default: coracle.slice]
    #[arg(long)]
    pub slice: Option<String>,
    /// Whose service manager runs it: 'system' or 'user' [default: the system's for root, and one's own for everybody else]
    #[arg(long, value_enum, value_name = "WHICH", hide_possible_values = true)]
    pub manager: Option<Which>,
}

/// Whose service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// PID 1.
    System,
    /// The calling user's.
    User,
}

/// The exit status for a container that could not be made, as other engines have it.
const NOT_MADE: u8 = 125;

/// How long a container that nobody wants any more may take to stop, in milliseconds.
const LAST_WORDS: u16 = 3000;

/// The exit status for a command that could not be executed.
const NOT_EXECUTED: u8 = 126;

/// Runs it, and ends as it ends.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<ExitCode> {
    // Whatever goes wrong here is not the command's own doing, and has a status that says so.
    let code = carry_out(arguments, output).unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        NOT_MADE
    });
    Ok(ExitCode::from(code))
}

fn carry_out(arguments: &Arguments, output: &mut Output) -> Result<u8> {
    let scope = Scope {
        user: match arguments.manager {
            Some(which) => which == Which::User,
            None => !nix::unistd::geteuid().is_root(),
        },
        root: None,
    };
    let mut made = Made::of(arguments, &scope)?;
    if arguments.detach {
        let outcome = Running::start(made.manager, made.request, Until::Started)?.finish()?;
        if outcome.job != "done" {
            complain(&why_not(&made.units, made.manager, &outcome));
            return Ok(status_of(&outcome).max(1));
        }
        made.written.keep();
        output.line(&made.units[0])?;
        return Ok(0);
    }
    let mut attached = Attached::open(if arguments.tty {
        attached::Mode::Terminal
    } else {
        attached::Mode::Streams
    })?;
    made.bind(attached.given()?)?;
    let outcome = attached.run(made.manager, made.request)?;
    if outcome.job != "done" && outcome.code == 0 {
        complain(&why_not(&made.units, made.manager, &outcome));
    }
    Ok(status_of(&outcome))
}

/// A container that can be started: checked, resolved, and its definition written.
struct Made {
    stem: String,
    /// Its service, and the sockets after it.
    units: Vec<String>,
    manager: Manager,
    request: Request,
    written: Written,
    shim: PathBuf,
}

impl Made {
    fn of(arguments: &Arguments, scope: &Scope) -> Result<Self> {
        let stem = match &arguments.name {
            Some(name) => unit_stem(name)?,
            None => unique_stem()?,
        };
        let loaded = settings::load(arguments, &stem, Directory::of(scope).file(&stem))?;
        Self::of_definition(loaded, stem, scope)
    }

    fn of_definition(loaded: Loaded, stem: String, scope: &Scope) -> Result<Self> {
        let unit = format!("{stem}.service");
        let directory = Directory::of(scope);
        let mut loaded = networks::complete(vec![loaded], &scope.places())
            .pop()
            .unwrap_or_default();
        // A volume is the same for all who use it, whatever starts them.
        if !loaded.definition.container.volumes.is_empty() {
            link(std::slice::from_mut(&mut loaded), &mut scope.contents().volumes);
        }
        let context = crate::generate::Context {
            output_directory: directory.path().to_owned(),
            ..scope.context()
        };
        let drafted = generate(std::slice::from_ref(&loaded), &context);
        refuse_mistakes(&loaded, drafted.diagnostics.iter().map(|report| &report.diagnostic))?;
        ensure!(
            scope.user || nix::unistd::geteuid().is_root(),
            "the system's service manager runs containers for root only, and you are not: leave out '--manager', or use sudo"
        );
        ensure!(
            !loaded.definition.is_proxied() && !loaded.definition.accepts(),
            "'Activation' can be 'proxy' and 'accept' in a file only: these containers have units that stay when one of them ends"
        );
        // What the shim would say in the journal is said here, and sooner.
        plan::config(&loaded.definition, &unit, scope)?;

        let manager = scope.service_manager();
        directory.sweep(manager);
        let text = drafted
            .files
            .get(&format!("{stem}.json"))
            .context("the definition was not resolved")?;
        let written = directory.write(&stem, text)?;
        let request = request::of_units(&unit, &drafted.files, &context.shim, written.path())?;
        let sockets: Vec<String> = request.auxiliary.iter().map(|(name, _)| name.clone()).collect();
        Ok(Self {
            stem,
            units: std::iter::once(unit).chain(sockets).collect(),
            manager,
            request,
            written,
            shim: context.shim,
        })
    }

    /// Ties it to this process.
    fn bind(&mut self, given: Given) -> Result<()> {
        request::bind(&mut self.request, given, &self.shim, self.written.path(), &self.stem)
    }
}

/// A container in the foreground whose streams are not ours. It ends when this is dropped, and with this process.
pub(in crate::cli) struct InForeground {
    /// Its service.
    pub(in crate::cli) unit: String,
    running: Option<Running>,
    _lifeline: OwnedFd,
    _written: Written,
}

impl InForeground {
    /// Starts what is defined so, under a name of its own, with these standard streams.
    ///
    /// # Errors
    /// It cannot be made. That it does not start is told by its end.
    pub(in crate::cli) fn start(loaded: &Loaded, scope: &Scope, streams: [OwnedFd; 3]) -> Result<Self> {
        let stem = unique_stem()?;
        let mut loaded = loaded.clone();
        let definition = &mut loaded.definition;
        definition.source = Directory::of(scope).file(&stem);
        definition.passthrough.service_name = None;
        for socket in &mut definition.sockets {
            socket.unit.clone_from(&stem);
        }
        definition.name.clone_from(&stem);
        let mut made = Made::of_definition(loaded, stem, scope)?;
        let properties = &mut made.request.properties;
        if properties.iter().all(|(key, _)| key != "CollectMode") {
            // Nobody looks at how it failed but this process.
            properties.extend(property::parse("CollectMode", "inactive-or-failed")?);
        }
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).context("making a pipe")?;
        made.bind(Given {
            streams: Streams::Separate(streams),
            lifeline: read,
        })?;
        Ok(Self {
            running: Some(Running::start(made.manager, made.request, Until::Ended)?),
            unit: made.units.swap_remove(0),
            _lifeline: write,
            _written: made.written,
        })
    }

    /// Whether it has ended, or does so within this time in milliseconds.
    pub(in crate::cli) fn ends_within(&self, patience: u16) -> bool {
        let Some(running) = &self.running else { return true };
        let mut polled = [PollFd::new(running.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, patience) == Ok(1)
    }
}

impl Drop for InForeground {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.stop();
            if !self.ends_within(LAST_WORDS) {
                running.kill();
            }
        }
        // However it ended: nobody asks any more.
        let _ = self.running.take().map(Running::finish);
    }
}

/// The definition of a container of `image`, or of a directory from '/' or './' on, with nothing else said.
///
/// # Errors
/// The current directory is not known.
pub(in crate::cli) fn of_image(image: &str) -> Result<Loaded> {
    let arguments = Arguments {
        words: vec![image.to_owned()],
        ..Arguments::default()
    };
    settings::load(&arguments, "image", PathBuf::from("image"))
}

/// Says what is wrong with the options, and fails if the container cannot be made with them.
fn refuse_mistakes<'d>(
    loaded: &'d Loaded,
    drafted: impl Iterator<Item = &'d crate::definition::diagnostic::Diagnostic>,
) -> Result<()> {
    let mut errors = 0;
    for diagnostic in drafted {
        let sentence = diagnostic.sentence();
        match diagnostic.source_line.as_str() {
            "" => complain(&sentence),
            option => complain(&format!("'{option}': {sentence}")),
        }
        errors += usize::from(diagnostic.severity == Severity::Error);
    }
    match errors {
        0 => Ok(()),
        1 => bail!("'{}' is not started because of this mistake", loaded.definition.name),
        _ => bail!("'{}' is not started because of these mistakes", loaded.definition.name),
    }
}

/// The stems of the units that have been started here, and perhaps not ended yet.
#[must_use]
pub fn containers(scope: &Scope) -> Vec<String> {
    Directory::of(scope).stems()
}

/// Their definitions. Who may not read them sees none.
#[must_use]
pub fn definitions(scope: &Scope) -> Vec<Loaded> {
    let directory = Directory::of(scope);
    let read = |stem: String| {
        let text = std::fs::read_to_string(directory.file(&stem)).ok()?;
        match serde_json::from_str(&text).ok()? {
            Resolved::Container(definition) => Some(Loaded {
                definition: *definition,
                diagnostics: Vec::new(),
            }),
            Resolved::Broken(_) => None,
        }
    };
    directory.stems().into_iter().filter_map(read).collect()
}

/// The unit's name without suffix, from what was typed.
fn unit_stem(typed: &str) -> Result<String> {
    let stem = typed.strip_suffix(".service").unwrap_or(typed);
    if let Some(mistake) = crate::definition::name::mistake(stem) {
        bail!("'--name={typed}': {mistake}");
    }
    ensure!(
        !name::is_template(stem),
        "'--name={typed}': a container needs the name of an instance, such as '{stem}1'"
    );
    Ok(stem.to_owned())
}

/// A name that no other container has.
fn unique_stem() -> Result<String> {
    const SOURCE: &str = "/proc/sys/kernel/random/uuid";
    let uuid = std::fs::read_to_string(SOURCE).with_context(|| format!("reading '{SOURCE}'"))?;
    let digits: String = uuid.chars().filter(char::is_ascii_hexdigit).take(10).collect();
    Ok(format!("run-{digits}"))
}

/// The exit status that an outcome is told by.
fn status_of(outcome: &Outcome) -> u8 {
    let status = u8::try_from(outcome.status).unwrap_or(NOT_MADE);
    match outcome.code {
        libc::CLD_EXITED if outcome.job == "failed" && is_ours(outcome) => match outcome.status {
            failure::EXEC => NOT_EXECUTED,
            _ => NOT_MADE,
        },
        libc::CLD_EXITED => status,
        libc::CLD_KILLED | libc::CLD_DUMPED => status.saturating_add(128),
        _ => NOT_MADE,
    }
}

/// Whether the shim or init has ended, and said why, rather than the payload.
fn is_ours(outcome: &Outcome) -> bool {
    let known = [failure::CONFIG, failure::EXEC, failure::USER, failure::NAMESPACE];
    known.contains(&outcome.status) && (has_spoken(outcome) || outcome.status == failure::EXEC)
}

/// Whether something of ours has run and told its mistake on standard error.
fn has_spoken(outcome: &Outcome) -> bool {
    outcome.code != 0 && !outcome.status_text.is_empty()
}

/// Why a unit did not start: what it said itself, or else the last lines about it and its sockets in the journal.
fn why_not(units: &[String], manager: Manager, outcome: &Outcome) -> String {
    if has_spoken(outcome) {
        return outcome.status_text.clone();
    }
    let unit = units.first().map_or("", String::as_str);
    let whose = match manager {
        Manager::System => "unit",
        Manager::User => "user-unit",
    };
    let journal = Command::new("journalctl")
        .args(["-q", "-b", "-o", "cat", "-n", "6", "--no-pager"])
        .args(units.iter().map(|unit| format!("--{whose}={unit}")))
        .output();
    let lines = journal.map(|journal| String::from_utf8_lossy(&journal.stdout).into_owned());
    let end = match lines.unwrap_or_default().trim_end() {
        "" => format!("; 'journalctl --{whose} {unit}' may say more"),
        lines => format!(":\n{lines}"),
    };
    format!("'{unit}' could not be started ({}){end}", outcome.job)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(job: &str, code: i32, status: i32, text: &str) -> Outcome {
        Outcome {
            job: job.into(),
            result: String::new(),
            code,
            status,
            status_text: text.into(),
        }
    }

    #[test]
    fn statuses_are_passed_on() {
        assert_eq!(status_of(&outcome("done", libc::CLD_EXITED, 0, "")), 0);
        assert_eq!(status_of(&outcome("done", libc::CLD_EXITED, 203, "")), 203);
        assert_eq!(status_of(&outcome("failed", libc::CLD_EXITED, 7, "")), 7);
        assert_eq!(status_of(&outcome("done", libc::CLD_KILLED, 9, "")), 137);
        assert_eq!(status_of(&outcome("done", libc::CLD_DUMPED, 11, "")), 139);
    }

    #[test]
    fn what_is_not_the_payloads_has_a_status_of_its_own() {
        assert_eq!(
            status_of(&outcome("failed", libc::CLD_EXITED, 203, "executing '/x': no")),
            126
        );
        assert_eq!(status_of(&outcome("failed", libc::CLD_EXITED, 78, "no image")), 125);
        assert_eq!(status_of(&outcome("dependency", 0, 0, "")), 125);
    }

    #[test]
    fn names_become_units() {
        assert_eq!(unit_stem("web.service").unwrap(), "web");
        assert!(unit_stem("a b").is_err() && unit_stem("web@").is_err() && unit_stem("../x").is_err());
        let (one, other) = (unique_stem().unwrap(), unique_stem().unwrap());
        assert!(one != other && name::is_valid(&format!("{one}.service")));
    }
}
