//! Whether the payload is well: init's side of `HealthCmd=`.
//!
//! A check runs inside the container, as the payload's user and with its rights. Init itself has given up what that takes, and it may wait for
//! nobody; so where a definition has a check, and only there, it forks a process before ([`nursery`]) that starts one check after the other, kills it
//! with all that it has started when its time is over, and tells how it went. When a check is due, what its result means, and what follows, is init's:
//! [`course`] decides, and has no clock. A nursery that does not answer, since somebody in the container has stopped or killed it, is a failed check.
//!
//! What is said is a line in the journal for each change, and the beginning of the unit's status text, from where `coracle list` has it.

pub mod course;
pub mod lead;
pub mod nursery;
pub mod offspring;
pub mod word;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::MsgFlags;
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::definition::health::OnFailure;
use crate::plan::Plan;
use crate::run::failure::{Priority, one_line, say};
use crate::run::health::course::{Change, Course, State};
use crate::run::health::lead::{Lead, Way};
use crate::run::health::word::{LONGEST, Leads, Report, Request};
use crate::run::notify::Systemd;
use crate::sys::process::{Parent, clone_process};
use crate::sys::socket;

/// What checks need and only the shim has.
#[derive(Debug)]
pub struct Dowry {
    /// The payload's umask.
    pub mask: Mode,
    /// The ways to the payload's own sockets.
    pub ways: Vec<Way>,
}

/// How much longer than its timeout a check may take, until the nursery is taken for one that does not answer.
const GRACE: Duration = Duration::from_secs(3);

/// What init knows of its payload's health.
#[derive(Debug)]
pub struct Health {
    course: Course,
    on_failure: OnFailure,
    log_size: usize,
    /// The nursery; nothing where it is gone.
    link: Option<OwnedFd>,
    nursery: Option<Pid>,
    asked: Option<Asked>,
    number: u32,
    /// What it is asked does not matter any more.
    is_off: bool,
}

/// A check that runs.
#[derive(Debug)]
struct Asked {
    number: u32,
    begun: Instant,
    /// When it has failed, if there is no answer; nothing where it has, and may still be answered.
    until: Option<Instant>,
}

/// What becomes of a container whose checks have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Its program is killed.
    Kill,
    /// It is stopped, and is to be started again.
    Restart,
    /// It is stopped.
    Stop,
}

impl Health {
    /// Forks the nursery, where `plan` has a check. To be called inside the container, with all rights.
    #[must_use]
    pub fn start(plan: &Plan, dowry: Dowry, systemd: &Systemd) -> Option<Self> {
        let health = plan.health.as_ref()?;
        systemd.name(State::Starting.word());
        let forked = socket::pair().and_then(|(own, other)| match clone_process(0, Parent::Caller, None)? {
            None => nursery::run(plan, health, dowry.mask, other, Lead::new(dowry.ways)),
            Some(pid) => Ok((own, pid)),
        });
        let forked = forked.inspect_err(|error| {
            say(Priority::Warning, &format!("no health check can be made: {error}"));
        });
        let (link, nursery) = forked.ok().unzip();
        Some(Self {
            course: Course::new(health.clone(), Instant::now()),
            on_failure: health.on_failure,
            log_size: health.log_size,
            link,
            nursery,
            asked: None,
            number: 0,
            is_off: false,
        })
    }

    /// When there is something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let asked = self.asked.as_ref().and_then(|asked| asked.until);
        (!self.is_off).then(|| asked.unwrap_or(self.course.due()))
    }

    /// Whether a check is due.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        !self.is_off && !self.is_checking() && self.course.due() <= now
    }

    /// Whether a check has passed, and not too many have failed since.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.course.state() == State::Healthy
    }

    /// Whether the nursery is at work on a check.
    #[must_use]
    pub fn is_checking(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.until.is_some())
    }

    /// The payload is likely to be up from `at` on: if it is still taken for one that is starting, the next check comes then at the latest.
    pub fn hurry(&mut self, at: Instant) {
        self.course.hurry(at);
    }

    /// Has a check made that is due. Where none can be, it has failed.
    pub fn begin(&mut self, now: Instant, leads: Leads, systemd: &Systemd) -> Option<Consequence> {
        if let (Some(link), None) = (&self.link, &self.asked) {
            self.number = self.number.wrapping_add(1);
            let request = Request {
                number: self.number,
                which: self.course.which(),
                leads,
            };
            if socket::send_now(link.as_fd(), &request.bytes()).is_ok() {
                let patience = Duration::from_millis(self.course.check().timeout) + GRACE;
                self.asked = Some(Asked {
                    number: self.number,
                    begun: now,
                    until: Some(now + patience),
                });
                return None;
            }
        }
        let why = match self.nursery {
            Some(_) => "nothing runs it, as if it had been stopped",
            None => "nothing is there to run it any more",
        };
        self.conclude(None, why, now, now, systemd)
    }

    /// Takes in what the nursery tells.
    pub fn hear(&mut self, systemd: &Systemd) -> Option<Consequence> {
        let mut bytes = [0; LONGEST];
        let link = self.link.as_ref()?;
        let length = match socket::receive(link.as_fd(), &mut bytes, 0, MsgFlags::MSG_DONTWAIT) {
            Ok((length @ 1.., _)) => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
            // It has ended. What it was asked for is not to come.
            _ => {
                self.link = None;
                self.nursery = None;
                let asked = self.asked.take()?;
                asked.until?;
                let why = "what runs it was killed";
                return self.conclude(None, why, asked.begun, Instant::now(), systemd);
            }
        };
        let report = bytes.get(..length).and_then(Report::parse)?;
        let asked = self.asked.take_if(|asked| asked.number == report.number)?;
        // An answer that comes too late only says that there is somebody again.
        asked.until?;
        let why = report.why(self.log_size);
        self.conclude(Some(&report), &why, asked.begun, Instant::now(), systemd)
    }

    /// Does not wait any longer for a nursery that does not answer.
    pub fn give_up(&mut self, now: Instant, systemd: &Systemd) -> Option<Consequence> {
        let asked = self.asked.as_mut()?;
        asked.until.take_if(|until| *until <= now)?;
        let begun = asked.begun;
        self.conclude(None, "nothing runs it, as if it had been stopped", begun, now, systemd)
    }

    /// Makes no check any more: the payload is being stopped.
    pub fn give_way(&mut self) {
        self.is_off = true;
    }

    /// Says what has changed.
    fn conclude(
        &mut self,
        report: Option<&Report>,
        why: &str,
        begun: Instant,
        now: Instant,
        systemd: &Systemd,
    ) -> Option<Consequence> {
        if self.is_off {
            return None;
        }
        let has_passed = report.is_some_and(Report::has_passed);
        let change = self.course.take(has_passed, begun, now);
        let why = one_line(why);
        let consequence = match change {
            Some(Change::Unhealthy(_)) => match self.on_failure {
                OnFailure::None => None,
                OnFailure::Kill => Some(Consequence::Kill),
                OnFailure::Restart => Some(Consequence::Restart),
                OnFailure::Stop => Some(Consequence::Stop),
            },
            Some(Change::NotStarted(_)) => Some(Consequence::Restart),
            Some(Change::Healthy) | None => None,
        };
        let what = match consequence {
            None => "",
            Some(Consequence::Kill) => ", killing it",
            Some(Consequence::Restart) => ", starting it anew",
            Some(Consequence::Stop) => ", stopping it",
        };
        match change {
            None if self.course.state() == State::Starting && !has_passed => {
                systemd.call(&format!("{}: {why}", State::Starting.word()));
            }
            None => {}
            Some(Change::Healthy) => {
                say(Priority::Notice, "healthy");
                systemd.call(State::Healthy.word());
            }
            Some(Change::Unhealthy(failures) | Change::NotStarted(failures)) => {
                let word = State::Unhealthy.word();
                let failed = match failures {
                    1 => "a health check failed".to_owned(),
                    _ => format!("{failures} health checks in a row failed, the last one"),
                };
                say(Priority::Warning, &format!("{word}{what}: {failed}: {why}"));
                systemd.call(&format!("{word}{what}: {why}"));
            }
        }
        consequence
    }

    /// The nursery's end.
    #[must_use]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.link.as_ref().map(OwnedFd::as_fd)
    }
}
