//! Which system calls the payload may make (seccomp(2)): the default profile, or the user's own, as rules and as the program that the
//! kernel runs.
//!
//! Rules are made for one start: what a profile ties to capabilities, to the architecture or to the kernel is decided here, once. The
//! rules are what `coracle show --plan` prints; [`compile`] makes the program of them, in some microseconds, so that it need not be
//! kept anywhere.
//!
//! How rules go together is as libseccomp has it, which the profiles were written for: a rule without conditions beats those
//! with, the first of several without counts, and a rule that says what the default says is none. Where several conditions hold at once,
//! the strictest answer counts, which libseccomp leaves open.

pub mod architecture;
pub mod call;
pub mod compile;
pub mod default;
pub mod fate;
pub mod profile;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use anyhow::Result;

use crate::plan::seccomp::architecture::{Architecture, Machine};
use crate::plan::seccomp::call::Call;
use crate::plan::seccomp::fate::{Fate, Fates};
use crate::sys::bpf::Instruction;
use crate::sys::capability::Mask;

/// The filter of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// What is decided about which calls.
    pub rules: Rules,
    /// When it is installed.
    pub moment: Moment,
}

/// When a filter is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// While the root is built: it lets through all that comes after.
    Early,
    /// As the last thing before the exec: it may forbid anything.
    Last,
}

/// What is decided about which calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The machine that they are for.
    pub machine: Machine,
    /// The tables whose calls are decided; a call of any other ends the process. The machine's own is always among them.
    pub architectures: Vec<Architecture>,
    /// The answer to all other calls.
    pub default: Action,
    /// In the order of the profile.
    pub rules: Vec<Rule>,
}

/// What is decided about some calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The calls.
    pub calls: Cow<'static, [Call]>,
    /// The answer.
    pub action: Action,
    /// All of them must hold; none for all calls whatever the arguments.
    pub conditions: Vec<Condition>,
}

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, from 0 to 5.
    pub argument: u8,
    /// What it must be.
    pub comparison: Comparison,
}

/// Comparisons of unsigned 64-bit numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Equal(u64),
    /// Not equal.
    NotEqual(u64),
    /// Less.
    Less(u64),
    /// Less or equal.
    AtMost(u64),
    /// Greater.
    Greater(u64),
    /// Greater or equal.
    AtLeast(u64),
    /// The bits of `mask` are those of `value`.
    Masked {
        /// The bits that matter.
        mask: u64,
        /// What they are.
        value: u64,
    },
}

/// The answer to a call, the strictest first, which is the kernel's own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The process is killed.
    KillProcess,
    /// The thread is killed.
    KillThread,
    /// The process is sent SIGSYS.
    Trap,
    /// The call fails with this error.
    Errno(u16),
    /// An agent answers it (seccomp_unotify(2)).
    Notify,
    /// A tracer is told.
    Trace(u16),
    /// The call is made, and noted in the kernel's log.
    Log,
    /// The call is made.
    Allow,
}

impl Rules {
    /// Whether the call of this name is made, whatever its arguments.
    #[must_use]
    pub fn lets_through(&self, name: &str) -> bool {
        let fates = Fates::of(self);
        let fate = Call::named(name).and_then(|call| fates.calls.get(call.index()).copied());
        matches!(fate, Some(Fate::Plain(Action::Allow | Action::Log)))
    }

    /// Whether an agent answers the call of this name, for some arguments at least.
    #[must_use]
    pub fn asks_about(&self, name: &str) -> bool {
        let fates = Fates::of(self);
        let fate = Call::named(name).and_then(|call| fates.calls.get(call.index()).copied());
        match fate {
            Some(Fate::Plain(action)) => action == Action::Notify,
            Some(Fate::Conditional(group)) => {
                let cases = fates.groups.get(usize::from(group));
                cases.is_some_and(|cases| cases.iter().any(|case| case.action == Action::Notify))
            }
            None => false,
        }
    }

    /// The filter that carries them out.
    ///
    /// # Errors
    /// Its program is longer than the kernel takes.
    pub fn into_filter(self) -> Result<Filter> {
        compile::compile(&self)?;
        Ok(Filter {
            rules: self,
            moment: Moment::Last,
        })
    }
}

impl Filter {
    /// The rules for the kernel. They are compiled by the process that installs them, beside whatever others do meanwhile.
    ///
    /// # Errors
    /// None that can be seen: the program of a filter is short enough.
    pub fn program(&self) -> Result<Vec<Instruction>> {
        compile::compile(&self.rules)
    }
}

/// The default profile for a payload with `capabilities`.
#[must_use]
pub fn default(machine: Machine, capabilities: Mask) -> Filter {
    Filter {
        rules: Rules {
            machine,
            architectures: machine.architectures().to_vec(),
            default: default::ANSWER,
            rules: default::rules(capabilities),
        },
        moment: Moment::Early,
    }
}

impl Action {
    /// As a filter returns it (`SECCOMP_RET_…`).
    #[must_use]
    pub fn answer(self) -> u32 {
        match self {
            Self::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
            Self::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Self::Trap => libc::SECCOMP_RET_TRAP,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Self::Trace(data) => libc::SECCOMP_RET_TRACE | u32::from(data),
            Self::Log => libc::SECCOMP_RET_LOG,
            Self::Allow => libc::SECCOMP_RET_ALLOW,
        }
    }
}

impl Comparison {
    /// Whether it holds for `argument`.
    #[must_use]
    pub const fn holds(self, argument: u64) -> bool {
        match self {
            Self::Equal(value) => argument == value,
            Self::NotEqual(value) => argument != value,
            Self::Less(value) => argument < value,
            Self::AtMost(value) => argument <= value,
            Self::Greater(value) => argument > value,
            Self::AtLeast(value) => argument >= value,
            Self::Masked { mask, value } => argument & mask == value & mask,
        }
    }
}
