//! How a container is, from the results of its checks: starting, healthy, unhealthy. Nothing here runs a check or looks at a clock.
//!
//! A program is asked often until it has answered once, since somebody may wait for that; but of these many tries only those count as failed that lie an
//! interval apart, as if they had been made at that pace.

use std::time::{Duration, Instant};

use crate::definition::health::{Check, Health};

/// The time to the first check, and to the second; each further one comes after twice the time, until that is the interval.
const FIRST: Duration = Duration::from_millis(100);

/// The shortest time between the end of one check and the beginning of the next. [`crate::run::idle`] keeps its eyes closed during a check and for
/// a moment after it, and needs some time in between to see whether a container is in use.
const PAUSE: Duration = Duration::from_millis(250);

/// What is known of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No check has passed, and not enough have failed.
    Starting,
    /// The last check has passed, or not enough have failed since then.
    Healthy,
    /// Too many have failed in a row.
    Unhealthy,
}

impl State {
    /// As it is shown, and read by `coracle list`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Which command is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// `HealthCmd=`.
    Regular,
    /// `HealthStartupCmd=`.
    Startup,
}

/// What a result has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is healthy now.
    Healthy,
    /// It is unhealthy now, after so many failures in a row.
    Unhealthy(u32),
    /// It has not started, after so many failures.
    NotStarted(u32),
}

/// The course that a container's health takes.
#[derive(Debug)]
pub struct Course {
    health: Health,
    which: Which,
    state: State,
    failures: u32,
    successes: u32,
    /// Failures of checks that began earlier do not count.
    counts_from: Instant,
    /// The time to the next check while it is starting.
    gap: Duration,
    /// When the next check is to begin.
    due: Instant,
    /// When the last one has begun.
    last: Option<Instant>,
}

impl Course {
    /// Of a container that has been started at `begun`.
    #[must_use]
    pub fn new(health: Health, begun: Instant) -> Self {
        let which = match health.startup {
            Some(_) => Which::Startup,
            None => Which::Regular,
        };
        let mut course = Self {
            health,
            which,
            state: State::Starting,
            failures: 0,
            successes: 0,
            counts_from: begun,
            gap: FIRST,
            due: begun + FIRST,
            last: None,
        };
        let start_period = Duration::from_millis(course.health.start_period);
        course.counts_from += start_period.max(course.interval());
        course
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// When the next check is to begin.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Which one that is.
    #[must_use]
    pub fn which(&self) -> Which {
        self.which
    }

    /// Its command and its spans.
    #[must_use]
    pub fn check(&self) -> &Check {
        match (&self.health.startup, self.which) {
            (Some(startup), Which::Startup) => &startup.check,
            _ => &self.health.check,
        }
    }

    /// The program is likely to be up from `at` on: if there was no check since then, and none has passed, one is due then at the latest.
    pub fn hurry(&mut self, at: Instant) {
        if self.state == State::Starting && self.last.is_none_or(|last| last < at) {
            self.due = self.due.min(at);
        }
    }

    /// Takes in that the check that was begun at `begun` has passed, or not, by `now`.
    pub fn take(&mut self, has_passed: bool, begun: Instant, now: Instant) -> Option<Change> {
        let before = self.which;
        self.last = Some(begun);
        let change = match has_passed {
            true => self.pass(now),
            false => self.fail(begun),
        };
        let gap = match self.state {
            State::Starting if self.which != before => Duration::ZERO,
            State::Starting => {
                let gap = self.gap;
                self.gap = (gap * 2).min(self.interval());
                // Not past the moment from which one counts.
                match self.counts_from.checked_duration_since(begun) {
                    Some(rest) if !rest.is_zero() => gap.min(rest),
                    _ => gap,
                }
            }
            State::Healthy | State::Unhealthy => self.interval(),
        };
        let pause = match self.state {
            State::Starting => PAUSE.min(gap / 2),
            State::Healthy | State::Unhealthy => PAUSE,
        };
        self.due = (begun + gap).max(now + pause);
        change
    }

    fn pass(&mut self, now: Instant) -> Option<Change> {
        self.failures = 0;
        self.successes += 1;
        match (&self.health.startup, self.which) {
            (Some(startup), Which::Startup) => {
                if self.successes >= startup.successes {
                    self.which = Which::Regular;
                    self.gap = FIRST;
                    self.counts_from = now + self.interval();
                }
                None
            }
            _ => {
                let before = std::mem::replace(&mut self.state, State::Healthy);
                (before != State::Healthy).then_some(Change::Healthy)
            }
        }
    }

    fn fail(&mut self, begun: Instant) -> Option<Change> {
        self.successes = 0;
        if self.state == State::Starting {
            if begun < self.counts_from {
                return None;
            }
            self.counts_from = begun + self.interval();
        }
        self.failures = self.failures.saturating_add(1);
        match (&self.health.startup, self.which) {
            (Some(startup), Which::Startup) => {
                let is_over = startup.retries > 0 && self.failures >= startup.retries;
                is_over.then_some(Change::NotStarted(self.failures))
            }
            _ if self.failures >= self.health.retries && self.state != State::Unhealthy => {
                self.state = State::Unhealthy;
                Some(Change::Unhealthy(self.failures))
            }
            _ => None,
        }
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(self.check().interval)
    }
}

#[cfg(test)]
mod tests;
