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

use std::fs;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::Winsize;
use nix::sched::CloneFlags;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getppid};

use crate::definition::{Definition, UserNamespace};
use crate::plan::Plan;
use crate::plan::network::likely;
use crate::plan::process::set;
use crate::run::exec::request::Request;
use crate::run::failure::{CONFIG, EXEC, Failure, NAMESPACE, OrFail as _, one_line};
use crate::run::payload::{Prepared, Starter};
use crate::run::start::parse;
use crate::run::{planning, terminal};
use crate::store::Store;
use crate::sys::mount::open_place;
use crate::sys::process::{self, Outcome, close_from, exit, forbid_inspection, fork_into, pidfd_open, send_signal};
use crate::sys::user::become_root;
use crate::sys::{limits, mount};

pub mod request;

/// What [`report`] says besides the text: the waiter's exit status where the program has none.
const NOT_MADE: i32 = 125;
const NOT_EXECUTABLE: i32 = 126;

/// Executes this program anew, through a read-only mount of its file: it goes on in [`run`].
///
/// # Errors
/// What the kernel says of the mount.
pub fn seal(arguments: &[&str]) -> Failure {
    let error = mount::execute_read_only(arguments);
    Failure {
        status: NOT_MADE,
        error: anyhow::Error::from(error).context("executing the shim through a read-only mount"),
    }
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
    let init = Init::find(request).or_fail(NAMESPACE)?;
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
            guide(request, &plan, &init, &report)
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

/// The container's plan, with another program.
fn plan(request: &Request) -> Result<Plan> {
    let definition = read(&request.resolved)?;
    let store = Store::open(Store::system_root())?;
    // What follows from its addresses is the container's already.
    let addresses = likely(&definition.container.network, &request.unit);
    let environment = environment(request.init);
    let (mut plan, _) = planning::plan(
        &definition,
        &request.unit,
        &environment,
        Path::new("/"),
        &store,
        &addresses,
    )?;
    let own = &mut plan.process;
    own.arguments = request.command.clone();
    // What is said to the payload alone.
    let to_payload = [
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "JOURNAL_STREAM",
    ];
    own.environment.retain(|(name, _)| !to_payload.contains(&name.as_str()));
    for (name, value) in &request.environment {
        set(&mut own.environment, name, value.clone());
    }
    if let Some(directory) = &request.directory {
        ensure!(
            directory.starts_with('/'),
            "the working directory '{directory}' is not absolute"
        );
        own.working_directory = directory.clone();
    }
    if let Some(written) = &request.user {
        let (user, group) = match written.split_once(':') {
            Some((user, group)) => (user, Some(group.to_owned())),
            None => (written.as_str(), None),
        };
        own.user = user.to_owned();
        own.group = group;
        own.additional_groups.clear();
    }
    Ok(plan)
}

fn read(resolved: &Path) -> Result<Definition> {
    let reading = || format!("reading '{}'", resolved.display());
    let text = fs::read_to_string(resolved).with_context(reading)?;
    parse(&text, resolved)
}

/// What systemd has started the container with.
fn environment(init: Pid) -> Vec<(String, String)> {
    let bytes = fs::read(format!("/proc/{init}/environ")).unwrap_or_default();
    let texts = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    texts
        .filter_map(|text| {
            text.split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// The container's init.
struct Init {
    pid: Pid,
    handle: OwnedFd,
}

impl Init {
    /// It must be what systemd said a moment ago, and be done with building the container.
    fn find(request: &Request) -> Result<Self> {
        let pid = request.init;
        let handle = pidfd_open(pid).context("finding the container's init")?;
        // From here on the number is this very process, or nobody's.
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
        let status = read("status").context("looking at the container's init")?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let is_first = field("NSpid:").is_some_and(|pids| pids.split_whitespace().skip(1).last() == Some("1"));
        ensure!(
            is_first && field("Name:") == Some("coracle-init"),
            "'{}' is not running, or only just starts",
            request.unit
        );
        Ok(Self { pid, handle })
    }
}

/// Everything from the container's border on. Never returns.
fn guide(request: &Request, plan: &Plan, init: &Init, report: &OwnedFd) -> ! {
    let (status, pid, text) = match enter(request, plan, init) {
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

fn enter(request: &Request, plan: &Plan, init: &Init) -> Result<Pid, Failure> {
    forbid_inspection().or_fail(NAMESPACE)?;
    limits::take_from(init.pid)
        .context("taking over the container's limits")
        .or_fail(NAMESPACE)?;
    let score = format!("/proc/{}/oom_score_adj", init.pid);
    let score = fs::read_to_string(score).and_then(|score| fs::write("/proc/self/oom_score_adj", score));
    score
        .context("taking over the container's OOM score")
        .or_fail(NAMESPACE)?;
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
        | CloneFlags::CLONE_NEWCGROUP
        | CloneFlags::CLONE_NEWNET;
    let has_users = plan.user_namespace != UserNamespace::Host;
    if has_users {
        namespaces |= CloneFlags::CLONE_NEWUSER;
    }
    nix::sched::setns(init.handle.as_fd(), namespaces)
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
    let payload = Prepared::new(plan, &[], request.mask, starter).or_fail(NAMESPACE)?;
    Ok(payload.start(plan, terminal)?.pid)
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
