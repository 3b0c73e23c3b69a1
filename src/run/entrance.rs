//! The way into a container that runs: a process of it through which its namespaces can be joined (setns(2) on a pidfd).
//!
//! Whoever joins must be allowed to look at that process (ptrace(2), `PTRACE_MODE_READ`). Root may look at everybody, and goes in by the
//! container's init. A user may not look at init, and that is meant: its memory belongs to the host's namespace, since it is a copy of the
//! shim that has not executed anything, and it is not dumpable, so that nobody inside can look at it either, whatever capabilities they have.
//! But who has made a user namespace has all rights over processes whose memory belongs to it, and that is the payload's since its exec.
//! So a user goes in by the payload, and init stays closed to everybody but the host's root.
//!
//! What the payload could do against it is of no use to it. Not dumpable, it can still be looked at by its namespace's owner. In a root or
//! in other namespaces of its own making, for which it must have been given the right, who comes meets what it has made, with the
//! same rights as it had in the container's; the root that is entered is always a mount namespace's, never what chroot(2) made of it. And
//! a user namespace further down is refused.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::sched::CloneFlags;
use nix::unistd::{Pid, geteuid};

use crate::run::handover::{self, Message};
use crate::sys::mount::open_place;
use crate::sys::namespace;
use crate::sys::process::{Outcome, Parent, clone_process, exit, forbid_inspection, pidfd_open, wait_for};

/// A process whose namespaces are the container's.
#[derive(Debug)]
pub struct Entrance {
    process: OwnedFd,
}

impl Entrance {
    /// The way into the container that has this init. It must be what systemd said a moment ago, and be done with building the container.
    ///
    /// # Errors
    /// It is not, or has just ended.
    pub fn find(init: Pid) -> Result<Self> {
        let handle = pidfd_open(init).context("finding the container's init")?;
        // From here on the number is this very process, or nobody's.
        let status = Status::of(init).context("looking at the container's init")?;
        ensure!(
            status.inner_pid() == Some("1") && status.field("Name:") == Some("coracle-init"),
            "the container is not running, or only just starts"
        );
        if geteuid().is_root() {
            return Ok(Self { process: handle });
        }
        payload_of(init).context("looking at the container's program")
    }

    /// The process.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// The process, for one who only wants to know when it ends.
    #[must_use]
    pub fn into_process(self) -> OwnedFd {
        self.process
    }

    /// Moves this process into some of its namespaces.
    ///
    /// # Errors
    /// What setns(2) says: `EPERM` for somebody else's container.
    pub fn join(&self, namespaces: CloneFlags) -> io::Result<()> {
        Ok(nix::sched::setns(self.process.as_fd(), namespaces)?)
    }

    /// The root of its mount namespace, for one who stays outside of that.
    ///
    /// # Errors
    /// What setns(2) says.
    pub fn root(&self) -> Result<OwnedFd> {
        let (giver, taker) = handover::pair()?;
        // Who has joined another user's mount namespace cannot come back: so it is a child that goes, and hands out what it finds.
        let Some(pid) = clone_process(0, Parent::Caller, None).context("making a process")? else {
            drop(taker);
            exit(match self.open_root() {
                Ok(root) => {
                    giver.give(Message::Root, Some(root));
                    0
                }
                Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
            })
        };
        drop(giver);
        let root = taker.await_root();
        match wait_for(pid).context("waiting for a process")? {
            Outcome::Exited(errno @ 1..) => {
                Err(io::Error::from_raw_os_error(errno)).context("joining the container's mount namespace")
            }
            _ => Ok(root.context("opening the container's root")?.0),
        }
    }

    fn open_root(&self) -> io::Result<OwnedFd> {
        forbid_inspection()?;
        // Root needs no other user namespace, and a container may have none of its own.
        let users = match geteuid().is_root() {
            true => CloneFlags::empty(),
            false => CloneFlags::CLONE_NEWUSER,
        };
        self.join(users | CloneFlags::CLONE_NEWNS)?;
        open_place(Path::new("/"))
    }
}

/// The payload of the container whose init is `init`: the first of its children, to which those that have lost their parents are added behind.
fn payload_of(init: Pid) -> Result<Entrance> {
    let children = format!("/proc/{init}/task/{init}/children");
    let children = fs::read_to_string(&children).with_context(|| format!("reading '{children}'"))?;
    let pid = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
    let pid = Pid::from_raw(pid.context("it has just ended")?);
    let process = pidfd_open(pid).context("it has just ended")?;
    let status = Status::of(pid).context("it has just ended")?;
    // Somebody else's by now, if the number was given anew.
    ensure!(
        status.field("PPid:") == Some(init.to_string().as_str()),
        "it has just ended"
    );
    let users = format!("/proc/{pid}/ns/user");
    let users = File::open(&users).with_context(|| format!("opening '{users}'"))?;
    let own = File::open("/proc/self/ns/user").context("opening '/proc/self/ns/user'")?;
    let is_below_ours = namespace::parent(users.as_fd())
        .and_then(|parent| namespace::is_same(parent.as_fd(), own.as_fd()))
        .unwrap_or(false);
    ensure!(
        is_below_ours,
        "it has gone into a user namespace of its own making, or the container is not yours"
    );
    Ok(Entrance { process })
}

/// What `/proc/PID/status` says, which everybody may read.
#[derive(Debug)]
pub struct Status(String);

impl Status {
    /// Of this process.
    ///
    /// # Errors
    /// It is gone.
    pub fn of(pid: Pid) -> io::Result<Self> {
        fs::read_to_string(format!("/proc/{pid}/status")).map(Self)
    }

    /// What stands behind `name`, which ends in a colon.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
    }

    /// Its number in its own PID namespace, if that is not the host's.
    fn inner_pid(&self) -> Option<&str> {
        self.field("NSpid:")?.split_whitespace().skip(1).last()
    }
}

#[cfg(test)]
mod tests {
    use super::{Entrance, Status};
    use nix::unistd::getpid;

    #[test]
    fn only_an_init_is_a_way_in() {
        let error = Entrance::find(getpid()).expect_err("no container").to_string();
        assert!(error.contains("not running"), "{error}");
    }

    #[test]
    fn a_status_has_the_innermost_number() {
        let status = Status("Name:\tx\nPPid:\t12\nNSpid:\t77\t40\t2\n".to_owned());
        assert_eq!((status.inner_pid(), status.field("PPid:")), (Some("2"), Some("12")));
        assert_eq!(Status("NSpid:\t77\n".to_owned()).inner_pid(), None);
    }
}
