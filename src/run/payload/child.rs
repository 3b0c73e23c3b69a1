//! The payload's last steps before it is itself, in a process of its own.
//!
//! The order matters, and each step says why it stands where it does. Up to [`Word::Enter`] nothing is looked up by name, since the root is still the
//! host's; afterwards nothing is but what lies in the container.
//!
//! The default filter is installed early, while init builds the root: it lets through all that is left to be done (`CALLS`). A filter
//! of the administrator's may forbid anything, so it is the very last thing, and between it and the exec there is no other call.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, getpid, setsid};

use crate::definition::label::AbstractSockets;
use crate::definition::{Activation, Notify};
use crate::plan::Plan;
use crate::plan::process::FIRST_DESCRIPTOR;
use crate::plan::seccomp::Moment;
use crate::run::failure::{EXEC, Failure, NAMESPACE, OrFail as _, USER};
use crate::run::label;
use crate::run::payload::Starter;
use crate::run::payload::link::{Link, Word};
use crate::run::program;
use crate::run::rights::{self, Growth, Rights};
use crate::run::terminal::{make_standard, own};
use crate::run::user::{self, Identity};
use crate::sys::capability::{self, Sets};
use crate::sys::landlock::keep_to_own_abstract_sockets;
use crate::sys::memory::Shared;
use crate::sys::process::{Exec, adopt, close_all_but, exit, grant};
use crate::sys::seccomp::{self, catch_bind_and_listen};
use crate::sys::terminal::take_controlling;

/// A process that is to become the payload.
#[derive(Debug)]
pub struct Child<'a> {
    /// What it is to be.
    pub plan: &'a Plan,
    /// The sockets, in the order of the plan.
    pub sockets: &'a [OwnedFd],
    /// What the payload has left in its last run.
    pub stored: &'a [OwnedFd],
    /// Who has forked it.
    pub starter: Starter,
    /// The way to that one.
    pub link: Link,
    /// Where it leaves what execve(2) says, if nothing can be said by then.
    pub refused: Option<&'a Shared<AtomicI32>>,
}

/// The calls that are made after an early filter, by us or by the libraries below us, among others that no program can do without.
#[cfg(test)]
const CALLS: [&str; 40] = [
    "access",
    "brk",
    "capget",
    "capset",
    "chdir",
    "close",
    "dup2",
    "dup3",
    "execve",
    "execveat",
    "exit_group",
    "fchmod",
    "fchown",
    "fcntl",
    "fstat",
    "fstatfs",
    "getcwd",
    "getpid",
    "getrandom",
    "ioctl",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "lseek",
    "madvise",
    "mmap",
    "munmap",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "prctl",
    "read",
    "readlink",
    "recvmsg",
    "sendmsg",
    "setgroups",
    "setresgid",
    "setresuid",
    "statx",
    "write",
];

impl Child<'_> {
    /// Becomes the payload, with the umask `mask`.
    pub fn run(mut self, mask: Mode) -> ! {
        let Err(failure) = self.become_payload(mask);
        let why = format!("{:#}", failure.error);
        self.link.tell(&Word::Failed {
            status: failure.status,
            why,
        });
        exit(failure.status)
    }

    fn become_payload(&mut self, mask: Mode) -> Result<Infallible, Failure> {
        self.prepare(mask).or_fail(EXEC)?;
        let Some(Word::Enter { terminal }) = self.link.hear().or_fail(NAMESPACE)? else {
            // Whoever has forked us has failed, and says why.
            exit(NAMESPACE)
        };
        let process = &self.plan.process;
        let identity =
            user::look_up(&process.user, process.group.as_deref(), &process.additional_groups).or_fail(USER)?;
        self.take_rights(&identity, terminal).or_fail(EXEC)?;
        self.execute(&identity).or_fail(EXEC)
    }

    /// What needs no root.
    fn prepare(&mut self, mask: Mode) -> Result<()> {
        umask(mask);
        // First of all the filter, while there still is the right to install it without no_new_privs.
        let plan = self.plan;
        let catches = match plan.activation {
            Activation::Intercept => !self.sockets.is_empty(),
            // Init only watches; nobody would answer a program that is started later.
            Activation::Proxy => {
                self.starter == Starter::Init && plan.notify == Notify::Listening && !plan.sockets.is_empty()
            }
            Activation::Inherit | Activation::Accept => false,
        };
        let listener = catches.then(catch_bind_and_listen).transpose();
        let listener = listener.context("installing the bind filter")?;
        self.link.tell(&Word::Ready(listener.map(OwnedFd::from)));
        // The host's, as long as the root is; the same place in the container when that has been entered (pivot_root(2)).
        chdir("/").context("entering '/'")?;
        // A nursery is bounded itself, and cannot do it again.
        if self.starter != Starter::Nursery {
            capability::bound(plan.process.capabilities).context("dropping capabilities")?;
        }
        // A session of its own, so that no terminal signal of ours reaches it and its jobs have a leader.
        setsid().context("creating a session")?;
        program::reset_signals()?;
        // Closed now and not at the exec: by its name in /proc/self/fd, init's lock on a layer would be a way to the host for whatever path
        // of the image is looked up from here on. The link moves out of the numbers that the sockets are going to have.
        let inherited = match plan.activation.hands_over() {
            true => self.sockets,
            false => &[],
        };
        let first_free = i32::try_from(FIRST_DESCRIPTOR + self.sockets.len() + self.stored.len())?;
        let granted = i32::try_from(FIRST_DESCRIPTOR + inherited.len() + self.stored.len())?;
        self.link.move_above(first_free)?;
        place(inherited.iter().chain(self.stored), first_free)?;
        close_all_but(self.link.number(), granted)?;
        self.filter_at(Moment::Early)
    }

    /// From here on the root is the container's.
    fn take_rights(&self, identity: &Identity, terminal: Option<OwnedFd>) -> Result<()> {
        let plan = self.plan;
        if let Some(terminal) = terminal {
            own(&terminal, identity.uid)?;
            make_standard(&terminal).context("taking the terminal")?;
        }
        take_controlling();
        program::unblock_signals()?;
        if let Some(label) = &plan.label {
            label::take(label)?;
        }
        // Another user has no capabilities left.
        let capabilities = if identity.uid.is_root() {
            plan.process.capabilities
        } else {
            0
        };
        rights::assume(&Rights {
            uid: identity.uid,
            gid: identity.gid,
            groups: &identity.groups,
            capabilities: Sets::of_root(plan.process.capabilities, capabilities),
            kept: 0,
            growth: Growth::Forbidden,
            working_directory: &plan.process.working_directory,
        })?;
        if self.starter == Starter::Attached {
            // After the user: a change of it takes this back.
            set_pdeathsig(Signal::SIGKILL).context("tying the program to its client")?;
        }
        // After no_new_privs, without which Landlock wants a right that is gone.
        if plan.abstract_sockets == AbstractSockets::Own {
            keep_to_own_abstract_sockets().context("keeping to the container's own abstract sockets (Landlock)")?;
        }
        Ok(())
    }

    fn execute(&self, identity: &Identity) -> Result<Infallible> {
        let process = &self.plan.process;
        let environment = environment(self.plan, identity);
        let search = environment.iter().find(|(name, _)| name == "PATH");
        let program = process.arguments.first().context("there is no program to run")?;
        let path = program::find(program, search.map_or("", |(_, path)| path))?;
        let head = program::head(&path);
        let environment = environment
            .into_iter()
            .map(|(name, value)| CString::new(format!("{name}={value}")))
            .collect::<Result<_, _>>()?;
        let arguments = process.arguments.iter().map(|argument| CString::new(argument.as_str()));
        let name = CString::new(path.as_os_str().as_encoded_bytes())?;
        let exec = Exec::new(name, arguments.collect::<Result<_, _>>()?, environment);
        let Some(refused) = self.refused else {
            let errno = exec.execute();
            let label = self.plan.label.as_ref();
            let why = label::explain(label, errno).unwrap_or_else(|| program::explain(&path, &head, errno));
            bail!("executing '{}': {why}", path.display());
        };
        self.link.tell(&Word::Executing { path, head });
        // The very last thing: from here on any call may be refused, or end us, but for the exec.
        self.filter_at(Moment::Last)?;
        refused.get().store(exec.execute() as i32, Ordering::Release);
        exit(EXEC)
    }

    fn filter_at(&self, moment: Moment) -> Result<()> {
        match &self.plan.seccomp {
            Some(filter) if filter.moment == moment => {
                // Never given back: that may take a call, and the filter may forbid any.
                let program = filter.program()?.leak();
                seccomp::filter(program).context("installing the filter of system calls")
            }
            _ => Ok(()),
        }
    }
}

/// The plan's variables, and those that only this process knows.
fn environment(plan: &Plan, identity: &Identity) -> Vec<(String, String)> {
    let mut environment = plan.process.environment.clone();
    let own_id = getpid().to_string();
    for (name, wanted) in [("LISTEN_PID", "LISTEN_FDS"), ("WATCHDOG_PID", "WATCHDOG_USEC")] {
        if environment.iter().any(|(known, _)| known == wanted) {
            environment.push((name.to_owned(), own_id.clone()));
        }
    }
    if environment.iter().all(|(name, _)| name != "HOME") {
        environment.push(("HOME".to_owned(), identity.home.clone()));
    }
    environment
}

/// Puts the sockets at 3, 4, 5 … in order, whatever lies there now.
///
/// # Errors
/// What fcntl(2) and dup2(2) say.
pub fn place<'d>(sockets: impl Iterator<Item = &'d OwnedFd>, first_free: RawFd) -> Result<()> {
    let mut moved = Vec::new();
    for socket in sockets {
        moved.push(adopt(fcntl(socket, FcntlArg::F_DUPFD_CLOEXEC(first_free))?)?);
    }
    for (position, socket) in moved.iter().enumerate() {
        grant(socket.as_fd(), i32::try_from(FIRST_DESCRIPTOR + position)?).context("granting a socket")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::CALLS;
    use crate::plan::seccomp;
    use crate::plan::seccomp::architecture::Machine;

    #[test]
    fn the_default_filter_lets_through_what_is_left_to_be_done() {
        for capabilities in [0, 1 << 21, u64::MAX] {
            let filter = seccomp::default(Machine::HOST, capabilities);
            for call in CALLS {
                assert!(filter.rules.lets_through(call), "{call}");
            }
        }
    }
}
