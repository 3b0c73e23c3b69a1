//! `HealthCmd=` and what goes with it: whether a program is well, as a command inside the container says.

use serde::{Deserialize, Serialize};

/// What is checked, how often, and what follows. All spans are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Health {
    /// `HealthCmd=`, `HealthInterval=`, `HealthTimeout=`.
    pub check: Check,
    /// `HealthRetries=`: so many failures in a row make a container unhealthy.
    pub retries: u32,
    /// `HealthStartPeriod=`: failures before it is over do not count, unless a check has passed.
    pub start_period: u64,
    /// `HealthStartupCmd=`: asked in the place of the other one until it has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Startup>,
    /// `HealthOnFailure=`.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// `HealthMaxLogSize=`: so many bytes at most of what a failed check has written go to the journal.
    pub log_size: usize,
}

/// A command, and when it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// From the beginning of one check to that of the next.
    pub interval: u64,
    /// How long it may take.
    pub timeout: u64,
}

/// `HealthStartupCmd=` and its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Startup {
    /// What is checked.
    pub check: Check,
    /// So many failures end the container, which systemd then starts again; never where it is 0.
    pub retries: u32,
    /// So many must pass in a row, at least one.
    pub successes: u32,
}

/// `HealthOnFailure=`: what becomes of an unhealthy container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// It is said.
    #[default]
    None,
    /// The program is killed: the unit fails, and `Restart=` says what follows.
    Kill,
    /// The program is stopped, and the unit ends with [`Health::RESTART`], after which systemd starts it again in any case.
    Restart,
    /// The program is stopped, and the unit ends as it does.
    Stop,
}

impl OnFailure {
    /// What they are called in a definition.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("none", Self::None),
        ("kill", Self::Kill),
        ("restart", Self::Restart),
        ("stop", Self::Stop),
    ];

    /// What this one is called there.
    #[must_use]
    pub fn word(self) -> &'static str {
        let is_this = |(_, other): &&(&str, Self)| *other == self;
        Self::WORDS.iter().find(is_this).map_or("", |(word, _)| word)
    }
}

impl Health {
    /// The exit status of a unit that is to be started again: `EX_UNAVAILABLE` of sysexits(3).
    pub const RESTART: i32 = 69;

    /// Podman's defaults.
    pub const INTERVAL: u64 = 30_000;
    /// As above.
    pub const TIMEOUT: u64 = 30_000;
    /// As above.
    pub const RETRIES: u32 = 3;
    /// As above.
    pub const LOG_SIZE: usize = 500;

    /// The longest output of a check that is kept.
    pub const LOG_SIZE_MAX: usize = 4096;

    /// The shortest interval and the shortest timeout.
    pub const SHORTEST: u64 = 100;

    /// How long it may take at most until it is known whether the program is well, where that is bounded.
    #[must_use]
    pub fn patience(&self) -> u64 {
        let takes = |check: &Check, times: u32| (check.interval.max(check.timeout)).saturating_mul(times.into());
        let startup = self.startup.as_ref().map_or(0, |startup| {
            let tries = startup.retries.saturating_add(startup.successes.saturating_sub(1));
            takes(&startup.check, tries).saturating_add(startup.check.timeout)
        });
        let regular = takes(&self.check, self.retries).saturating_add(self.check.timeout);
        self.start_period.saturating_add(startup).saturating_add(regular)
    }
}
