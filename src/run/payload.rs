//! The payload's last steps before it is itself: a child of init in the same memory, which ends in exec.
//!
//! The order matters, and each step says why it stands where it does. The child tells init over a pipe: first the number of the
//! seccomp listener, which init takes out of the descriptor table they share until then, and after that nothing if the exec succeeded, or the
//! reason why it did not come to it. init stands still meanwhile, as after vfork(2).
//!
//! Between the payload's filter of system calls and the exec there is no other call, since the filter may forbid any. If the exec fails,
//! the error is left in memory, and it is init that finds words for it.

use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getpid, setsid};

use crate::definition::Activation;
use crate::definition::label::AbstractSockets;
use crate::plan::Plan;
use crate::plan::process::FIRST_DESCRIPTOR;
use crate::run::failure::{EXEC, Failure, NAMESPACE, OrFail as _};
use crate::run::label;
use crate::run::program;
use crate::run::rights::{self, Growth, Rights};
use crate::run::terminal::make_standard;
use crate::run::user::Identity;
use crate::sys::capability::{self, Sets};
use crate::sys::landlock::keep_to_own_abstract_sockets;
use crate::sys::process::{
    Exec, Parent, adopt, close_all_but, default_signal, exit, grant, spawn_in_shared_memory, unshare_descriptors,
};
use crate::sys::seccomp::{self, Listener, catch_bind_and_listen};
use crate::sys::terminal::take_controlling;

/// A payload that has been executed.
#[derive(Debug)]
pub struct Payload {
    /// Its process.
    pub pid: Pid,
    /// Where its bind(2) and listen(2) are answered.
    pub listener: Option<Listener>,
}

/// Who starts a program in a container, and whom it must not outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starter {
    /// Init, with which all in the container ends.
    Init,
    /// A process that has joined the container, on behalf of its parent: the program is that one's child, and is killed with it.
    Attached,
    /// The same, but the program goes on by itself.
    Detached,
}

impl Payload {
    /// Starts the payload of `plan`, with the umask `mask`, and on `terminal` where it has one.
    ///
    /// # Errors
    /// It could not be started, the filter not be installed, or the program not be executed.
    pub fn start(
        plan: &Plan,
        sockets: &[OwnedFd],
        identity: &Identity,
        mask: Mode,
        starter: Starter,
        terminal: Option<&OwnedFd>,
    ) -> Result<Self, Failure> {
        let (report, told) = nix::unistd::pipe2(OFlag::O_CLOEXEC).or_fail(NAMESPACE)?;
        let number = told.as_raw_fd();
        let attempt = Attempt::default();
        let start = || {
            umask(mask);
            child(plan, sockets, identity, (starter, terminal), number, &attempt)
        };
        let parent = match starter {
            Starter::Init => Parent::Caller,
            Starter::Attached | Starter::Detached => Parent::OfCaller,
        };
        let pid = spawn_in_shared_memory(parent, start).or_fail(NAMESPACE)?;
        // It has a descriptor table of its own by now, or is gone, and ours may be changed again.
        drop(told);
        let mut report = File::from(report);
        let mut head = [0; 4];
        report
            .read_exact(&mut head)
            .context("starting the payload: it died at once")
            .or_fail(NAMESPACE)?;
        let listener = match RawFd::from_ne_bytes(head) {
            NO_LISTENER => None,
            number => Some(adopt(number).map(Listener::from).or_fail(NAMESPACE)?),
        };
        let mut reason = String::new();
        report.read_to_string(&mut reason).or_fail(EXEC)?;
        if !reason.is_empty() {
            return Err(anyhow::Error::msg(reason)).or_fail(EXEC);
        }
        attempt.outcome(plan).or_fail(EXEC)?;
        Ok(Self { pid, listener })
    }
}

/// The exec, as the child leaves it in the memory that it shares with init.
#[derive(Debug, Default)]
struct Attempt {
    program: OnceCell<Program>,
    refused: Cell<Option<Errno>>,
}

/// What is to be executed.
#[derive(Debug)]
struct Program {
    path: PathBuf,
    /// Its first bytes.
    head: Vec<u8>,
}

impl Attempt {
    /// An error if the exec failed.
    fn outcome(&self, plan: &Plan) -> Result<()> {
        let (Some(program), Some(errno)) = (self.program.get(), self.refused.get()) else {
            return Ok(());
        };
        let path = program.path.display();
        let forbids = plan
            .seccomp
            .as_ref()
            .is_some_and(|filter| !filter.rules.lets_through("execve"));
        ensure!(
            !forbids,
            "executing '{path}': the seccomp profile does not let execve(2) through"
        );
        bail!(
            "executing '{path}': {}",
            program::explain(&program.path, &program.head, errno)
        )
    }
}

/// Does in init what the payload of `plan` inherits and init itself does not mind, before a root is there: signals as a program expects to
/// find them, none ignored (systemd ignores SIGPIPE for its services), and the capabilities that no exec can bring back.
///
/// # Errors
/// What sigaction(2) or prctl(2) says.
pub fn prepare_parent(plan: &Plan) -> Result<()> {
    for number in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        default_signal(number).with_context(|| format!("resetting {number}"))?;
    }
    capability::bound(plan.process.capabilities).context("dropping capabilities")
}

const NO_LISTENER: RawFd = -1;

fn child(
    plan: &Plan,
    sockets: &[OwnedFd],
    identity: &Identity,
    circumstances: (Starter, Option<&OwnedFd>),
    report: RawFd,
    attempt: &Attempt,
) -> i32 {
    let told = Cell::new(None);
    let failure = match prepare(plan, sockets, identity, circumstances, report, &told, attempt) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let head: &[u8] = if told.get().is_some() {
        &[]
    } else {
        &NO_LISTENER.to_ne_bytes()
    };
    let message = [head, format!("{failure:#}").as_bytes()].concat();
    if let Ok(report) = adopt(told.get().unwrap_or(report)) {
        let _ = nix::unistd::write(&report, &message);
        // It may still be init's descriptor too.
        let _ = report.into_raw_fd();
    }
    EXEC
}

fn prepare(
    plan: &Plan,
    sockets: &[OwnedFd],
    identity: &Identity,
    (starter, terminal): (Starter, Option<&OwnedFd>),
    report: RawFd,
    told: &Cell<Option<RawFd>>,
    attempt: &Attempt,
) -> Result<Infallible> {
    // First of all the filter, while there still is the right to install it without no_new_privs, and init can take its listener.
    let catches = plan.activation == Activation::Intercept && !sockets.is_empty();
    let listener = if catches {
        Some(catch_bind_and_listen().context("installing the bind filter")?)
    } else {
        None
    };
    let number = listener.map_or(NO_LISTENER, |listener| OwnedFd::from(listener).into_raw_fd());
    unshare_descriptors().context("leaving init's descriptor table")?;
    // The pipe moves out of the numbers that the sockets are going to have.
    let first_free = i32::try_from(FIRST_DESCRIPTOR + sockets.len())?;
    let report = above(report, first_free)?;
    nix::unistd::write(&report, &number.to_ne_bytes()).context("telling init the listener")?;
    let report = report.into_raw_fd();
    told.set(Some(report));

    // A session of its own, so that no terminal signal of ours reaches it and its jobs have a leader.
    setsid().context("creating a session")?;
    if let Some(terminal) = terminal {
        make_standard(terminal).context("taking the terminal")?;
    }
    take_controlling();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    // Closed now and not at the exec: by its name in /proc/self/fd, init's lock on a layer would be a way to the host for whatever path
    // of the image is looked up from here on.
    let granted = if plan.activation == Activation::Inherit {
        place(sockets, first_free)?;
        first_free
    } else {
        3
    };
    close_all_but(report, granted)?;

    if let Some(label) = &plan.label {
        label::take(label)?;
    }
    // Another user has no capabilities left.
    let capabilities = if identity.uid.is_root() {
        plan.process.capabilities
    } else {
        0
    };
    rights::assume(&Rights {
        uid: identity.uid,
        gid: identity.gid,
        groups: &identity.groups,
        capabilities: Sets::of_root(plan.process.capabilities, capabilities),
        kept: 0,
        growth: Growth::Forbidden,
        working_directory: &plan.process.working_directory,
    })?;
    if starter == Starter::Attached {
        // After the user: a change of it takes this back.
        set_pdeathsig(Signal::SIGKILL).context("tying the program to its client")?;
    }
    // After no_new_privs, without which Landlock wants a right that is gone.
    if plan.abstract_sockets == AbstractSockets::Own {
        keep_to_own_abstract_sockets().context("keeping to the container's own abstract sockets (Landlock)")?;
    }
    execute(plan, identity, attempt)
}

/// A copy of `descriptor` above the granted ones. The old number stays: `child` reports a failure of this through it.
fn above(descriptor: RawFd, minimum: RawFd) -> Result<OwnedFd> {
    let descriptor = adopt(descriptor)?;
    let copy = fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(minimum));
    let _ = descriptor.into_raw_fd();
    Ok(adopt(copy?)?)
}

/// Puts the sockets at 3, 4, 5 … in order, whatever lies there now.
fn place(sockets: &[OwnedFd], first_free: RawFd) -> Result<()> {
    let mut moved = Vec::with_capacity(sockets.len());
    for socket in sockets {
        moved.push(adopt(fcntl(socket, FcntlArg::F_DUPFD_CLOEXEC(first_free))?)?);
    }
    for (position, socket) in moved.iter().enumerate() {
        grant(socket.as_fd(), i32::try_from(FIRST_DESCRIPTOR + position)?).context("granting a socket")?;
    }
    Ok(())
}

fn execute(plan: &Plan, identity: &Identity, attempt: &Attempt) -> Result<Infallible> {
    let process = &plan.process;
    let mut environment = process.environment.clone();
    let own_id = getpid().to_string();
    for (name, wanted) in [("LISTEN_PID", "LISTEN_FDS"), ("WATCHDOG_PID", "WATCHDOG_USEC")] {
        if environment.iter().any(|(known, _)| known == wanted) {
            environment.push((name.to_owned(), own_id.clone()));
        }
    }
    if environment.iter().all(|(name, _)| name != "HOME") {
        environment.push(("HOME".to_owned(), identity.home.clone()));
    }
    let path = environment
        .iter()
        .find(|(name, _)| name == "PATH")
        .map_or("", |(_, path)| path)
        .to_owned();
    let environment: Vec<CString> = environment
        .into_iter()
        .map(|(name, value)| CString::new(format!("{name}={value}")))
        .collect::<Result<_, _>>()?;
    let arguments: Vec<CString> = process
        .arguments
        .iter()
        .map(|argument| CString::new(argument.as_str()))
        .collect::<Result<_, _>>()?;
    let program = process.arguments.first().context("there is no program to run")?;
    let path = program::find(program, &path)?;
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    let head = program::head(&path);
    attempt.program.get_or_init(|| Program { path, head });
    let exec = Exec::new(name, arguments, environment);

    // The very last thing: from here on any call may be refused, or end us, but for the exec.
    if let Some(filter) = &plan.seccomp {
        seccomp::filter(&filter.program).context("installing the filter of system calls")?;
    }
    attempt.refused.set(Some(exec.execute()));
    exit(EXEC)
}
