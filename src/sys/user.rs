//! User namespaces (user_namespaces(7)): maps of identities, and becoming the root of one.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
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

/// Locks byte `position` of `file` against every other open file description, until the last copy of this one is closed.
/// False if somebody else has it (fcntl(2), "Open file description locks").
///
/// # Errors
/// What fcntl(2) says.
pub fn lock_byte(file: &OwnedFd, position: u32) -> io::Result<bool> {
    // SAFETY: all bytes zero is a valid flock.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = WRITE_LOCK;
    lock.l_start = position.into();
    lock.l_len = 1;
    // SAFETY: the request reads a flock.
    match Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Locks byte `position` of `file` together with others who do so, until the last copy of this description is closed; waits for one who has
/// it alone.
///
/// # Errors
/// What fcntl(2) says.
pub fn share_byte(file: &OwnedFd, position: u32) -> io::Result<()> {
    // SAFETY: all bytes zero is a valid flock, and F_RDLCK is 0.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_start = position.into();
    lock.l_len = 1;
    // SAFETY: the request reads a flock.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &raw const lock) })?;
    Ok(())
}

/// `F_WRLCK` and `SEEK_SET`, which is 0, as wide as the structure has them.
const WRITE_LOCK: libc::c_short = 1;

#[cfg(test)]
mod tests {
    use super::{lock_byte, share_byte};
    use std::fs::File;
    use std::os::fd::OwnedFd;

    #[test]
    fn a_shared_byte_is_nobodys_alone() {
        let path = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
        let open = || OwnedFd::from(File::options().read(true).write(true).open(&path).expect("opening"));
        let (one, two, other) = (open(), open(), open());
        share_byte(&one, u32::MAX).expect("sharing");
        share_byte(&two, u32::MAX).expect("sharing");
        drop(one);
        assert!(!lock_byte(&other, u32::MAX).expect("trying"));
        drop(two);
        assert!(lock_byte(&other, u32::MAX).expect("locking"));
    }

    #[test]
    fn a_byte_is_locked_until_its_last_copy_is_closed() {
        let path = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
        let open = || OwnedFd::from(File::options().write(true).open(&path).expect("opening"));
        let (one, other) = (open(), open());
        assert!(lock_byte(&one, 7).expect("locking") && lock_byte(&other, 8).expect("locking"));
        assert!(!lock_byte(&other, 7).expect("trying"));
        let copy = one.try_clone().expect("a copy");
        drop(one);
        assert!(!lock_byte(&other, 7).expect("trying"));
        drop(copy);
        assert!(lock_byte(&other, 7).expect("locking"));
    }
}
