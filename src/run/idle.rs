//! Stops the container when nobody has used it for the definition's `IdleTimeout=`, so that no client notices.
//!
//! A few times within that span init looks: has a connection or a datagram come since the last time, is a connection open, does the container
//! compute ([`watch`], [`meter`])? Nothing wakes it in between, and nothing lies on the data path.
//!
//! When there was nothing for the whole span, the program must be stopped without taking a client with it that comes at that very moment. A program
//! may accept a connection and die. So, in this order:
//!
//! 1. if no connection is just being made, the gates of the TCP sockets are closed ([`gate`]): a client's kernel asks again after a second. What
//!    had come before has become a connection, or a beginning of one, when [`gate::settle`] returns;
//! 2. where there are sockets without a gate, all in the container is held (SIGSTOP);
//! 3. a second look, for what waits or has begun too. If there is anything, all goes on as before;
//! 4. the program gets its stop signal and goes on. What comes to a Unix, vsock or UDP socket from here on waits in systemd's queue, unless
//!    the program still takes it;
//! 5. when all in the container has ended, the gates are opened, and init ends with status 0, which is "idle, by our own decision".
//!
//! Who is killed in between leaves its gates closed. systemd starts such a container again, since that is a failure, and the shim opens them.

pub mod company;
pub mod meter;
pub mod watch;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::Pid;

use crate::definition::idle;
use crate::plan::Plan;
use crate::run::date;
use crate::run::failure::{Priority, say};
use crate::run::idle::meter::Meter;
use crate::run::idle::watch::Watch;
use crate::run::notify::Systemd;
use crate::sys::diag::Diag;
use crate::sys::gate;
use crate::sys::process::{Outcome, send_signal};

/// How often init looks within the span of `IdleTimeout=`; by as much a stop may be late.
const LOOKS: u32 = 8;

/// The time between two looks, at least and at most.
const TICK: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(60)];

/// How long the processes of a container may take to stand still.
const STANDSTILL: Duration = Duration::from_millis(200);

/// How long after a health check the program may still have its connections.
const AFTERMATH: Duration = Duration::from_millis(50);

/// More of a processor's time than one in so many is use.
const SHARE: u32 = 20;

/// What init knows of idleness.
#[derive(Debug)]
pub struct Idle {
    watch: Watch,
    meter: Option<Meter>,
    definition: idle::Idle,
    tick: Duration,
    phase: Phase,
    /// When there is something to do.
    next: Option<Instant>,
    /// When the container was last seen in use.
    used: Instant,
    /// systemd has been told that the container is idle.
    told: bool,
    /// systemd shows something that is more important than idleness.
    is_silent: bool,
    /// All in the container stands still.
    held: bool,
    eyes: Eyes,
}

/// Whether what goes on at the sockets and on the processors is looked at. What a health check does is no use; it cannot be told from what clients do
/// meanwhile, so while there is one, nothing is looked at, and nothing decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eyes {
    Open,
    Closed,
    /// Until then what a check has left goes away.
    Opening(Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has asked yet whether the sockets can be watched.
    New,
    Watching,
    /// The program has its stop signal.
    Stopping,
    /// Nothing will be done any more.
    Off,
}

/// What tells of connections in this process's network namespace; without it the container stays, which is said.
#[must_use]
pub fn diag() -> Option<Diag> {
    Diag::open().inspect_err(cannot).ok()
}

impl Idle {
    /// Watches copies of the plan's sockets, where the plan asks for it and `diag` was opened for it. To be made inside the container. A socket that
    /// cannot be watched is named in the journal, and the container then stays.
    #[must_use]
    pub fn new(plan: &Plan, sockets: &[OwnedFd], diag: Option<Diag>) -> Option<Self> {
        let (definition, diag) = (plan.idle?, diag?);
        let addresses = plan.sockets.iter().map(|grant| grant.listen.address.as_str());
        let watch = match Watch::new(diag, sockets.iter().zip(addresses)) {
            Ok(watch) => watch,
            Err(error) => {
                cannot(&error);
                return None;
            }
        };
        let now = Instant::now();
        let tick = (definition.span() / LOOKS).clamp(TICK[0], TICK[1]);
        Some(Self {
            watch,
            meter: (!definition.ignores_cpu).then(Meter::open).flatten(),
            definition,
            tick,
            phase: Phase::New,
            next: Some(now + tick),
            used: now,
            told: false,
            is_silent: false,
            held: false,
            eyes: Eyes::Open,
        })
    }

    /// When [`Self::step`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.eyes {
            Eyes::Open => self.next,
            Eyes::Closed => None,
            Eyes::Opening(at) => Some(at),
        }
    }

    /// Whether the program is being stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.phase == Phase::Stopping
    }

    /// Does not look at what a health check does, which begins now. What was before it still counts.
    pub fn close_eyes(&mut self, systemd: &Systemd) {
        if self.eyes == Eyes::Open && self.phase == Phase::Watching {
            match self.look() {
                Ok(true) => self.note_use(systemd),
                Ok(false) => {}
                Err(error) => self.give_up(&error),
            }
        }
        self.eyes = Eyes::Closed;
    }

    /// The check has ended.
    pub fn open_eyes(&mut self) {
        if self.eyes == Eyes::Closed {
            self.eyes = Eyes::Opening(Instant::now() + AFTERMATH);
        }
    }

    /// Does what is due. The program is `payload`, and is asked to stop by `stop_signal`; before it is ready, it is in use.
    pub fn step(&mut self, is_ready: bool, payload: Pid, stop_signal: i32, systemd: &Systemd) {
        let now = Instant::now();
        match self.eyes {
            Eyes::Open => {}
            Eyes::Opening(at) if at <= now => {
                self.eyes = Eyes::Open;
                if self.phase == Phase::Watching {
                    // What has come meanwhile may be the check's own. What is still open is found at the next look.
                    let _ = self.look();
                }
            }
            Eyes::Closed | Eyes::Opening(_) => return,
        }
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        self.next = Some(now + self.tick);
        match self.phase {
            _ if !is_ready && self.phase != Phase::Stopping => self.used = now,
            Phase::New => match self.watch.prove() {
                Ok(()) => {
                    self.phase = Phase::Watching;
                    self.used = now;
                    // Lays the wires, and takes the first reading.
                    let _ = self.look();
                }
                Err(error) => self.give_up(&error),
            },
            Phase::Watching => match self.look() {
                Ok(true) => self.note_use(systemd),
                Ok(false) if now.duration_since(self.used) >= self.definition.span() => {
                    if let Err(error) = self.stop(payload, stop_signal, systemd) {
                        self.release();
                        self.give_up(&error);
                    }
                }
                Ok(false) => self.note_idleness(now, systemd),
                Err(error) => self.give_up(&error),
            },
            Phase::Stopping => {
                self.next = None;
                say(
                    Priority::Warning,
                    "the program did not stop when it was idle: killing it",
                );
                company::signal_all(libc::SIGKILL);
            }
            Phase::Off => self.next = None,
        }
    }

    /// What systemd shows of the container's state must not be replaced: something is wrong with it.
    pub fn keep_silent(&mut self) {
        self.is_silent = true;
    }

    /// The container is stopped by somebody else.
    pub fn give_way(&mut self) {
        self.release();
        self.eyes = Eyes::Open;
        self.phase = Phase::Off;
        self.next = None;
    }

    /// How init ends, now that the program has ended so.
    #[must_use]
    pub fn conclude(&self, outcome: Outcome, systemd: &Systemd) -> Outcome {
        if self.phase != Phase::Stopping {
            return outcome;
        }
        // Its children may still accept.
        company::end_all();
        self.watch.open();
        let text = format!(
            "stopped at {}, since it was idle; its sockets stay, and start it again",
            date::utc(SystemTime::now())
        );
        // How well it was does not matter any more.
        systemd.tell_surely(&format!("STATUS={text}\n"));
        Outcome::Exited(0)
    }

    fn look(&mut self) -> io::Result<bool> {
        let computes = self.meter.as_mut().is_some_and(|meter| meter.has_more_than(SHARE));
        Ok(self.watch.glance()? || computes)
    }

    fn note_use(&mut self, systemd: &Systemd) {
        self.used = Instant::now();
        if std::mem::take(&mut self.told) {
            systemd.tell(&systemd.status(""));
        }
    }

    /// Says since when the container is idle, once that has lasted for a while: not between any two requests.
    fn note_idleness(&mut self, now: Instant, systemd: &Systemd) {
        let (since, span) = (now.duration_since(self.used), self.definition.span());
        let rest = span.saturating_sub(since);
        self.next = Some(now + rest.min(self.tick));
        if since >= span / 2 && !self.told && !self.is_silent {
            self.told = true;
            let today = SystemTime::now();
            let text = format!(
                "idle since {}, stops at {} unless it is used",
                date::utc(today - since),
                date::utc(today + rest)
            );
            systemd.tell(&systemd.status(&text));
        }
    }

    /// Asks the program to stop, if there is still nobody.
    fn stop(&mut self, payload: Pid, stop_signal: i32, systemd: &Systemd) -> io::Result<()> {
        if company::has_visitors()? || self.watch.has_hidden_connections()? || self.watch.has_anything()? {
            self.note_use(systemd);
            return Ok(());
        }
        let gated = self.watch.close();
        if gated.any {
            gate::settle();
        }
        if !gated.all {
            self.held = true;
            company::signal_all(libc::SIGSTOP);
            // What hangs in the kernel may have just accepted a connection. It is asked again when the span is over, not at each look.
            if !company::stands_still(STANDSTILL)? {
                self.release();
                self.note_use(systemd);
                return Ok(());
            }
        }
        if (!gated.all && self.watch.has_hidden_connections()?) || self.watch.has_anything()? {
            self.release();
            self.note_use(systemd);
            return Ok(());
        }
        send_signal(payload, stop_signal);
        self.thaw();
        self.phase = Phase::Stopping;
        let patience = self.definition.stop_timeout.map(Duration::from_millis);
        self.next = patience.and_then(|patience| Instant::now().checked_add(patience));
        let span = humane(self.definition.span());
        say(
            Priority::Notice,
            &format!("idle for {span}: stopping until the next connection"),
        );
        // Later than we kill it ourselves, since that is no failure.
        let extension = patience.map_or(String::new(), |patience| {
            format!(
                "EXTEND_TIMEOUT_USEC={}\n",
                (patience + Duration::from_secs(10)).as_micros()
            )
        });
        let status = systemd.status(&format!("idle for {span}, stopping"));
        systemd.tell(&format!("STOPPING=1\n{extension}{status}"));
        Ok(())
    }

    /// Lets everything go on.
    fn release(&mut self) {
        self.watch.open();
        self.thaw();
    }

    fn thaw(&mut self) {
        if std::mem::take(&mut self.held) {
            company::signal_all(libc::SIGCONT);
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        cannot(error);
        self.phase = Phase::Off;
        self.next = None;
    }
}

fn cannot(error: &io::Error) {
    let message =
        format!("'IdleTimeout' has no effect, since it cannot be told whether the container is in use: {error}");
    say(Priority::Warning, &message);
}

/// A span as systemd writes it: `1h 30min`.
fn humane(span: Duration) -> String {
    let mut rest = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    for (length, unit) in [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
        (1, "ms"),
    ] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::humane;
    use std::time::Duration;

    #[test]
    fn spans_are_as_systemd_writes_them() {
        assert_eq!(humane(Duration::from_secs(300)), "5min");
        assert_eq!(humane(Duration::from_millis(5_401_250)), "1h 30min 1s 250ms");
    }
}
