//! Another program in a container that runs: `coracle exec`.
//!
//! A container joins nobody to itself; somebody has to go in, and is in danger while it is half inside. Three processes share the work:
//!
//! * The *waiter* stays outside, in the caller's own namespaces. It reads the definition, makes the plan as for a start, passes signals on, and ends
//!   as the program ends. When its client is gone, however it went, it kills the program.
//! * The *guide* is forked into the container's control group (the program and all it starts count there, and end with the unit), takes over
//!   the limits of the container's init and joins all its namespaces in one call. It is in no PID namespace of the container, so nobody
//!   inside has a name for it.
//! * The *program*'s process is started by the guide as init starts the payload, by the same code ([`crate::run::payload`]), and is the
//!   waiter's child.
//!
//! Until its exec that last one is visible inside while it is a copy of this program (CVE-2016-9962, CVE-2019-5736). So nothing that it has open leads out;
//! it is not dumpable, which keeps ptrace(2) and `/proc/PID` from everybody without rights over the *host's* processes; and this
//! program's file is executed through a mount that is read-only and that no path leads to, so even who gets hold of it by name of `/proc/PID/exe`
//! cannot write to it.
//!
//! A user goes in on the same way, with the rights that the owner of a user namespace has ([`Entrance`]). This program's file is root's then, and
//! who is inside is at most the user, so that no mount has to keep them from writing to it.

use std::fs;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::Winsize;
use nix::sched::CloneFlags;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, geteuid, getppid};

use crate::definition::UserNamespace;
use crate::definition::network::Network;
use crate::plan::Plan;
use crate::run::entrance::Entrance;
use crate::run::exec::plan::plan;
use crate::run::exec::request::Request;
use crate::run::failure::{CONFIG, EXEC, Failure, NAMESPACE, OrFail as _, one_line};
use crate::run::payload::{Prepared, Starter};
use crate::run::seal::seal;
use crate::run::terminal;
use crate::sys::limits::{self, Excess};
use crate::sys::mount::open_place;
use crate::sys::process::{self, Outcome, close_from, exit, forbid_inspection, fork_into, pidfd_open, send_signal};
use crate::sys::user::become_root;

pub mod plan;
pub mod request;
pub mod restrictions;

/// What [`report`] says besides the text: the waiter's exit status where the program has none.
const NOT_MADE: i32 = 125;
const NOT_EXECUTABLE: i32 = 126;

/// Runs what `arguments` ask for as [`run`], with this program's file out of reach: root executes it anew, through a read-only mount of it.
///
/// # Errors
/// What the kernel says of the mount; or of a user that the file is not root's. And as [`run`].
pub fn begin(arguments: &[&str]) -> Result<i32, Failure> {
    seal(&[&["coracle-shim", "--exec-sealed"], arguments].concat()).or_fail(NOT_MADE)?;
    run(arguments)
}

/// Says on standard error what has failed. Returns the exit status.
#[must_use]
pub fn complain(failure: &Failure) -> i32 {
    for line in failure.to_string().lines() {
        // The terminal belongs to whoever typed the command.
        let _ = writeln!(std::io::stderr(), "coracle: {}", one_line(line));
    }
    failure.status
}

/// Runs what `arguments` ask for, and returns the status that it ended with.
///
/// # Errors
/// It could not be run.
pub fn run(arguments: &[&str]) -> Result<i32, Failure> {
    let request = Request::parse(arguments).or_fail(NOT_MADE)?;
    wait(&request).map_err(|failure| Failure {
        status: match failure.status {
            EXEC => NOT_EXECUTABLE,
            _ => NOT_MADE,
        },
        error: failure.error,
    })
}

fn wait(request: &Request) -> Result<i32, Failure> {
    close_from(3).or_fail(NAMESPACE)?;
    let client = pidfd_open(getppid())
        .context("watching the client")
        .or_fail(NAMESPACE)?;
    let plan = plan(request).or_fail(CONFIG)?;
    let entrance = Entrance::find(request.init)
        .with_context(|| format!("entering '{}'", request.unit))
        .or_fail(NAMESPACE)?;
    restrictions::refuse(request.init, &request.unit).or_fail(NAMESPACE)?;
    let signals = SigSet::all();
    signals.thread_block().or_fail(NAMESPACE)?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).or_fail(NAMESPACE)?;
    let (told, report) = nix::unistd::pipe2(OFlag::O_CLOEXEC).or_fail(NAMESPACE)?;
    let group = open_place(&request.group).with_context(|| format!("opening '{}'", request.group.display()));
    let group = group.or_fail(NAMESPACE)?;
    match fork_into(group.as_fd())
        .map_err(|error| refused(&error))
        .or_fail(NAMESPACE)?
    {
        None => {
            drop((told, client, signals, group));
            guide(request, &plan, &entrance, &report)
        }
        Some(_) => drop(report),
    }
    let program = receive(told)?;
    match request.detached() {
        true => Ok(0),
        false => attend(program, &client, &signals).or_fail(NAMESPACE),
    }
}

/// What a fork into the container's control group fails with.
fn refused(error: &std::io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => anyhow!("the container has as many tasks as it may (TasksMax=)"),
        _ => anyhow!("making a process in the container's control group: {error}"),
    }
}

/// Everything from the container's border on. Never returns.
fn guide(request: &Request, plan: &Plan, entrance: &Entrance, report: &OwnedFd) -> ! {
    let (status, pid, text) = match enter(request, plan, entrance) {
        Ok(pid) => (0, pid.as_raw(), String::new()),
        Err(failure) => (failure.status, 0, failure.to_string()),
    };
    let message = [&status.to_ne_bytes(), &pid.to_ne_bytes(), text.as_bytes()].concat();
    let written = report
        .try_clone()
        .map(fs::File::from)
        .and_then(|mut report| report.write_all(&message));
    exit(i32::from(written.is_err()))
}

fn enter(request: &Request, plan: &Plan, entrance: &Entrance) -> Result<Pid, Failure> {
    // Of these a user can have no more than the session has: what is more than that stays as it is here.
    let excess = match geteuid().is_root() {
        true => Excess::Refused,
        false => Excess::CutOff,
    };
    limits::take_from(request.init, excess)
        .context("taking over the container's limits")
        .or_fail(NAMESPACE)?;
    take_score(request.init, excess)
        .context("taking over the container's OOM score")
        .or_fail(NAMESPACE)?;
    // Before it is anywhere near the container; from here on its own files below /proc are root's.
    forbid_inspection().or_fail(NAMESPACE)?;
    if request.detached() {
        let journal = journal(&request.unit)
            .context("connecting to the journal")
            .or_fail(NAMESPACE)?;
        nix::unistd::dup2_stdout(&journal).or_fail(NAMESPACE)?;
        nix::unistd::dup2_stderr(&journal).or_fail(NAMESPACE)?;
    }
    let mut namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP;
    // Where it is the host's, this process is in it, and could not even join it without root.
    if plan.network != Network::Host {
        namespaces |= CloneFlags::CLONE_NEWNET;
    }
    let has_users = plan.user_namespace != UserNamespace::Host;
    if has_users {
        namespaces |= CloneFlags::CLONE_NEWUSER;
    }
    entrance
        .join(namespaces)
        .context("joining the container's namespaces")
        .or_fail(NAMESPACE)?;
    if has_users {
        become_root()
            .context("becoming the root of the user namespace")
            .or_fail(NAMESPACE)?;
        // A change of identities makes a process dumpable again where the host says so (fs.suid_dumpable).
        forbid_inspection().or_fail(NAMESPACE)?;
    }
    let terminal = request.terminal.map(on_terminal).transpose().or_fail(NAMESPACE)?;
    let starter = match request.detached() {
        true => Starter::Detached,
        false => Starter::Attached,
    };
    let payload = Prepared::new(plan, [&[], &[]], request.mask, starter).or_fail(NAMESPACE)?;
    Ok(payload.start(plan, terminal)?.pid)
}

/// Gives this process the OOM score of the container's init, unless that is lower than a user may have it.
fn take_score(init: Pid, excess: Excess) -> Result<()> {
    let own = "/proc/self/oom_score_adj";
    let score = fs::read_to_string(format!("/proc/{init}/oom_score_adj"))?;
    match fs::write(own, score) {
        Err(error) if excess == Excess::CutOff && error.raw_os_error() == Some(libc::EACCES) => Ok(()),
        written => Ok(written?),
    }
}

fn on_terminal(size: Winsize) -> Result<OwnedFd> {
    let root = open_place(Path::new("/"))?;
    terminal::create(root.as_fd(), size, std::io::stdin().as_fd())
}

/// A stream to the journal, as systemd opens it for the output of `unit` (sd_journal_stream_fd(3)).
fn journal(unit: &str) -> Result<OwnedFd> {
    let mut stream = UnixStream::connect("/run/systemd/journal/stdout")?;
    stream.shutdown(Shutdown::Read)?;
    let identifier = unit.strip_suffix(".service").unwrap_or(unit);
    // Identifier, unit, priority, whether lines bring a priority along; and not to the syslog, the kernel's log and the console.
    write!(stream, "{identifier}\n{unit}\n{}\n1\n0\n0\n0\n", libc::LOG_INFO)?;
    Ok(stream.into())
}

/// What the guide tells: the program's process, which is ours, or why there is none.
fn receive(told: OwnedFd) -> Result<Pid, Failure> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut fs::File::from(told), &mut bytes).or_fail(NAMESPACE)?;
    let parts = bytes.split_first_chunk::<4>();
    let parts = parts.and_then(|(status, rest)| Some((status, rest.split_first_chunk::<4>()?)));
    let (status, (pid, text)) = parts.context("the container has just ended").or_fail(NAMESPACE)?;
    match i32::from_ne_bytes(*status) {
        0 => Ok(Pid::from_raw(i32::from_ne_bytes(*pid))),
        status => Err(anyhow!("{}", String::from_utf8_lossy(text))).or_fail(status),
    }
}

/// Passes signals on until the program ends, and ends it with its client.
fn attend(program: Pid, client: &OwnedFd, signals: &SignalFd) -> Result<i32> {
    loop {
        while let Some((pid, outcome)) = process::reap() {
            match outcome {
                _ if pid != program => {}
                Outcome::Exited(status) => return Ok(status),
                Outcome::Killed(signal) => return Ok(128 + signal),
            }
        }
        let mut polled = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(client.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("waiting"),
        }
        if polled[1].any() == Some(true) {
            // It leads a session and its first group.
            send_signal(Pid::from_raw(-program.as_raw()), libc::SIGKILL);
            send_signal(program, libc::SIGKILL);
            return Ok(128 + libc::SIGKILL);
        }
        while let Ok(Some(information)) = signals.read_signal() {
            let number = information.ssi_signo.cast_signed();
            if PASSED_ON.contains(&number) {
                send_signal(program, number);
            }
        }
    }
}

/// What a user or another program may send to a command.
const PASSED_ON: [i32; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGCONT,
];
