//! What init does about its payload's health: has it checked, and ends it where its definition says so ([`crate::run::health`]).

use std::time::{Duration, Instant};

use crate::definition::health::Health as Definition;
use crate::run::health::word::Leads;
use crate::run::health::{Consequence, Health};
use crate::run::idle::Idle;
use crate::run::init::Init;
use crate::sys::process::Outcome;

const RESTART: i32 = Definition::RESTART;

/// How long a payload that has never been ready may take to stop, as with Podman. Of others systemd knows (`TimeoutStopSec=`).
const PATIENCE: Duration = Duration::from_secs(10);

/// What becomes of a payload that is not well.
#[derive(Debug, Default)]
pub(super) struct Sentence {
    /// How init ends, where it is not as the payload has ended.
    pub(super) outcome: Option<Outcome>,
    /// When the payload is killed, if it has not ended.
    pub(super) until: Option<Instant>,
}

impl Init<'_> {
    /// Has checks made, and takes them for failed that are not answered.
    pub(super) fn mind_health(&mut self, now: Instant) {
        if self.sentence.until.take_if(|until| *until <= now).is_some() {
            self.forward(libc::SIGKILL);
        }
        let Some(health) = &mut self.health else { return };
        // One that is being stopped for want of use needs none.
        if self.idle.as_ref().is_some_and(Idle::is_stopping) {
            health.give_way();
        }
        // Of a program that listens now it is likely that it answers, too.
        let quiet_at = self.calls.quiet_at();
        quiet_at.flatten().into_iter().for_each(|at| health.hurry(at));
        let mut consequence = health.give_up(now, self.systemd);
        if health.is_due(now) {
            self.idle.iter_mut().for_each(|idle| idle.close_eyes(self.systemd));
            let leads = quiet_at.is_none_or(|quiet| quiet.is_some_and(|quiet| quiet <= now));
            let leads = if leads { Leads::On } else { Leads::Off };
            consequence = consequence.or(health.begin(now, leads, self.systemd));
        }
        self.carry_out(consequence);
    }

    /// Ends a payload that is not well.
    pub(super) fn carry_out(&mut self, consequence: Option<Consequence>) {
        let is_checking = self.health.as_ref().is_some_and(Health::is_checking);
        self.idle.iter_mut().filter(|_| !is_checking).for_each(Idle::open_eyes);
        let Some(consequence) = consequence else { return };
        self.health.iter_mut().for_each(Health::give_way);
        self.idle.iter_mut().for_each(Idle::give_way);
        if consequence == Consequence::Kill {
            self.forward(libc::SIGKILL);
            return;
        }
        self.stopping = true;
        self.systemd.tell_surely("STOPPING=1\n");
        if !self.ready {
            // systemd does not listen to that before it has taken the unit for started, and would wait for as long as a start may take.
            self.sentence.until = Some(Instant::now() + PATIENCE);
        }
        if consequence == Consequence::Restart {
            self.sentence.outcome = Some(Outcome::Exited(RESTART));
        }
        self.forward(self.stop_signal);
    }
}
