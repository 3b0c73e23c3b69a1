//! What a process is given before it becomes another program: scheduling, personality, a keyring, capabilities that outlive a change of user.

use std::io;

use nix::errno::Errno;
use nix::sys::resource::Resource;
use nix::unistd::Pid;

/// A class of ioprio_set(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoClass {
    /// `IOPRIO_CLASS_RT`.
    RealTime,
    /// `IOPRIO_CLASS_BE`.
    BestEffort,
    /// `IOPRIO_CLASS_IDLE`.
    Idle,
}

/// A policy of sched(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `SCHED_OTHER`.
    Other,
    /// `SCHED_FIFO`.
    Fifo,
    /// `SCHED_RR`.
    RoundRobin,
    /// `SCHED_BATCH`.
    Batch,
    /// `SCHED_IDLE`.
    Idle,
    /// `SCHED_DEADLINE`.
    Deadline,
}

/// The arguments of sched_setattr(2); times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the system call's")]
pub struct Schedule {
    pub policy: Policy,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// `struct sched_attr` as the first version has it.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// sched_setattr(2) of this process.
///
/// # Errors
/// `EPERM` without `CAP_SYS_NICE`, `EINVAL` for what does not go together.
pub fn set_schedule(schedule: &Schedule) -> io::Result<()> {
    let policy = match schedule.policy {
        Policy::Other => 0,
        Policy::Fifo => 1,
        Policy::RoundRobin => 2,
        Policy::Batch => 3,
        Policy::Idle => 5,
        Policy::Deadline => 6,
    };
    let attributes = Attributes {
        size: 48,
        policy,
        flags: schedule.flags,
        nice: schedule.nice,
        priority: schedule.priority,
        runtime: schedule.runtime,
        deadline: schedule.deadline,
        period: schedule.period,
    };
    // SAFETY: the kernel reads as many bytes as `size` says, which is the structure's.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })?;
    Ok(())
}

const _: () = assert!(size_of::<Attributes>() == 48);

/// ioprio_set(2) of this process.
///
/// # Errors
/// `EPERM` without the right to the class.
pub fn set_io_priority(class: IoClass, priority: u16) -> io::Result<()> {
    let class: u32 = match class {
        IoClass::RealTime => 1,
        IoClass::BestEffort => 2,
        IoClass::Idle => 3,
    };
    let value = class << 13 | u32::from(priority);
    // SAFETY: plain integers; 1 is IOPRIO_WHO_PROCESS, and 0 this process.
    Errno::result(unsafe { libc::syscall(libc::SYS_ioprio_set, 1, 0, value) })?;
    Ok(())
}

/// prlimit(2): a limit of the process `pid`.
///
/// # Errors
/// `EPERM` without the right to raise it.
pub fn set_limit(pid: Pid, resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: the kernel reads the structure, and writes nothing to a null pointer.
    Errno::result(unsafe { libc::prlimit(pid.as_raw(), resource as _, &raw const limit, std::ptr::null_mut()) })?;
    Ok(())
}

/// personality(2).
///
/// # Errors
/// `EINVAL`.
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: a plain integer.
    Errno::result(unsafe { libc::personality(domain.into()) })?;
    Ok(())
}

/// Leaves the session keyring for a new one, so that the caller's keys are out of reach (keyctl(2)). A kernel without keyrings, or a
/// filter that forbids them, keeps none to be reached.
///
/// # Errors
/// What keyctl(2) says, such as `EDQUOT`.
pub fn join_new_session_keyring(name: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: a valid C string; 1 is KEYCTL_JOIN_SESSION_KEYRING.
    match Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, 1, name.as_ptr()) }) {
        Ok(_) | Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Lets the permitted capabilities outlive a change of user (`PR_SET_KEEPCAPS`), until the next exec.
///
/// # Errors
/// What prctl(2) says.
pub fn keep_capabilities() -> io::Result<()> {
    // SAFETY: prctl with integer arguments.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) })?;
    Ok(())
}

/// Makes this process the one to which orphans below it are given (`PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
/// What prctl(2) says.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: prctl with integer arguments.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })?;
    Ok(())
}
