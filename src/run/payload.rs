//! The payload, from the side of whoever starts it: a process that is forked early, prepares itself, and waits to be executed.
//!
//! What a process does before it is a payload takes as long as all mounts together, and little of it needs a root: filters of system calls, a
//! session, signals, descriptors. So init forks it before there is a root, and both are at work at the same time, each on a processor of its
//! own where there are two. When init has entered the root it says so, and the child does the rest ([`child`]).

pub mod child;
pub mod link;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Error, Result, anyhow};
use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::plan::Plan;
use crate::plan::seccomp::Moment;
use crate::run::failure::{EXEC, Failure, NAMESPACE, OrFail as _};
use crate::run::payload::child::Child;
use crate::run::payload::link::{Link, Word};
use crate::run::{label, program};
use crate::sys::memory::Shared;
use crate::sys::process::{Parent, clone_process};
use crate::sys::seccomp::Listener;

/// A payload that has been executed.
#[derive(Debug)]
pub struct Payload {
    /// Its process.
    pub pid: Pid,
    /// Where its bind(2) and listen(2) are answered.
    pub listener: Option<Listener>,
}

/// Who starts a program in a container, and whom it must not outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starter {
    /// Init, with which all in the container ends.
    Init,
    /// A process beside the payload that runs one program after the other ([`crate::run::health`]).
    Nursery,
    /// A process that has joined the container, on behalf of its parent: the program is that one's child, and is killed with it.
    Attached,
    /// The same, but the program goes on by itself.
    Detached,
}

/// A process that is to become the payload, and waits. It ends with the one that has made it, if it is not executed before.
#[derive(Debug)]
pub struct Prepared {
    pid: Pid,
    link: Link,
    /// What execve(2) says, where the child cannot say it itself any more.
    refused: Option<Shared<AtomicI32>>,
}

impl Prepared {
    /// Forks a process that is to become the payload of `plan`, with the umask `mask`. It gets the sockets, and what it has left in its last run.
    ///
    /// # Errors
    /// What fork(2) says.
    pub fn new(plan: &Plan, [sockets, stored]: [&[OwnedFd]; 2], mask: Mode, starter: Starter) -> Result<Self> {
        let is_last = plan
            .seccomp
            .as_ref()
            .is_some_and(|filter| filter.moment == Moment::Last);
        let refused = is_last.then(Shared::<AtomicI32>::new).transpose()?;
        let (link, other_end) = Link::pair()?;
        let parent = match starter {
            Starter::Init | Starter::Nursery => Parent::Caller,
            Starter::Attached | Starter::Detached => Parent::OfCaller,
        };
        match clone_process(0, parent, None).context("forking the payload")? {
            None => Child {
                plan,
                sockets,
                stored,
                starter,
                link: other_end,
                refused: refused.as_ref(),
            }
            .run(mask),
            Some(pid) => Ok(Self { pid, link, refused }),
        }
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Has it executed, now that the root has been entered, on `terminal` where it is to have one.
    ///
    /// # Errors
    /// It could not prepare itself, or the program not be executed.
    pub fn start(self, plan: &Plan, terminal: Option<OwnedFd>) -> Result<Payload, Failure> {
        self.start_by(plan, terminal, None)
    }

    /// The same, with no more patience than until `deadline`: who is in the container already may have stopped it.
    ///
    /// # Errors
    /// As [`Self::start`], and it took too long.
    pub fn start_by(
        self,
        plan: &Plan,
        terminal: Option<OwnedFd>,
        deadline: Option<Instant>,
    ) -> Result<Payload, Failure> {
        let Self { pid, link, refused } = self;
        // If it is gone, it has left word.
        link.tell(&Word::Enter { terminal });
        let mut listener = None;
        let mut program = None;
        loop {
            if let Some(deadline) = deadline
                && !link.hears_by(deadline)
            {
                return Err(anyhow!("it was not executed in time")).or_fail(EXEC);
            }
            match link.hear().context("starting the payload").or_fail(NAMESPACE)? {
                Some(Word::Ready(with)) => listener = Some(with),
                Some(Word::Executing { path, head }) => program = Some((path, head)),
                Some(Word::Failed { status, why }) => return Err(Error::msg(why)).or_fail(status),
                Some(Word::Enter { .. }) => {}
                None => break,
            }
        }
        let listener = listener.context("starting the payload: it died at once");
        let listener = listener.or_fail(NAMESPACE)?.map(Listener::from);
        let errno = refused.map_or(0, |refused| refused.get().load(Ordering::Acquire));
        if let Some((path, head)) = program.filter(|_| errno != 0) {
            return Err(refusal(plan, &path, &head, Errno::from_raw(errno))).or_fail(EXEC);
        }
        Ok(Payload { pid, listener })
    }
}

/// Why the program at `path` was not executed under a filter of the administrator's.
fn refusal(plan: &Plan, path: &Path, head: &[u8], errno: Errno) -> Error {
    let forbids = plan
        .seccomp
        .as_ref()
        .is_some_and(|filter| !filter.rules.lets_through("execve"));
    let why = if forbids {
        "the seccomp profile does not let execve(2) through".to_owned()
    } else {
        label::explain(plan.label.as_ref(), errno).unwrap_or_else(|| program::explain(path, head, errno))
    };
    anyhow!("executing '{}': {why}", path.display())
}
