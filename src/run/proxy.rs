//! The proxy of a program that keeps its own sockets (`Activation=proxy`): systemd-socket-proxyd(8) in the container's network.
//!
//! It is started by the socket, after the container. The shim finds the container's first process, waits until somebody listens in its network,
//! joins that, and then has no rights any more: it and what it starts are a user that owns nothing, or as good as that in a user's
//! manager, without capabilities and under the filter of system calls that a container without any has. Both stay in the host's other
//! namespaces, so nothing in the container sees them, and all that leads from there to here is the port. What they read of the container
//! are the kernel's lists of its sockets; none of its paths is looked up.
//!
//! systemd-socket-proxyd does not know that the container it forwards to has ended, and would close the connections of all who come then.
//! So it has a parent that waits for either to end, and ends the other. That one says nothing and reads nothing. How it ends decides what
//! systemd does: after a container that has ended by itself the port waits for its next client, as it does with every other
//! `Activation=`; after anything else systemd tries again, and meanwhile clients wait in the queue. A container that does not start is not
//! this service's failure: it waits with the clients, for systemd to try that one again.

pub mod target;

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid, geteuid, getpid, getppid};

use crate::activation;
use crate::plan::process::FIRST_DESCRIPTOR;
use crate::plan::seccomp;
use crate::plan::seccomp::architecture::Machine;
use crate::run::entrance::Entrance;
use crate::run::failure::{EXEC, Failure, NAMESPACE, OrFail as _, Priority, say};
use crate::run::identities::Range;
use crate::run::payload::child::place;
use crate::run::proxy::target::Target;
use crate::run::queues::SHORTEST_RUN;
use crate::run::rights::{self, Growth, Rights};
use crate::run::{notify, overdue, program};
use crate::sys::capability::{self, Sets};
use crate::sys::process::{
    Exec, Outcome, Parent, clone_process, close_from, exit, forbid_inspection, pidfd_open, send_signal, trim_memory,
    wait_for,
};
use crate::sys::seccomp as filter;

/// Where every distribution has it.
const PROGRAM: &str = "/usr/lib/systemd/systemd-socket-proxyd";

/// After this time it is said that nobody listens.
const UNUSUAL: Duration = Duration::from_secs(5);

/// How long a container that does not run is waited for: longer than systemd's longest pause between two tries.
const PATIENCE: Duration = Duration::from_secs(12);

/// The longest pause between two looks whether somebody listens, in milliseconds.
const LONGEST_PAUSE: u16 = 50;

/// A proxy at work.
struct Proxy {
    container: OwnedFd,
    child: Pid,
}

/// Forwards the connections of the sockets that systemd passed, as the service `unit`, to `target` in the container of the service
/// `container`, until either ends. `options` are systemd-socket-proxyd's.
///
/// # Errors
/// The container could not be joined, or the proxy could not be started, or was killed.
pub fn run(unit: &str, container: &str, target: &str, options: &[&str]) -> Result<(), Failure> {
    let begun = Instant::now();
    let Some(proxy) = start(unit, container, target, options).or_fail(NAMESPACE)? else {
        return Ok(());
    };
    trim_memory();
    let end = proxy.attend().context("waiting").or_fail(NAMESPACE)?;
    // Whoever is started again at once must not be so too often.
    sleep(SHORTEST_RUN.saturating_sub(begun.elapsed()));
    match end {
        End::OfContainer | End::OfProxy(Outcome::Exited(0)) => Ok(()),
        End::OfProxy(Outcome::Exited(status)) => {
            Err(anyhow!("'{PROGRAM}' has failed with status {status}")).or_fail(EXEC)
        }
        End::OfProxy(Outcome::Killed(signal)) => {
            Err(anyhow!("'{PROGRAM}' was killed by signal {signal}")).or_fail(EXEC)
        }
    }
}

/// Who has ended.
enum End {
    OfContainer,
    OfProxy(Outcome),
}

fn start(unit: &str, container: &str, target: &str, options: &[&str]) -> Result<Option<Proxy>> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let sockets = activation::take(&environment)?;
    ensure!(
        !sockets.is_empty(),
        "systemd passed no socket: this service is started by its socket alone"
    );
    let sockets: Vec<OwnedFd> = sockets.into_iter().map(|passed| passed.socket).collect();
    let journal = environment.iter().find(|(name, _)| name == "JOURNAL_STREAM").cloned();
    let target: Target = target.parse()?;
    let notify = notify::connect(&environment).context("connecting to systemd's notify socket")?;
    // Before the container's network, from which on nothing of the host is looked up but the program.
    let range = geteuid().is_root().then(|| Range::of_unit(unit)).transpose()?;
    let Some((entrance, address)) = await_listener(&target, container, &sockets)? else {
        let message = format!("the container '{container}' does not run: see 'systemctl status {container}'");
        say(Priority::Warning, &message);
        // The clients that wait start this service again, and so the container. A failure would have another pause follow, on top of this wait.
        if let Some(notify) = &notify {
            notify::send_surely(notify, "READY=1\n");
        }
        return Ok(None);
    };
    forbid_inspection()?;
    let users = match range {
        Some(_) => CloneFlags::empty(),
        None => CloneFlags::CLONE_NEWUSER,
    };
    entrance
        .join(users | CloneFlags::CLONE_NEWNET)
        .with_context(|| format!("joining the network of '{container}'"))?;
    let arguments = options.iter().copied().chain([address.as_str()]);
    let arguments: Vec<CString> = [PROGRAM]
        .into_iter()
        .chain(arguments)
        .map(CString::new)
        .collect::<Result<_, _>>()?;
    let identity = range.as_ref().map_or_else(last_identity, |range| Ok(range.first))?;
    give_up_rights(identity)?;
    let container = entrance.into_process();
    let parent = getpid();
    let child = match clone_process(0, Parent::Caller, None).context("forking")? {
        None => {
            // After the user has changed, which takes this back.
            if set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != parent {
                exit(NAMESPACE)
            }
            if !await_connection(&sockets, options) {
                exit(0)
            }
            let Err(error) = execute(&sockets, arguments, journal);
            say(Priority::Error, &format!("{error:#}"));
            exit(EXEC)
        }
        Some(child) => child,
    };
    confine()?;
    if let Some(notify) = &notify {
        notify::send_surely(notify, "READY=1\n");
    }
    // The lock on the range of identities is to end with this process and not before.
    std::mem::forget(range);
    Ok(Some(Proxy { container, child }))
}

impl Proxy {
    /// Waits for the end of either, and ends the other one.
    fn attend(&self) -> Result<End> {
        let child = pidfd_open(self.child)?;
        let mut polled = [&self.container, &child].map(|process| PollFd::new(process.as_fd(), PollFlags::POLLIN));
        while poll(&mut polled, PollTimeout::NONE).is_err() {}
        let container_ended = polled[0].any().unwrap_or_default();
        // Whichever was first: a container that has ended has ended its connections too.
        send_signal(self.child, libc::SIGKILL);
        let outcome = wait_for(self.child)?;
        Ok(if container_ended {
            End::OfContainer
        } else {
            End::OfProxy(outcome)
        })
    }
}

/// Waits until somebody listens on `target` in the container, and says where that is. Nothing if the container does not run, and has not for long.
///
/// A container that cannot start is tried again by systemd, after pauses of its own that grow. It would be started at once if this service
/// failed and was tried again itself, since it wants that one: so this waits through those pauses.
fn await_listener(target: &Target, container: &str, sockets: &[OwnedFd]) -> Result<Option<(Entrance, String)>> {
    let (mut seen, mut since) = (Instant::now(), None);
    let (mut pause, mut is_said) = (1, false);
    loop {
        let Some((init, entrance)) = find(container)? else {
            overdue::dismiss(container, sockets);
            if seen.elapsed() > PATIENCE {
                return Ok(None);
            }
            since = None;
            sleep(Duration::from_millis(LONGEST_PAUSE.into()));
            continue;
        };
        let address = target.find(init)?;
        let mut polled = [PollFd::new(entrance.as_fd(), PollFlags::POLLIN)];
        if let Some(address) = address
            && poll(&mut polled, PollTimeout::ZERO) == Ok(0)
        {
            return Ok(Some((entrance, address)));
        }
        seen = Instant::now();
        if !is_said && since.get_or_insert(seen).elapsed() > UNUSUAL {
            is_said = true;
            let message = format!("nobody listens on {target} in '{container}' yet, connections wait");
            say(Priority::Warning, &message);
        }
        let _ = poll(&mut polled, PollTimeout::from(pause));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The init of the container of the service `unit`, which is in the same slice as this process, and the way in. Nothing if it does not run.
fn find(unit: &str) -> Result<Option<(Pid, Entrance)>> {
    let own = fs::read_to_string("/proc/self/cgroup").context("reading '/proc/self/cgroup'")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    let slice = own
        .and_then(|own| Path::new(own).parent())
        .context("there is no control group of version 2")?;
    let group: PathBuf = [
        Path::new("/sys/fs/cgroup"),
        slice.strip_prefix("/").unwrap_or(slice),
        Path::new(unit),
    ]
    .iter()
    .collect();
    // Others in there belong to starts, stops and 'coracle exec', and are outside of the container.
    let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut pids = processes.lines().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw);
    Ok(pids.find_map(|pid| Some((pid, Entrance::find(pid).ok()?))))
}

/// The last user that the container's user namespace has: not its root, who is the user whose manager this is.
fn last_identity() -> Result<u32> {
    let maps = fs::read_to_string("/proc/self/uid_map").context("reading '/proc/self/uid_map'")?;
    let last = maps.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u32>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) = (fields.next(), fields.next(), fields.next()) else {
            return None;
        };
        first.checked_add(count.checked_sub(1)?)
    });
    last.max().context("the container has no users")
}

/// From here on this process is nobody, and may do next to nothing.
fn give_up_rights(identity: u32) -> Result<()> {
    // Where it cannot be lowered, `no_new_privs` makes nothing of what is left in it.
    let _ = capability::bound(0);
    rights::assume(&Rights {
        uid: Uid::from_raw(identity),
        gid: Gid::from_raw(identity),
        groups: &[],
        capabilities: Sets::of_root(0, 0),
        kept: 0,
        growth: Growth::Forbidden,
        working_directory: "/",
    })?;
    Ok(forbid_inspection()?)
}

/// Filters system calls as for a program without capabilities. After the fork: clone3(2), whose arguments no filter can see, is no call for such.
fn confine() -> Result<()> {
    let program = seccomp::default(Machine::HOST, 0).program()?;
    filter::filter(&program).context("installing the filter of system calls")
}

/// Waits for the first connection, for no longer than all others are waited for: systemd-socket-proxyd counts from the end of a connection only,
/// and whoever was started by hand would stay for ever. False if there is none.
fn await_connection(sockets: &[OwnedFd], options: &[&str]) -> bool {
    let Some(idle) = options.iter().find_map(|option| idle_time(option)) else {
        return true;
    };
    let mut polled: Vec<_> = sockets
        .iter()
        .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
        .collect();
    poll(&mut polled, PollTimeout::try_from(idle).unwrap_or(PollTimeout::MAX)) != Ok(0)
}

/// The value of systemd-socket-proxyd's option, as the generator writes it.
fn idle_time(option: &str) -> Option<Duration> {
    let milliseconds = option.strip_prefix(IDLE_TIME)?.strip_suffix("ms")?;
    Some(Duration::from_millis(milliseconds.parse().ok()?))
}

/// After how long without a connection it exits.
const IDLE_TIME: &str = "--exit-idle-time=";

/// Becomes systemd-socket-proxyd with the sockets.
fn execute(sockets: &[OwnedFd], arguments: Vec<CString>, journal: Option<(String, String)>) -> Result<Infallible> {
    program::restore_signals()?;
    let first_free = i32::try_from(FIRST_DESCRIPTOR + sockets.len())?;
    place(sockets.iter(), first_free)?;
    close_from(first_free)?;
    let mut environment = vec![
        CString::new(format!("LISTEN_FDS={}", sockets.len()))?,
        CString::new(format!("LISTEN_PID={}", getpid()))?,
    ];
    if let Some((name, value)) = journal {
        environment.push(CString::new(format!("{name}={value}"))?);
    }
    let program = Exec::new(CString::new(PROGRAM)?, arguments, environment);
    confine()?;
    let errno = program.execute();
    bail!("executing '{PROGRAM}': {errno}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::idle_time;

    #[test]
    fn the_option_is_read_as_the_generator_writes_it() {
        assert_eq!(idle_time("--exit-idle-time=1500ms"), Some(Duration::from_millis(1500)));
        assert_eq!(idle_time("--connections-max=10"), None);
    }
}
