//! User namespaces (user_namespaces(7)): maps of identities, and becoming the root of one.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::unistd::{Gid, Pid, Uid, setfsgid, setfsuid, setgroups, setresgid, setresuid};

use crate::sys::{capability, process};

/// A run of identities: those from `inside` on are those from `outside` on to the parent namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Extent {
    /// The first one in the namespace.
    pub inside: u32,
    /// The first one outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.inside, self.outside, self.count)
    }
}

/// Gives the user namespace of process `pid` its maps. This can be done once.
///
/// # Errors
/// `EPERM` without `CAP_SETUID` and `CAP_SETGID`, `EINVAL` for extents that overlap or are too many.
pub fn map_identities(pid: Pid, users: &[Extent], groups: &[Extent]) -> io::Result<()> {
    for (file, extents) in [("uid_map", users), ("gid_map", groups)] {
        let lines: String = extents
            .iter()
            .map(|one| format!("{} {} {}\n", one.inside, one.outside, one.count))
            .collect();
        // One write: the kernel takes the first for the whole.
        File::options()
            .write(true)
            .open(format!("/proc/{pid}/{file}"))?
            .write_all(lines.as_bytes())?;
    }
    Ok(())
}

/// Makes this process the root of its user namespace, in no group but root's.
///
/// # Errors
/// `EINVAL` if the maps have no 0.
pub fn become_root() -> io::Result<()> {
    set_groups(&[])?;
    become_root_in_own_groups()
}

/// The same, and the process stays in the groups that it is in.
///
/// # Errors
/// `EINVAL` if the maps have no 0.
pub fn become_root_in_own_groups() -> io::Result<()> {
    setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))?;
    Ok(setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0))?)
}

/// Gives this process exactly these supplementary groups.
///
/// Whoever has mapped nobody but themself may not give up a group, since something may be forbidden to it (user_namespaces(7)): then this
/// process stays in its own, which its other processes are in too, if it asks for no more than one.
///
/// # Errors
/// What setgroups(2) says.
pub fn set_groups(groups: &[Gid]) -> io::Result<()> {
    match setgroups(groups) {
        Err(Errno::EPERM) if groups.len() <= 1 && !may_set_groups() => Ok(()),
        result => Ok(result?),
    }
}

/// Whether setgroups(2) is allowed in this user namespace.
#[must_use]
pub fn may_set_groups() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|answer| answer.trim() != "deny")
}

/// Forbids setgroups(2) in the user namespace of process `pid`, without which nobody may map a group there who has no right over groups.
///
/// # Errors
/// What open(2) or write(2) says.
pub fn deny_groups(pid: Pid) -> io::Result<()> {
    let mut file = File::options().write(true).open(format!("/proc/{pid}/setgroups"))?;
    file.write_all(b"deny")
}

/// Moves this process into the user and mount namespaces of the process behind `pidfd`: it has all rights in them, and none outside.
///
/// # Errors
/// What setns(2) says: `EPERM` for somebody else's process.
pub fn join(pidfd: &OwnedFd) -> io::Result<()> {
    Ok(setns(pidfd, CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?)
}

/// A process that does nothing but be in a new user namespace, so that this one can be given its maps from outside. It ends with this value,
/// and with the process that has made it.
#[derive(Debug)]
pub struct Holder {
    /// Its id.
    pub pid: Pid,
    pidfd: OwnedFd,
}

impl Holder {
    /// Makes it.
    ///
    /// # Errors
    /// What clone3(2) says: `EPERM` or `ENOSPC` where users may not have namespaces.
    pub fn start() -> io::Result<Self> {
        let pid = process::fork_and_wait_in(libc::CLONE_NEWUSER)?;
        let pidfd = process::pidfd_open(pid)?;
        Ok(Self { pid, pidfd })
    }

    /// Moves this process into the namespace.
    ///
    /// # Errors
    /// What setns(2) says.
    pub fn join(&self) -> io::Result<()> {
        Ok(setns(self.pidfd.as_fd(), CloneFlags::CLONE_NEWUSER)?)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        process::send_signal(self.pid, libc::SIGKILL);
        let _ = nix::sys::wait::waitpid(self.pid, None);
    }
}

/// Whether this process is root in the user namespace that the host began with, or in one that looks like it.
#[must_use]
pub fn is_root_of_all() -> bool {
    let maps = || std::fs::read_to_string("/proc/self/uid_map");
    nix::unistd::geteuid().is_root() && maps().is_ok_and(|text| text.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// Lets the files that this process makes belong to `user` and `group`, and its file systems do what they do as these, without giving
/// up any right (setfsuid(2) takes some away).
///
/// # Errors
/// What capset(2) says.
pub fn make_files_as(user: Uid, group: Gid) -> io::Result<()> {
    setfsgid(group);
    setfsuid(user);
    capability::raise()
}
