//! The process that runs checks: forked by init where a definition has `HealthCmd=`, while init still has the rights that it takes to start a payload.
//!
//! Who is root in the container may stop or kill it like any other process; then it does not answer, and init counts that as failed checks.
//! They can have nothing of it: it is not dumpable, its memory belongs to the host, and what it has open leads to init and to systemd's sockets
//! only. A check is started by the code that starts payloads, from the same plan, so that its rights are the payload's.
//!
//! It knows nothing of how the container is, and it waits for nobody without end but for init.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, setsid};

use crate::definition::UserNamespace;
use crate::definition::health::{Check, Health};
use crate::plan::Plan;
use crate::run::exec::plan::keep_to_itself;
use crate::run::failure::one_line;
use crate::run::health::course::Which;
use crate::run::health::lead::Lead;
use crate::run::health::offspring::Offspring;
use crate::run::health::word::{End, Leads, Report, Request};
use crate::run::payload::{Prepared, Starter};
use crate::sys::capability::{self, Mask};
use crate::sys::process::{
    Outcome, exit, forbid_inspection, has_ended, keep_only, pidfd_open, set_no_new_privs, trim_memory,
};
use crate::sys::socket;

/// A nursery at work.
struct Nursery {
    plan: Plan,
    health: Health,
    mask: Mode,
    link: OwnedFd,
    offspring: Offspring,
    lead: Lead,
}

/// Runs the checks of `plan` with the umask `mask`, as init asks for them at the other end of `link`, until that is closed.
pub fn run(plan: &Plan, health: &Health, mask: Mode, link: OwnedFd, lead: Lead) -> ! {
    let mut plan = plan.clone();
    keep_to_itself(&mut plan.process);
    let prepared = prepare(&plan, &link, &lead);
    let Ok(offspring) = prepared else { exit(1) };
    let mut nursery = Nursery {
        plan,
        health: health.clone(),
        mask,
        link,
        offspring,
        lead,
    };
    trim_memory();
    let mut bytes = [0; 16];
    loop {
        let length = match socket::receive(nursery.link.as_fd(), &mut bytes, 0, MsgFlags::empty()) {
            Ok((length @ 1.., _)) => length,
            _ => exit(0),
        };
        let Some(request) = bytes.get(..length).and_then(Request::parse) else {
            continue;
        };
        let report = nursery.check(request);
        if socket::send(nursery.link.as_fd(), &report.bytes(), &[]).is_err() {
            exit(0)
        }
    }
}

/// Gives up what is not needed.
fn prepare(plan: &Plan, link: &OwnedFd, lead: &Lead) -> Result<Offspring> {
    let _ = nix::sys::prctl::set_name(c"coracle-health");
    let offspring = Offspring::adopt()?;
    let mut kept: Vec<BorrowedFd<'_>> = vec![link.as_fd()];
    kept.extend(offspring.list().map(File::as_fd));
    kept.extend(lead.descriptors());
    keep_only(&kept, 3)?;
    // Nothing to read for anybody, and without a name that could lead elsewhere.
    let (nothing, end) = pipe2(OFlag::O_CLOEXEC)?;
    drop(end);
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)?;
    let _ = setsid();
    // It stays what it is, and a filter of system calls takes no right then.
    set_no_new_privs()?;
    capability::bound(plan.process.capabilities)?;
    capability::set(rights(plan))?;
    // After the rights: their change may take it back.
    forbid_inspection()?;
    Ok(offspring)
}

/// What the checks are to have, and what it takes to become their user, to kill them, and to listen on a port in their network.
fn rights(plan: &Plan) -> Mask {
    let given = plan.process.capabilities;
    match plan.user_namespace {
        // Then the payload may take it over whatever it does, and must not have more by that.
        UserNamespace::Host if given & SYS_PTRACE != 0 => given,
        _ => given | KILL | SETGID | SETUID | NET_BIND_SERVICE,
    }
}

const KILL: Mask = 1 << 5;
const SETGID: Mask = 1 << 6;
const SETUID: Mask = 1 << 7;
const NET_BIND_SERVICE: Mask = 1 << 10;
const SYS_PTRACE: Mask = 1 << 19;

impl Nursery {
    /// Runs one check.
    fn check(&mut self, request: Request) -> Report {
        let check = match (&self.health.startup, request.which) {
            (Some(startup), Which::Startup) => startup.check.clone(),
            _ => self.health.check.clone(),
        };
        if request.leads == Leads::On {
            self.lead.open();
        }
        let mut output = Output::default();
        let end = self.run(&check, &mut output).unwrap_or_else(|error| {
            output.0 = one_line(&format!("{error:#}")).into_bytes();
            End::NotRun
        });
        self.offspring.end(None);
        self.lead.close();
        Report {
            number: request.number,
            end,
            output: output.0,
        }
    }

    fn run(&mut self, check: &Check, output: &mut Output) -> Result<End> {
        let deadline = Instant::now() + Duration::from_millis(check.timeout);
        let (read, written) = pipe2(OFlag::O_CLOEXEC)?;
        socket::set_blocking(read.as_fd(), OFlag::O_NONBLOCK)?;
        dup2_stdout(&written)?;
        dup2_stderr(&written)?;
        drop(written);
        self.plan.process.arguments.clone_from(&check.command);
        let prepared = Prepared::new(&self.plan, [&[], &[]], self.mask, Starter::Nursery)?;
        let child = prepared.pid();
        let mut read = File::from(read);
        let end = match prepared.start_by(&self.plan, None, Some(deadline)) {
            Ok(_) => self.attend(child, deadline, &mut read, output),
            Err(failure) if Instant::now() < deadline => Err(failure.error),
            Err(_) => Ok(End::TimedOut),
        };
        output.take(&mut read);
        if !matches!(end, Ok(End::Exited(_) | End::Killed(_))) {
            self.offspring.end(Some(child));
        }
        end
    }

    /// Waits for the end of the check, and has it written and connected meanwhile.
    fn attend(&mut self, child: Pid, deadline: Instant, read: &mut File, output: &mut Output) -> Result<End> {
        let pidfd = pidfd_open(child).context("watching the check")?;
        loop {
            match has_ended(child)? {
                Some(Outcome::Exited(status)) => return Ok(End::Exited(status)),
                Some(Outcome::Killed(signal)) => return Ok(End::Killed(signal)),
                None => {}
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(End::TimedOut);
            }
            let rest = PollTimeout::try_from(rest + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            let mut polled = vec![
                PollFd::new(pidfd.as_fd(), PollFlags::POLLIN),
                PollFd::new(read.as_fd(), PollFlags::POLLIN),
            ];
            self.lead.poll(&mut polled);
            match poll(&mut polled, rest) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            drop(polled);
            output.take(read);
            self.lead.pass_on();
        }
    }
}

/// The last of what a check has written.
#[derive(Debug, Default)]
struct Output(Vec<u8>);

impl Output {
    /// Reads what there is, within a bound: a check that writes without end must not keep its end from being seen.
    fn take(&mut self, from: &mut File) {
        let mut buffer = [0; 4096];
        for _ in 0..16 {
            match from.read(&mut buffer) {
                Ok(length @ 1..) => self.0.extend(buffer.iter().take(length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
            let excess = self.0.len().saturating_sub(Health::LOG_SIZE_MAX);
            self.0.drain(..excess);
        }
    }
}
