//! PID 1 of the container: starts the payload, forwards signals, reaps, tells readiness, and ends as the payload ended.
//!
//! It is all of Coracle that stays, so it stays small: one thread, one poll(2), no timers unless something is waited for. It
//! has nothing to do with the payload's connections; those the payload accepts on the kernel's own sockets.

mod calls;
mod care;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::Winsize;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::definition::{Activation, ContainerAddress, Notify, SocketKind, UserNamespace};
use crate::plan::Plan;
use crate::run::failure::{Failure, NAMESPACE, OrFail as _, Priority, say};
use crate::run::health::{Dowry, Health};
use crate::run::idle::Idle;
use crate::run::init::calls::Calls;
use crate::run::init::care::Sentence;
use crate::run::log::Pipe;
use crate::run::notify::{Relay, Systemd};
use crate::run::payload::{Payload, Prepared};
use crate::run::queues::{Listens, Queues};
use crate::run::reloading::Reloading;
use crate::run::terminal;
use crate::sys::capability::{self, Mask};
use crate::sys::death::die_of;
use crate::sys::diag::Diag;
use crate::sys::process::{self, Outcome, exit, forbid_inspection, trim_memory};

/// How long after its start systemd may not have heard of a container yet.
const UNSETTLED: Duration = Duration::from_secs(5);

struct Init<'a> {
    payload: Payload,
    signals: SignalFd,
    calls: Calls,
    relay: Option<Relay>,
    logs: Vec<(Pipe, Stream)>,
    systemd: &'a Systemd,
    stop_signal: i32,
    reloading: Option<Reloading>,
    wanted: Notify,
    /// When systemd will hear that the payload is ready.
    ready_at: Option<Instant>,
    ready: bool,
    stopping: bool,
    /// When the start is over: the memory it took goes back, and what the program's choice of families may lead to is said.
    settled_at: Option<Instant>,
    /// systemd shows what the payload is waited for.
    is_awaited: bool,
    outcome: Option<Outcome>,
    idle: Option<Idle>,
    health: Option<Health>,
    /// What becomes of a payload that is not well.
    sentence: Sentence,
}

/// How long systemd may wait to hear that the payload is ready: what it then does takes a processor for longer than the payload needs
/// to answer its first client.
const FIRST_ANSWER: Duration = Duration::from_millis(2);

/// After this time a program that binds IPv4 and listens has bound IPv6 too, if it does that at all.
const SETTLING: Duration = Duration::from_secs(1);

/// Which of our own streams a [`Pipe`] leads to.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Output,
    Error,
}

/// Runs the payload to its end, on `sockets` and what tells of their connections. Returns only if it could not be started.
pub fn run(
    plan: Plan,
    (sockets, diag): (Vec<OwnedFd>, Option<Diag>),
    (payload, dowry): (Prepared, Dowry),
    systemd: &Systemd,
    locks: Vec<OwnedFd>,
    terminal: Option<Winsize>,
) -> Failure {
    let begun = Instant::now();
    let mut init = match Init::start(&plan, (payload, dowry), systemd, terminal) {
        Ok(init) => init,
        Err(failure) => return failure,
    };
    let queues = init.arrange(&plan, sockets, diag);
    drop(plan);
    loop {
        if let Some(outcome) = init.outcome {
            // What was written last is still in the pipes.
            init.pump_logs();
            if init.is_ready() {
                init.tell_readiness();
            }
            init.complain();
            init.outlast(begun, queues.shortest_run(outcome));
            queues.reopen();
            let outcome = match &init.idle {
                Some(idle) => idle.conclude(outcome, systemd),
                None => outcome,
            };
            let outcome = init.sentence.outcome.unwrap_or(outcome);
            drop(locks);
            if begun.elapsed() < UNSETTLED {
                systemd.settle();
            }
            match outcome {
                Outcome::Exited(status) => exit(status),
                Outcome::Killed(signal) => die_of(signal),
            }
        }
        if let Err(failure) = init.step() {
            return failure;
        }
    }
}

impl<'a> Init<'a> {
    fn start(
        plan: &Plan,
        (payload, dowry): (Prepared, Dowry),
        systemd: &'a Systemd,
        terminal: Option<Winsize>,
    ) -> Result<Self, Failure> {
        let relay = (plan.notify == Notify::Yes)
            .then(|| Relay::create(plan.descriptor_store))
            .transpose()
            .or_fail(NAMESPACE)?;
        let logs = open_logs().context("opening /dev/stdout").or_fail(NAMESPACE)?;
        // All have been blocked since before the first fork, so no child can end unseen.
        let signals = SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        let signals = signals.context("creating a signalfd").or_fail(NAMESPACE)?;
        let terminal = terminal.map(terminal::for_payload).transpose().or_fail(NAMESPACE)?;
        let payload = payload.start(plan, terminal)?;
        Ok(Self {
            payload,
            health: Health::start(plan, dowry, systemd),
            sentence: Sentence::default(),
            signals,
            calls: Calls::Unheard,
            relay,
            logs,
            systemd,
            stop_signal: plan.stop_signal,
            reloading: plan.reload_signal.map(Reloading::by),
            wanted: plan.notify,
            ready_at: None,
            ready: false,
            stopping: false,
            settled_at: Some(Instant::now() + SETTLING),
            is_awaited: false,
            outcome: None,
            idle: None,
        })
    }

    /// Gives away what init does not need: rights, and the sockets that it answers with. Returns the sockets it keeps.
    fn arrange(&mut self, plan: &Plan, sockets: Vec<OwnedFd>, diag: Option<Diag>) -> Queues {
        let queues = sockets.iter().zip(&plan.sockets).filter_map(|(socket, grant)| {
            let listens = match grant.listen.kind.listens() {
                true => Listens::Yes,
                false => Listens::No,
            };
            // A connection that was served in no time is no reason to be started again.
            let starts = plan.activation != Activation::Accept;
            starts.then(|| Some((socket.try_clone().ok()?, listens))).flatten()
        });
        let queues = Queues::new(queues, plan.clean_ends);
        self.idle = Idle::new(plan, &sockets, diag);
        self.calls = Calls::new(self.payload.listener.take(), plan, sockets);
        // The payload may be root, and must not find in us what it lacks. What is left serves to signal it and to read its addresses.
        let _ = capability::set(own_rights(plan));
        let _ = forbid_inspection();
        // What it is from now on, for ps(1) and systemctl(1).
        let _ = nix::sys::prctl::set_name(c"coracle-init");
        queues
    }

    /// Does what is due, waits for something to happen, and does what follows from it.
    fn step(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if self.is_ready() && *self.ready_at.get_or_insert(now + FIRST_ANSWER) <= now {
            self.tell_readiness();
        }
        if self.settled_at.is_some_and(|settled| settled <= now) {
            self.settled_at = None;
            self.settle();
        }
        if let Some(idle) = &mut self.idle {
            idle.step(self.ready, self.payload.pid, self.stop_signal, self.systemd);
        }
        self.mind_health(now);
        if let Some(lines) = self.reloading.as_mut().and_then(|reloading| reloading.due(now)) {
            self.systemd.tell_surely(lines);
        }
        for source in self.wait().context("waiting").or_fail(NAMESPACE)? {
            match source {
                Source::Signal => self.take_signals(),
                Source::Call => self.calls.answer(),
                Source::Health => {
                    let consequence = self.health.as_mut().and_then(|health| health.hear(self.systemd));
                    self.carry_out(consequence);
                }
                Source::Relay => self.relay_notifications(),
                Source::Log => self.pump_logs(),
            }
        }
        Ok(())
    }

    fn tell_readiness(&mut self) {
        self.ready = true;
        self.ready_at = None;
        // What it was waited for is not true any more.
        let status = if std::mem::take(&mut self.is_awaited) {
            self.systemd.status("")
        } else {
            String::new()
        };
        self.systemd.tell_surely(&["READY=1\n", &status].concat());
        self.settled_at = Some(Instant::now() + SETTLING);
    }

    /// What can wait until no client waits for us any more.
    fn settle(&mut self) {
        // Only where readiness means it: a payload that has just been executed cannot listen yet.
        let means_it = matches!(self.wanted, Notify::Listening | Notify::Healthy);
        if means_it && matches!(self.calls, Calls::Answered(_)) {
            if self.ready {
                self.complain();
            } else if let Some(awaited) = self.calls.awaited() {
                self.is_awaited = true;
                self.systemd.tell(&self.systemd.status(&awaited));
            }
        }
        trim_memory();
    }

    /// Says what is wrong between the sockets and what the payload binds, in the journal and, the worst of it, to systemd.
    fn complain(&mut self) {
        if self.ready && matches!(self.calls, Calls::Watched(_)) {
            // It is ready by its own word, then, and the proxy finds out.
            return;
        }
        let complaints = self.calls.complaints();
        if let Some((_, worst)) = complaints.first() {
            self.systemd.tell(&self.systemd.status(worst));
            self.idle.iter_mut().for_each(Idle::keep_silent);
        }
        complaints.iter().for_each(|(priority, line)| say(*priority, line));
    }

    /// Whether the payload is ready, and systemd has not heard of it.
    fn is_ready(&self) -> bool {
        let is_ready = match self.wanted {
            Notify::Started => true,
            Notify::Listening => self.calls.is_served(),
            // The payload says so itself, and is believed when it does.
            Notify::Yes => false,
            Notify::Healthy => self.health.as_ref().is_some_and(Health::is_healthy),
        };
        is_ready && !self.ready
    }

    fn wait(&self) -> nix::Result<Vec<Source>> {
        let mut sources = vec![(Source::Signal, self.signals.as_fd())];
        sources.extend(self.calls.as_fd().map(|calls| (Source::Call, calls)));
        let health = self.health.as_ref().and_then(Health::as_fd);
        sources.extend(health.map(|health| (Source::Health, health)));
        sources.extend(self.relay.iter().map(|relay| (Source::Relay, relay.as_fd())));
        let (output, error) = (std::io::stdout(), std::io::stderr());
        let mut polled: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN))
            .collect();
        for (pipe, stream) in &self.logs {
            let journal = match stream {
                Stream::Output => output.as_fd(),
                Stream::Error => error.as_fd(),
            };
            // While the journal is full there is no use in reading.
            polled.push(match pipe.is_full() {
                true => PollFd::new(journal, PollFlags::POLLOUT),
                false => PollFd::new(pipe.as_fd(), PollFlags::POLLIN),
            });
            sources.push((Source::Log, pipe.as_fd()));
        }
        match poll(&mut polled, self.timeout()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let happened = |(_, polled): &(_, &PollFd<'_>)| polled.revents().is_some_and(|events| !events.is_empty());
        Ok(sources
            .iter()
            .zip(&polled)
            .filter(happened)
            .map(|((source, _), _)| *source)
            .collect())
    }

    fn timeout(&self) -> PollTimeout {
        let idle = self.idle.as_ref().and_then(Idle::deadline);
        let reloading = self.reloading.as_ref().and_then(Reloading::due_at);
        let next = self
            .ready_at
            .into_iter()
            .chain(self.settled_at)
            .chain(idle)
            .chain(reloading)
            .chain(self.health.as_ref().and_then(Health::deadline))
            .chain(self.sentence.until)
            .min();
        let rest = next.map(|next| next.saturating_duration_since(Instant::now()));
        // One more, since poll(2) counts in whole milliseconds and would wake too early.
        let rest = rest.and_then(|rest| PollTimeout::try_from(rest + Duration::from_millis(1)).ok());
        rest.unwrap_or(PollTimeout::NONE)
    }

    fn take_signals(&mut self) {
        while let Ok(Some(information)) = self.signals.read_signal() {
            let number = information.ssi_signo.cast_signed();
            match number {
                libc::SIGCHLD => self.reap(),
                libc::SIGTERM => {
                    self.stopping = true;
                    self.idle.iter_mut().for_each(Idle::give_way);
                    self.health.iter_mut().for_each(Health::give_way);
                    self.forward(self.stop_signal);
                }
                _ => {
                    if let Some(lines) = self.reloading.as_mut().and_then(|reloading| reloading.begin(number)) {
                        self.systemd.tell_surely(&lines);
                    }
                    self.forward(number);
                }
            }
        }
    }

    fn forward(&self, number: i32) {
        if self.outcome.is_none() {
            process::send_signal(self.payload.pid, number);
        }
    }

    /// Takes in everything that has ended; orphans of the payload are our children too.
    fn reap(&mut self) {
        while let Some((pid, outcome)) = process::reap() {
            if pid == self.payload.pid {
                self.outcome = Some(outcome);
            }
        }
    }

    fn relay_notifications(&mut self) {
        // A bound, as for the logs.
        for _ in 0..16 {
            let Some(relayed) = self.relay.as_ref().and_then(Relay::receive) else {
                return;
            };
            let lines = self.systemd.qualify(relayed.lines);
            match lines.as_str() {
                "" => {}
                lines if relayed.ready => self.systemd.tell_surely(lines),
                lines => self.systemd.tell(lines),
            }
            if let Some(reloading) = &mut self.reloading {
                reloading.hear(&lines);
            }
            if let Some(why) = relayed.wish.and_then(|wish| self.systemd.grant(wish)) {
                say(
                    Priority::Warning,
                    &format!("a descriptor is not left to the next run: {why}"),
                );
            }
            self.ready |= relayed.ready;
        }
    }

    fn pump_logs(&mut self) {
        for (pipe, stream) in &mut self.logs {
            match stream {
                Stream::Output => pipe.pump(std::io::stdout().as_fd()),
                Stream::Error => pipe.pump(std::io::stderr().as_fd()),
            }
        }
    }

    /// Makes an end that nobody asked for come no sooner than `least` after the start.
    fn outlast(&mut self, begun: Instant, least: Duration) {
        while !self.stopping
            && let Some(rest) = least.checked_sub(begun.elapsed())
        {
            let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::ZERO);
            let _ = poll(&mut [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)], timeout);
            self.take_signals();
        }
    }
}

/// What poll(2) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Signal,
    Call,
    Health,
    Relay,
    Log,
}

/// `CAP_KILL`, `CAP_SYS_PTRACE` and `CAP_DAC_READ_SEARCH` to signal the payload, read its addresses and look at its descriptors whatever
/// its user is, `CAP_NET_BIND_SERVICE` to bind a socket back that was replaced.
const KEPT: Mask = 1 << 5 | SYS_PTRACE | 1 << 2 | 1 << 10;

fn own_rights(plan: &Plan) -> Mask {
    let given = plan.process.capabilities;
    let leaves_files = plan.sockets.iter().any(|grant| {
        let is_path = matches!(&grant.listen.container, ContainerAddress::Unix(path) if path.starts_with('/'));
        is_path && grant.listen.kind == SocketKind::Datagram && plan.activation == Activation::Intercept
    });
    let kept = if leaves_files { KEPT | OTHER_IDENTITY } else { KEPT };
    match plan.user_namespace {
        // Then it may take us over whatever we do, and must not have more by that.
        UserNamespace::Host if given & SYS_PTRACE != 0 => kept & given,
        _ => kept,
    }
}

/// `CAP_SETGID` and `CAP_SETUID`, to leave files as the payload would.
const OTHER_IDENTITY: Mask = 1 << 6 | 1 << 7;

const SYS_PTRACE: Mask = 1 << 19;

fn open_logs() -> std::io::Result<Vec<(Pipe, Stream)>> {
    let mut logs = Vec::new();
    for (path, stream) in [("/dev/stdout", Stream::Output), ("/dev/stderr", Stream::Error)] {
        logs.extend(Pipe::open(Path::new(path))?.map(|pipe| (pipe, stream)));
    }
    Ok(logs)
}
