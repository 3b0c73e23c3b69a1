//! The last steps of a process before it is the payload, or what `exec` runs: it becomes it in place.
//!
//! Identity, capabilities, directory and no_new_privs are taken on by [`rights::assume`], and the program is found and looked at by
//! [`program`], as in every container of ours. The filter of system calls is the last, unless only the rights that go can install it.
//! If the exec fails, whoever waits hears why.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, IntoRawFd as _, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setsid};
use serde_json::Value;

use crate::oci::agent::{Agent, entrust};
use crate::oci::channel;
use crate::oci::plan::process::{Privileges, Process, Seccomp};
use crate::run::rights::{self, Growth, Rights};
use crate::run::{program, user};
use crate::sys::capability::{self, Mask};
use crate::sys::mount::Filesystem;
use crate::sys::path::{Links, open_in_root};
use crate::sys::process::{Exec, adopt, close_all_but, close_all_but_both, exit, grant};
use crate::sys::{seccomp, task, terminal};

/// What a process gets from the command that makes it.
#[derive(Debug)]
pub struct Setting {
    /// The umask, unless the process has one of its own.
    pub umask: Mode,
    /// Whether it leads a session already.
    pub session: Session,
    /// Where a terminal is to be sent.
    pub console: Option<OwnedFd>,
    /// How many descriptors from 3 on it keeps.
    pub descriptors: RawFd,
    /// The name of a new session keyring, unless the caller's is kept.
    pub keyring: Option<String>,
    /// Where its filter's listener is to be sent.
    pub agent: Option<Agent>,
    /// What the agent is told besides: the container's state.
    pub state: Value,
    /// What of the environment is the caller's (sd_listen_fds(3)).
    pub environment: Vec<String>,
}

/// Whether a process leads a session of its own, so that no terminal signal of ours reaches it and its jobs have a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// It does, on its own terminal.
    Led,
    /// Not yet.
    Callers,
}

/// Makes a terminal's end this process's streams and controlling terminal. Engines wait for the end of the streams that it had before, so
/// this is not left for later.
///
/// # Errors
/// What setsid(2) or dup2(2) says.
pub fn take_terminal(end: BorrowedFd<'_>) -> Result<()> {
    setsid().context("creating a session")?;
    (0..3)
        .try_for_each(|stream| grant(end, stream))
        .context("taking the terminal")?;
    terminal::take_controlling();
    Ok(())
}

/// Becomes `process`. `report` closes when it has; if it cannot, the reason goes there, and this process ends.
pub fn become_it(process: &Process, setting: &Setting, report: OwnedFd) -> ! {
    let number = match above(report.as_fd(), 3 + setting.descriptors) {
        // By number, since it must outlive the closing of all that is open.
        Ok(kept) => kept.into_raw_fd(),
        Err(error) => {
            channel::fail(report.as_fd(), &error);
            exit(1)
        }
    };
    let error = match prepare(process, setting, number) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    if let Ok(report) = adopt(number) {
        channel::fail(report.as_fd(), &error);
    }
    // Nothing is dropped: what it owns is closed already.
    exit(1)
}

fn prepare(process: &Process, setting: &Setting, report: RawFd) -> Result<Infallible> {
    if setting.session == Session::Callers {
        setsid().context("creating a session")?;
        terminal::take_controlling();
    }
    if let Some(name) = &setting.keyring {
        task::join_new_session_keyring(name).context("joining a new session keyring")?;
    }
    program::restore_signals()?;
    if let Some((class, priority)) = process.io_priority {
        task::set_io_priority(class, priority).context("setting the priority of input and output")?;
    }
    if let Some(schedule) = &process.schedule {
        task::set_schedule(schedule).context("setting the scheduler")?;
    }
    if let Some(domain) = process.personality {
        task::set_personality(domain).context("setting the personality")?;
    }
    label(process)?;
    umask(process.umask.map_or(setting.umask, Mode::from_bits_truncate));
    // Closed now and not at the exec: by its name in /proc/self/fd, what is open of the host would be a way there for whatever path of the
    // image is looked up from here on.
    let granted = 3 + setting.descriptors;
    for number in 3..granted {
        let kept = adopt(number).with_context(|| format!("keeping descriptor {number}, which is not open"))?;
        grant(kept.as_fd(), number)?;
        let _ = kept.into_raw_fd();
    }
    let agent = setting
        .agent
        .as_ref()
        .map(|agent| above(agent.as_fd(), granted + 1))
        .transpose()?;
    let pid = setting.agent.as_ref().map(Agent::pid);
    keep_only(report, agent.as_ref(), granted)?;

    let groups: Vec<Gid> = process.groups.iter().copied().map(Gid::from_raw).collect();
    let mut rights = Rights {
        uid: Uid::from_raw(process.uid),
        gid: Gid::from_raw(process.gid),
        groups: &groups,
        capabilities: process.capabilities,
        kept: 0,
        growth: Growth::Forbidden,
        working_directory: &process.working_directory,
    };
    if process.privileges == Privileges::MayGrow {
        rights.growth = Growth::Allowed;
        // Without no_new_privs it takes a right to install a filter.
        rights.kept = process.seccomp.as_ref().map_or(0, |_| SYS_ADMIN);
    }
    capability::bound(process.capabilities.bounding).context("dropping capabilities")?;
    rights::assume(&rights)?;
    let environment = environment(process, &setting.environment)?;
    let found = find(process)?;
    let head = program::head(&found);
    let texts = |texts: &[String]| {
        texts
            .iter()
            .map(|text| CString::new(text.as_str()))
            .collect::<Result<_, _>>()
    };
    let exec = Exec::new(
        CString::new(found.as_os_str().as_encoded_bytes())?,
        texts(&process.arguments)?,
        texts(&environment)?,
    );
    // The very last thing: from here on any call may be refused, or end us, but for the exec and, where it needs to be, capset(2).
    if let Some(filter) = &process.seccomp {
        install(filter, agent.as_ref().zip(pid), &setting.state)?;
        if rights.kept != 0 {
            rights::let_go(&rights)?;
        }
    }
    let errno = exec.execute();
    bail!(
        "executing '{}': {}",
        found.display(),
        program::explain(&found, &head, errno)
    )
}

fn find(process: &Process) -> Result<PathBuf> {
    let path = process
        .environment
        .iter()
        .find_map(|variable| variable.strip_prefix("PATH="));
    let program = process.arguments.first().context("there is no program to run")?;
    program::find(program, path.unwrap_or_default()).map_err(|error| match error.is::<program::Missing>() {
        // Engines read these words, and tell their users by another exit status.
        true => error.context("executable file not found in $PATH, no such file or directory"),
        false => error,
    })
}

/// Whether there is such a program at all: engines want to hear of it before they start a container. What its user may do is seen then.
///
/// # Errors
/// There is none.
pub fn look_for(process: &Process) -> Result<()> {
    let is_relative = process
        .arguments
        .first()
        .is_some_and(|name| name.contains('/') && !name.starts_with('/'));
    match find(process) {
        Err(error) if !is_relative && error.is::<program::Missing>() => Err(error),
        _ => Ok(()),
    }
}

/// `CAP_SYS_ADMIN`.
const SYS_ADMIN: Mask = 1 << 21;

/// Closes every descriptor from `first` on but these two.
fn keep_only(report: RawFd, agent: Option<&OwnedFd>, first: RawFd) -> Result<()> {
    match agent.map(|agent| agent.as_raw_fd()) {
        None => close_all_but(report, first)?,
        Some(agent) => {
            // Both lie right behind those that are granted.
            let (low, high) = (report.min(agent), report.max(agent));
            ensure!(low >= first, "a descriptor lies among those that are kept");
            close_all_but_both(low, high, first)?;
        }
    }
    Ok(())
}

/// A copy of `descriptor` from the number `minimum` on.
fn above(descriptor: BorrowedFd<'_>, minimum: RawFd) -> Result<OwnedFd> {
    Ok(adopt(fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(minimum))?)?)
}

/// Its environment: what the caller passes on, and a home directory if it names none.
fn environment(process: &Process, passed: &[String]) -> Result<Vec<String>> {
    let mut environment = process.environment.clone();
    environment.extend_from_slice(passed);
    if environment.iter().all(|variable| !variable.starts_with("HOME=")) {
        // Whatever is wrong with the image's passwd(5) is no reason not to start.
        let home =
            user::look_up(&process.uid.to_string(), None, &[]).map_or_else(|_| "/".to_owned(), |found| found.home);
        environment.push(format!("HOME={home}"));
    }
    Ok(environment)
}

fn install(seccomp: &Seccomp, agent: Option<(&OwnedFd, i32)>, state: &Value) -> Result<()> {
    let program = seccomp.filter.program()?;
    let Some((agent, pid)) = agent else {
        return seccomp::filter_with(&program, seccomp.flags).context("installing the filter of system calls");
    };
    let metadata = seccomp.agent.as_ref().map_or("", |(_, metadata)| metadata);
    let listener =
        seccomp::filter_with_listener(&program, seccomp.flags).context("installing the filter of system calls")?;
    entrust(agent.as_fd(), listener.as_fd(), pid, metadata, state)
}

/// Sets the labels that the next exec takes on, through a procfs that nobody else sees: whatever is mounted on the container's is not
/// written to instead (CVE-2019-16884, CVE-2025-52881).
fn label(process: &Process) -> Result<()> {
    let labels = [
        ("AppArmor profile", &process.apparmor, "apparmor/exec", "exec "),
        ("SELinux label", &process.selinux, "exec", ""),
    ];
    if labels.iter().all(|(_, label, ..)| label.is_none()) {
        return Ok(());
    }
    let procfs = Filesystem::open("proc")?.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?;
    for (name, label, file, word) in labels {
        let Some(label) = label else { continue };
        let set = || -> Result<()> {
            let path = Path::new("thread-self/attr").join(file);
            let open = |path: &Path| {
                let own = open_own(procfs.as_fd())?;
                open_in_root(own.as_fd(), path, OFlag::O_WRONLY | OFlag::O_NOFOLLOW, Links::Refuse)
            };
            let below = path.strip_prefix("thread-self")?;
            let file = match open(below) {
                // Before AppArmor had a directory of its own.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => open(Path::new("attr/exec")),
                file => file,
            };
            let mut file = File::from(file.context("the kernel has none, or not this one")?);
            Ok(file.write_all(format!("{word}{label}").as_bytes())?)
        };
        set().with_context(|| format!("setting the {name} '{label}'"))?;
    }
    Ok(())
}

/// This process's own directory of `procfs`.
fn open_own(procfs: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    let pid = nix::unistd::getpid().to_string();
    open_in_root(
        procfs,
        Path::new(&pid),
        OFlag::O_PATH | OFlag::O_DIRECTORY,
        Links::Refuse,
    )
}

/// Whether this process has a descriptor of this number.
#[must_use]
pub fn is_open(number: RawFd) -> bool {
    Path::new("/proc/self/fd").join(number.to_string()).exists()
}
