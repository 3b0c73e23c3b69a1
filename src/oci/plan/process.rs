//! What the payload is, or a further process in its container: program, identity, rights, limits.

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::resource::Resource;
use serde_json::Value;

use crate::oci::affinity::Affinity;
use crate::oci::config::{self, Personality, Rlimit};
use crate::plan::capability;
use crate::plan::seccomp::architecture::Machine;
use crate::plan::seccomp::profile::{self, Circumstances, Kernel};
use crate::plan::seccomp::{Filter, Rules};
use crate::sys::capability::{Mask, Sets};
use crate::sys::task::{IoClass, Policy, Schedule};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Absolute, in the container.
    pub working_directory: String,
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// Exactly these supplementary groups.
    pub groups: Vec<u32>,
    /// The umask, if it is not the caller's.
    pub umask: Option<u32>,
    /// The five sets.
    pub capabilities: Sets,
    /// `no_new_privs`.
    pub privileges: Privileges,
    /// setrlimit(2).
    pub rlimits: Vec<Limit>,
    /// `/proc/PID/oom_score_adj`.
    pub oom_score: Option<i32>,
    /// The AppArmor profile.
    pub apparmor: Option<String>,
    /// The SELinux label.
    pub selinux: Option<String>,
    /// ioprio_set(2).
    pub io_priority: Option<(IoClass, u16)>,
    /// sched_setattr(2).
    pub schedule: Option<Schedule>,
    /// personality(2).
    pub personality: Option<u32>,
    /// Which system calls it may make.
    pub seccomp: Option<Seccomp>,
    /// Whether it has a terminal of its own, and how large that is.
    pub terminal: Option<(u16, u16)>,
}

/// Whether exec may give more rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// `no_new_privs` is set.
    Fixed,
    /// It is not.
    MayGrow,
}

/// A limit of setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Which.
    pub resource: Resource,
    /// The soft one.
    pub soft: u64,
    /// The hard one.
    pub hard: u64,
}

/// A filter of system calls, and who answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seccomp {
    /// The filter.
    pub filter: Filter,
    /// `SECCOMP_FILTER_FLAG_…`.
    pub flags: u64,
    /// The socket of the agent that gets the listener, and what it is told.
    pub agent: Option<(String, String)>,
}

/// What is known of the container and its host.
#[derive(Debug, Clone, Copy)]
pub struct Circle<'a> {
    /// `linux.seccomp`.
    pub seccomp: Option<&'a Value>,
    /// `linux.personality`.
    pub personality: Option<&'a Personality>,
    /// The running kernel.
    pub kernel: Kernel,
}

/// Decides a process.
///
/// # Errors
/// No program, a relative directory, a word that is none.
pub fn process(process: &config::Process, circle: Circle<'_>) -> Result<Process> {
    let arguments = process.args.clone().unwrap_or_default();
    ensure!(
        arguments.first().is_some_and(|program| !program.is_empty()),
        "'process.args' names no program"
    );
    let environment = process.env.clone().unwrap_or_default();
    let is_text = |text: &String| !text.contains('\0');
    ensure!(
        arguments.iter().chain(&environment).chain([&process.cwd]).all(is_text),
        "a text of 'process' has a NUL byte"
    );
    ensure!(
        process.cwd.starts_with('/'),
        "'process.cwd' is '{}', which is not absolute",
        process.cwd
    );
    if let Some(affinity) = &process.exec_cpu_affinity {
        // Not of the container's own process, but what is wrong with it is said at once.
        Affinity::parse(affinity).context("'process.execCPUAffinity'")?;
    }
    let capabilities = sets(process.capabilities.as_ref()).context("'process.capabilities'")?;
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Ok(Process {
        arguments,
        environment,
        working_directory: process.cwd.clone(),
        uid: process.user.uid,
        gid: process.user.gid,
        groups: process.user.additional_gids.clone().unwrap_or_default(),
        umask: process.user.umask,
        capabilities,
        privileges: if process.no_new_privileges {
            Privileges::Fixed
        } else {
            Privileges::MayGrow
        },
        rlimits: rlimits(process.rlimits.as_deref().unwrap_or_default())?,
        oom_score: process.oom_score_adj,
        apparmor: text(&process.apparmor_profile).filter(|profile| profile != "unconfined"),
        selinux: text(&process.selinux_label),
        io_priority: process.io_priority.as_ref().map(io_priority).transpose()?,
        schedule: process.scheduler.as_ref().map(schedule).transpose()?,
        personality: circle.personality.map(personality).transpose()?,
        seccomp: circle
            .seccomp
            .map(|seccomp| filter(seccomp, &capabilities, circle.kernel))
            .transpose()
            .context("'linux.seccomp'")?,
        terminal: process
            .terminal
            .then(|| process.console_size.map_or((0, 0), |size| (size.height, size.width))),
    })
}

fn sets(sets: Option<&config::Capabilities>) -> Result<Sets> {
    let Some(sets) = sets else { return Ok(Sets::default()) };
    let mask = |names: &Option<Vec<String>>| -> Result<Mask> {
        let mut mask = 0;
        for name in names.iter().flatten() {
            mask |= capability::named(name).with_context(|| format!("'{name}' is no capability"))?;
        }
        Ok(mask)
    };
    let (permitted, inheritable) = (mask(&sets.permitted)?, mask(&sets.inheritable)?);
    Ok(Sets {
        bounding: mask(&sets.bounding)?,
        effective: mask(&sets.effective)?,
        permitted,
        inheritable,
        // The kernel has none that is not in both. Since engines leave the inheritable set empty (CVE-2022-29162) they still
        // write this one, and mean nothing by it.
        ambient: mask(&sets.ambient)? & permitted & inheritable,
    })
}

fn rlimits(limits: &[Rlimit]) -> Result<Vec<Limit>> {
    let mut decided: Vec<Limit> = Vec::with_capacity(limits.len());
    for Rlimit { kind, hard, soft } in limits {
        let resource = resource(kind).with_context(|| format!("'process.rlimits': '{kind}' is no limit"))?;
        ensure!(
            soft <= hard,
            "'process.rlimits': the soft limit of '{kind}' is above the hard one"
        );
        ensure!(
            decided.iter().all(|limit| limit.resource != resource),
            "'process.rlimits': '{kind}' is there twice"
        );
        decided.push(Limit {
            resource,
            soft: *soft,
            hard: *hard,
        });
    }
    Ok(decided)
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "RLIMIT_AS" => Resource::RLIMIT_AS,
        "RLIMIT_CORE" => Resource::RLIMIT_CORE,
        "RLIMIT_CPU" => Resource::RLIMIT_CPU,
        "RLIMIT_DATA" => Resource::RLIMIT_DATA,
        "RLIMIT_FSIZE" => Resource::RLIMIT_FSIZE,
        "RLIMIT_LOCKS" => Resource::RLIMIT_LOCKS,
        "RLIMIT_MEMLOCK" => Resource::RLIMIT_MEMLOCK,
        "RLIMIT_MSGQUEUE" => Resource::RLIMIT_MSGQUEUE,
        "RLIMIT_NICE" => Resource::RLIMIT_NICE,
        "RLIMIT_NOFILE" => Resource::RLIMIT_NOFILE,
        "RLIMIT_NPROC" => Resource::RLIMIT_NPROC,
        "RLIMIT_RSS" => Resource::RLIMIT_RSS,
        "RLIMIT_RTPRIO" => Resource::RLIMIT_RTPRIO,
        "RLIMIT_RTTIME" => Resource::RLIMIT_RTTIME,
        "RLIMIT_SIGPENDING" => Resource::RLIMIT_SIGPENDING,
        "RLIMIT_STACK" => Resource::RLIMIT_STACK,
        _ => return None,
    })
}

fn io_priority(priority: &config::IoPriority) -> Result<(IoClass, u16)> {
    let class = match priority.class.as_str() {
        "IOPRIO_CLASS_RT" => IoClass::RealTime,
        "IOPRIO_CLASS_BE" => IoClass::BestEffort,
        "IOPRIO_CLASS_IDLE" => IoClass::Idle,
        other => bail!("'process.ioPriority': '{other}' is no class"),
    };
    ensure!(priority.priority < 8, "'process.ioPriority': the priority is 0 to 7");
    Ok((class, priority.priority))
}

fn schedule(scheduler: &config::Scheduler) -> Result<Schedule> {
    let policy = match scheduler.policy.as_str() {
        "SCHED_OTHER" => Policy::Other,
        "SCHED_FIFO" => Policy::Fifo,
        "SCHED_RR" => Policy::RoundRobin,
        "SCHED_BATCH" => Policy::Batch,
        "SCHED_IDLE" => Policy::Idle,
        "SCHED_DEADLINE" => Policy::Deadline,
        other => bail!("'process.scheduler': '{other}' is no policy that is carried out"),
    };
    let mut flags = 0;
    for flag in scheduler.flags.iter().flatten() {
        flags |= match flag.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => bail!("'process.scheduler': '{other}' is no flag"),
        };
    }
    let priority = u32::try_from(scheduler.priority).context("'process.scheduler': the priority is negative")?;
    Ok(Schedule {
        policy,
        flags,
        nice: scheduler.nice,
        priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    })
}

fn personality(personality: &Personality) -> Result<u32> {
    let flags = personality.flags.as_deref().unwrap_or_default();
    ensure!(
        flags.is_empty(),
        "'linux.personality': no flag is known, and there is '{}'",
        flags[0]
    );
    match personality.domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        other => bail!("'linux.personality': the domain is 'LINUX' or 'LINUX32', not '{other}'"),
    }
}

fn filter(seccomp: &Value, capabilities: &Sets, kernel: Kernel) -> Result<Seccomp> {
    let circumstances = Circumstances {
        machine: Machine::HOST,
        kernel,
        capabilities: capabilities.bounding,
    };
    let text = |name: &str| seccomp.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (path, metadata) = (text("listenerPath"), text("listenerMetadata"));
    let mut profile = seccomp.clone();
    if let Some(fields) = profile.as_object_mut() {
        fields.remove("listenerPath");
    }
    let rules: Rules = profile::parse_with(&profile.to_string(), &circumstances, profile::Agent::of_path(&path))?;
    // That call brings the agent the listener by which it answers.
    ensure!(
        !rules.asks_about("sendmsg"),
        "the agent at '{path}' cannot be asked about 'sendmsg' ('SCMP_ACT_NOTIFY'), by which it is reached"
    );
    let mut flags = 0;
    for flag in seccomp
        .get("flags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        flags |= match flag {
            "SECCOMP_FILTER_FLAG_LOG" => libc::SECCOMP_FILTER_FLAG_LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" if !path.is_empty() => {
                libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
            }
            // Without threads there is nothing to synchronise, and without a listener nobody waits; others are refused with the profile.
            _ => 0,
        };
    }
    Ok(Seccomp {
        filter: rules.into_filter()?,
        flags,
        agent: (!path.is_empty()).then_some((path, metadata)),
    })
}
