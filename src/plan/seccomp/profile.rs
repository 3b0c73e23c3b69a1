//! A profile of the user's own (`SeccompProfile=`), in the JSON form that Docker and Podman take.
//!
//! The old forms are taken as Docker takes them: `name` for `names`, `architectures` for `archMap`. Fields that mean nothing here are
//! ignored, as is a call that does not exist, since profiles name the calls of all architectures and kernels; an action, an operator or an
//! architecture that does not exist is a mistake, because leaving it out would change what is let through.
//!
//! Nothing here opens a file: the text is read where the start is prepared.

use std::borrow::Cow;

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use serde::Deserialize;

use crate::plan::capability;
use crate::plan::seccomp::architecture::{Architecture, Machine};
use crate::plan::seccomp::call::Call;
use crate::plan::seccomp::{Action, Comparison, Condition, Rule, Rules};
use crate::sys::capability::Mask;

/// No profile is longer: the one that is shared has some 20 KiB.
pub const LONGEST: u64 = 1 << 20;

/// A filter holds no more, counted for each call: a condition takes an instruction at least ([`crate::sys::bpf::LONGEST`]).
const MOST_CONDITIONS: usize = 4096;

const TOO_MANY: &str = "it has more conditions on arguments than a filter can hold";

/// A kernel's version: its first two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel(pub u32, pub u32);

/// What decides about the conditional parts of a profile.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// The machine.
    pub machine: Machine,
    /// The running kernel.
    pub kernel: Kernel,
    /// The payload's bounding set.
    pub capabilities: Mask,
}

/// The rules of the profile `text`.
///
/// # Errors
/// The text is no profile.
pub fn parse(text: &str, circumstances: &Circumstances) -> Result<Rules> {
    parse_with(text, circumstances, Agent::Nobody)
}

/// Who answers calls that a filter asks about (`SCMP_ACT_NOTIFY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    /// Nobody, so no profile may ask.
    Nobody,
    /// A program of the caller's.
    Program,
}

impl Agent {
    /// The one that listens at `path`, if that is any.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        if path.is_empty() { Self::Nobody } else { Self::Program }
    }
}

/// The same where calls may be answered by `agent`.
///
/// # Errors
/// The text is no profile.
pub fn parse_with(text: &str, circumstances: &Circumstances, agent: Agent) -> Result<Rules> {
    let profile: Profile = serde_json::from_str(text).context("it is no profile")?;
    ensure!(
        profile.listener_path.as_deref().is_none_or(str::is_empty),
        "'listenerPath' is not carried out: nobody would answer"
    );
    for flag in profile.flags.iter().flatten() {
        ensure!(FLAGS.contains(&flag.as_str()), "'{flag}' is no flag of a filter");
    }
    let default = action(
        &profile.default_action,
        number(profile.default_errno_ret, profile.default_errno.as_deref())?,
    )
    .context("'defaultAction'")?;
    let (mut rules, mut conditions) = (Vec::new(), 0);
    for (position, syscall) in profile.syscalls.iter().flatten().enumerate() {
        let place = || match syscall.all_names().next() {
            Some(name) => format!("entry {} of 'syscalls', for '{name}'", position + 1),
            None => format!("entry {} of 'syscalls'", position + 1),
        };
        ensure!(
            agent == Agent::Program || syscall.action != "SCMP_ACT_NOTIFY",
            "{}: 'SCMP_ACT_NOTIFY' is not carried out: nobody would answer",
            place()
        );
        let new = syscall.rules(circumstances).with_context(place)?;
        conditions += new
            .iter()
            .map(|rule| rule.calls.len() * rule.conditions.len())
            .sum::<usize>();
        ensure!(conditions <= MOST_CONDITIONS, TOO_MANY);
        rules.extend(new);
    }
    ensure!(
        default != Action::Notify,
        "'defaultAction': 'SCMP_ACT_NOTIFY' would leave the agent itself without an answer"
    );
    Ok(Rules {
        machine: circumstances.machine,
        architectures: architectures(&profile, circumstances.machine)?,
        default,
        rules,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    default_errno: Option<String>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<Family>>,
    flags: Option<Vec<String>>,
    listener_path: Option<String>,
    syscalls: Option<Vec<Syscall>>,
}

/// A machine, and which other tables are filtered on it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Family {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Syscall {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    errno: Option<String>,
    args: Option<Vec<Argument>>,
    includes: Option<Selection>,
    excludes: Option<Selection>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    value_two: Option<u64>,
    op: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    arches: Option<Vec<String>>,
    caps: Option<Vec<String>>,
    min_kernel: Option<String>,
}

impl Syscall {
    fn all_names(&self) -> impl Iterator<Item = &str> {
        let old = self.name.iter().filter(|name| !name.is_empty());
        self.names.iter().flatten().chain(old).map(String::as_str)
    }

    /// Nothing where the entry does not apply to this start.
    fn rules(&self, circumstances: &Circumstances) -> Result<Vec<Rule>> {
        let is_given = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
        ensure!(
            !(is_given(&self.name) && self.names.as_ref().is_some_and(|names| !names.is_empty())),
            "'name' and 'names' exclude one another"
        );
        let action = action(&self.action, number(self.errno_ret, self.errno.as_deref())?)?;
        let conditions = self
            .args
            .iter()
            .flatten()
            .map(Argument::condition)
            .collect::<Result<Vec<_>>>()?;
        let (includes, excludes) = (self.includes.as_ref(), self.excludes.as_ref());
        let included = includes.map_or(Ok(true), |includes| includes.includes(circumstances))?;
        let excluded = excludes.map_or(Ok(false), |excludes| excludes.excludes(circumstances))?;
        let mut calls: Vec<Call> = self.all_names().filter_map(Call::named).collect();
        calls.sort_unstable();
        calls.dedup();
        if !included || excluded || calls.is_empty() {
            return Ok(Vec::new());
        }
        ensure!(calls.len() * conditions.len() <= MOST_CONDITIONS, TOO_MANY);
        let rule = |conditions| Rule {
            calls: Cow::Owned(calls.clone()),
            action,
            conditions,
        };
        // Several conditions on one argument are alternatives: so runc has it, for profiles from before there was an "and".
        let mut seen = [false; 6];
        let is_seen = |condition: &Condition| {
            let place = seen.get_mut(usize::from(condition.argument));
            place.is_some_and(|place| std::mem::replace(place, true))
        };
        let twice = conditions.iter().any(is_seen);
        Ok(if twice {
            conditions.into_iter().map(|condition| rule(vec![condition])).collect()
        } else {
            vec![rule(conditions)]
        })
    }
}

impl Argument {
    fn condition(&self) -> Result<Condition> {
        ensure!(self.index < 6, "a call has the arguments 0 to 5, and no {}", self.index);
        let value = self.value;
        let comparison = match self.op.as_str() {
            "SCMP_CMP_NE" => Comparison::NotEqual(value),
            "SCMP_CMP_LT" => Comparison::Less(value),
            "SCMP_CMP_LE" => Comparison::AtMost(value),
            "SCMP_CMP_EQ" => Comparison::Equal(value),
            "SCMP_CMP_GE" => Comparison::AtLeast(value),
            "SCMP_CMP_GT" => Comparison::Greater(value),
            "SCMP_CMP_MASKED_EQ" => Comparison::Masked {
                mask: value,
                value: self.value_two.unwrap_or_default(),
            },
            other => bail!("'{other}' is no operator"),
        };
        Ok(Condition {
            argument: self.index,
            comparison,
        })
    }
}

impl Selection {
    /// Whether all of it holds.
    fn includes(&self, circumstances: &Circumstances) -> Result<bool> {
        let machine = circumstances.machine.name();
        let is_here = self
            .arches
            .as_ref()
            .is_none_or(|names| names.is_empty() || names.iter().any(|name| name == machine));
        let mut caps = self.caps.iter().flatten();
        Ok(is_here
            && caps.all(|name| capability::holds(circumstances.capabilities, name))
            && self.kernel()?.is_none_or(|kernel| circumstances.kernel >= kernel))
    }

    /// Whether any of it holds.
    fn excludes(&self, circumstances: &Circumstances) -> Result<bool> {
        let machine = circumstances.machine.name();
        let mut caps = self.caps.iter().flatten();
        Ok(self.arches.iter().flatten().any(|name| name == machine)
            || caps.any(|name| capability::holds(circumstances.capabilities, name))
            || self.kernel()?.is_some_and(|kernel| circumstances.kernel >= kernel))
    }

    fn kernel(&self) -> Result<Option<Kernel>> {
        let Some(text) = self.min_kernel.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let numbers = text
            .split_once('.')
            .and_then(|(major, minor)| Some(Kernel(major.parse().ok()?, minor.parse().ok()?)));
        numbers
            .map(Some)
            .with_context(|| format!("'minKernel' cannot be '{text}', but is two numbers such as '6.1'"))
    }
}

/// The error's number: Podman writes its name beside it.
fn number(number: Option<u32>, name: Option<&str>) -> Result<Option<u16>> {
    let Some(name) = name.filter(|name| !name.is_empty() && number.is_none()) else {
        let number = number.map(u16::try_from).transpose();
        return number.context("an error number is at most 65535");
    };
    let is_named = |number: &u16| format!("{:?}", Errno::from_raw(i32::from(*number))) == name;
    let known = (1..LAST_ERRNO).find(is_named);
    known.map(Some).with_context(|| format!("'{name}' is no error"))
}

fn action(name: &str, number: Option<u16>) -> Result<Action> {
    let eperm = 1;
    Ok(match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_ERRNO" => {
            let errno = number.unwrap_or(eperm);
            ensure!(errno < 4096, "an error number is at most 4095, not {errno}");
            Action::Errno(errno)
        }
        "SCMP_ACT_TRACE" => Action::Trace(number.unwrap_or(eperm)),
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_NOTIFY" => Action::Notify,
        other => bail!("'{other}' is no action"),
    })
}

/// The tables that are filtered, the machine's own first.
fn architectures(profile: &Profile, machine: Machine) -> Result<Vec<Architecture>> {
    let map = profile.arch_map.as_deref().unwrap_or_default();
    let listed = profile.architectures.as_deref().unwrap_or_default();
    ensure!(
        map.is_empty() || listed.is_empty(),
        "'architectures' and 'archMap' exclude one another"
    );
    let native = Architecture::native(machine);
    let mut names: Vec<&str> = listed.iter().map(String::as_str).collect();
    for family in map {
        check(&family.architecture)?;
        for sub in family.sub_architectures.iter().flatten() {
            check(sub)?;
            if family.architecture == native.name() {
                names.push(sub);
            }
        }
    }
    names.iter().try_for_each(|name| check(name))?;
    let mut architectures = vec![native];
    let others = machine.architectures().iter().filter(|other| **other != native);
    architectures.extend(others.filter(|other| names.contains(&other.name())));
    Ok(architectures)
}

/// A name that is misspelt is a mistake; one of another machine is not.
fn check(name: &str) -> Result<()> {
    let bare = name.strip_prefix("SCMP_ARCH_").unwrap_or_default();
    ensure!(ARCHITECTURES.contains(&bare), "'{name}' is no architecture");
    Ok(())
}

/// What libseccomp knows.
const ARCHITECTURES: [&str; 24] = [
    "NATIVE",
    "X86",
    "X86_64",
    "X32",
    "ARM",
    "AARCH64",
    "LOONGARCH64",
    "M68K",
    "MIPS",
    "MIPSEL",
    "MIPS64",
    "MIPSEL64",
    "MIPS64N32",
    "MIPSEL64N32",
    "PARISC",
    "PARISC64",
    "PPC",
    "PPC64",
    "PPC64LE",
    "RISCV64",
    "S390",
    "S390X",
    "SH",
    "SHEB",
];

/// What runtimes set at the kernel. Without threads there is nothing to synchronise; logging and speculation stay as the host has them.
const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// Behind the highest error number that has a name.
const LAST_ERRNO: u16 = 134;
