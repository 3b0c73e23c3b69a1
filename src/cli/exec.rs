//! `coracle exec`: one more program in a container that runs.
//!
//! systemd is asked which process is the container's init; the shim goes in ([`crate::run::exec`]), since it is small and has one thread.
//! This process stays between the program and the caller's terminal, as with `coracle run`, and ends as the program ends.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueHint};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::cli::inside;
use crate::cli::output::complain;
use crate::cli::run::Which;
use crate::cli::run::attached::{self, Attached, Running};
use crate::cli::run::request::Streams;
use crate::run::exec::request::{Client, Request};
use crate::sys::process::{pidfd_open, send_signal};
use crate::sys::terminal::window_size;

/// Run a command in a container that runs
///
/// It is one more program of the container: in all its namespaces and in the control group of its unit, with the user, rights, filter of
/// system calls, environment and working directory that the definition gives the container's own program, and it ends with the container.
///
/// Without --detach its standard input, output and error are this command's own, its exit status is this command's, SIGINT, SIGTERM,
/// SIGHUP and SIGQUIT are passed on to it, and it is killed when this command is.
#[derive(Debug, Args)]
#[command(
    override_usage = "coracle exec [OPTIONS] NAME CMD...",
    after_help = "Examples:\n  coracle exec web nginx -s reload\n  coracle exec -it web sh\n  coracle exec -u postgres db psql -c 'select 1'\n  coracle exec web tar c /etc | tar t\n\nExit status: the command's, or 128 and the number of the signal that ended it; 125 if the container could not be\nentered, 126 if the command could not be executed."
)]
pub struct Arguments {
    /// The container; and the command with its arguments
    // One list, so that whatever stands behind the name is the command's.
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, value_name = "NAME CMD", value_hint = ValueHint::CommandWithArguments)]
    pub words: Vec<String>,
    /// Return as soon as it has been executed; its output goes to the journal of the container's unit
    #[arg(short, long, conflicts_with_all = ["tty", "interactive"])]
    pub detach: bool,
    /// Give it a terminal of the container's own, which this command's terminal shows
    #[arg(short, long)]
    pub tty: bool,
    /// Keep standard input open; without --detach it always is
    #[arg(short, long)]
    pub interactive: bool,
    /// Run as this user of the container, a name or a number, instead of its program's
    // The name that other engines have; whose service manager is meant is said with --manager, as for 'run'.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// Start in this directory
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Set an environment variable; without '=VALUE' to what it is here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Whose service manager runs the container: 'system' or 'user' [default: the system's for root, and one's own for everybody else]
    #[arg(long, value_enum, value_name = "WHICH", hide_possible_values = true)]
    pub manager: Option<Which>,
}

/// The exit status for a container that could not be entered, as other engines have it.
const NOT_ENTERED: u8 = 125;

/// Runs it, and ends as it ends.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let code = carry_out(arguments).unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        NOT_ENTERED
    });
    Ok(ExitCode::from(code))
}

fn carry_out(arguments: &Arguments) -> Result<u8> {
    let is_root = nix::unistd::geteuid().is_root();
    ensure!(
        is_root || arguments.manager != Some(Which::System),
        "only root can enter the containers of the system's service manager, and you are not: leave out '--manager', or use sudo"
    );
    let scope = inside::scope(arguments.manager == Some(Which::User));
    let mut environment = variables(arguments)?;
    let [name, command @ ..] = arguments.words.as_slice() else {
        bail!("there is no command to run");
    };
    let container = inside::find(&scope, name)?;
    let manager = scope.service_manager();
    let main = inside::main_process(manager, &container)?;
    let size = window_size(io::stdin().as_fd()).or_else(|| window_size(io::stdout().as_fd()));
    if arguments.tty && environment.iter().all(|(name, _)| name != "TERM") {
        let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
        environment.push(("TERM".to_owned(), term));
    }
    let group = inside::group(&main)?;
    if scope.user {
        inside::come_near(&group, &container.name)?;
    }
    let request = Request {
        resolved: inside::resolved(&main)?,
        unit: container.unit,
        init: Pid::from_raw(main.pid),
        group,
        mask: Mode::from_bits_truncate(main.umask),
        client: match arguments.detach {
            true => Client::Leaves,
            false => Client::Waits,
        },
        terminal: arguments.tty.then(|| size.unwrap_or(NO_SIZE)),
        user: arguments.user.clone(),
        directory: arguments.workdir.clone(),
        environment,
        command: command.to_vec(),
    };
    let mut shim = Command::new(scope.context().shim);
    // A group of its own: what the keys of our terminal send comes to us, and we pass it on.
    shim.arg("--exec").args(request.words()).process_group(0);
    if arguments.detach {
        let status = shim.stdin(Stdio::null()).status().context("starting the shim")?;
        return Ok(status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(NOT_ENTERED));
    }
    let mut attached = Attached::open(match arguments.tty {
        true => attached::Mode::Terminal,
        false => attached::Mode::Streams,
    })?;
    match attached.given()?.streams {
        Streams::Separate([input, output, error]) => shim.stdin(input).stdout(output).stderr(error),
        Streams::Terminal { client, error, .. } => shim
            .stdin(client)
            .stdout(error.try_clone().context("copying a descriptor")?)
            .stderr(error),
    };
    let mut started = Started::new(shim)?;
    attached.follow(&started)?;
    let status = started.child.wait().context("waiting for the shim")?;
    attached.drain();
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(NOT_ENTERED))
}

/// What a terminal has whose size nobody knows.
const NO_SIZE: nix::pty::Winsize = nix::pty::Winsize {
    ws_row: 0,
    ws_col: 0,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// The shim, at work for us.
struct Started {
    child: Child,
    handle: OwnedFd,
}

impl Started {
    /// The command is consumed, and our copies of the descriptors in it are closed.
    fn new(mut command: Command) -> Result<Self> {
        let child = command.spawn().context("starting the shim")?;
        let handle = pidfd_open(Pid::from_raw(child.id().cast_signed())).context("watching the shim")?;
        Ok(Self { child, handle })
    }
}

impl AsFd for Started {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl Running for Started {
    fn signalled(&self, signal: i32, _before: u32) {
        // It is our child, and not waited for yet: the number is still its own.
        send_signal(Pid::from_raw(self.child.id().cast_signed()), signal);
    }
}

fn variables(arguments: &Arguments) -> Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for typed in &arguments.env {
        let (name, value) = match typed.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (typed.as_str(), std::env::var(typed).ok()),
        };
        ensure!(!name.is_empty(), "'--env={typed}': a variable needs a name");
        variables.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(variables)
}
