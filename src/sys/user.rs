//! User namespaces (user_namespaces(7)): maps of identities, and becoming the root of one.

use std::fs::File;
use std::io::{self, Write as _};

use nix::unistd::{Gid, Pid, Uid, setfsgid, setfsuid, setgroups, setresgid, setresuid};

use crate::sys::capability;

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
    setgroups(&[])?;
    setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))?;
    Ok(setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0))?)
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
