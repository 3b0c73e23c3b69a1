//! `exec`: a further process in a container that runs.
//!
//! It joins all namespaces of the container's process, is born in its control group, and becomes its program by the same steps.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

use crate::oci::affinity::{Affinity, Processors};
use crate::oci::agent::Agent;
use crate::oci::arguments::Exec;
use crate::oci::birth::Birth;
use crate::oci::channel::{self, End, Message};
use crate::oci::config::{Capabilities, Config, Process as Written};
use crate::oci::container::{Directory, Record, Status};
use crate::oci::create::limit;
use crate::oci::foreground::attend;
use crate::oci::plan::namespace::Kind;
use crate::oci::plan::process::{Circle, Process, process};
use crate::oci::process::{Session, Setting, become_it, is_open, take_terminal};
use crate::oci::seal::seal;
use crate::oci::{console, write_pid};
use crate::run::planning;
use crate::sys::mount::enter_by_chroot;
use crate::sys::process::{exit, forbid_inspection, send_signal, wait_for};
use crate::sys::user::become_root;

/// Runs a process in a container, and ends as it ended unless it is detached.
///
/// # Errors
/// The container does not run, or the process cannot be made.
pub fn exec(directory: &Directory, options: &Exec) -> Result<u8> {
    seal()?;
    let record = directory.read()?;
    match directory.status(&record) {
        Status::Running | Status::Created => {}
        Status::Paused if options.ignore_paused => {}
        status => bail!(
            "container '{}' is {}, and nothing can be run in it",
            directory.id,
            status.name()
        ),
    }
    let first = record.process().context("the container has ended")?;
    let config: Config = serde_json::from_slice(&directory.config()?).context("reading its config.json")?;
    let written = written(options, &config)?;
    let linux = config.linux.clone().unwrap_or_default();
    let circle = Circle {
        seccomp: linux.seccomp.as_ref(),
        personality: linux.personality.as_ref(),
        kernel: planning::kernel()?,
    };
    let decided = process(&written, circle)?;
    for number in 3..3 + i32::from(options.preserve_fds) {
        ensure!(is_open(number), "descriptor {number} is to be kept, and is not open");
    }
    let mut shown: Option<OwnedFd> = None;
    let socket = match (&options.console_socket, decided.terminal) {
        (Some(path), Some(_)) => Some(console::connect(path)?),
        (None, Some(_)) => {
            ensure!(
                !options.detach,
                "a terminal is wanted: name a socket for it with --console-socket"
            );
            let (ours, theirs) = UnixStream::pair().context("making a socket for the terminal")?;
            shown = Some(ours.into());
            Some(theirs.into())
        }
        (Some(_), None) => bail!("there is a console socket, and no terminal is wanted"),
        (None, None) => None,
    };
    let agent = decided.seccomp.as_ref().and_then(|seccomp| seccomp.agent.as_ref());
    let agent = agent.map(|(path, _)| Agent::reach(Path::new(path))).transpose()?;
    let affinity = written.exec_cpu_affinity.as_ref().map(Affinity::parse).transpose()?;
    let affinity = affinity.unwrap_or_default();
    if let Some(processors) = &affinity.first {
        // This process's, and so at first that of the one which is born in the group.
        processors.bind()?;
    }
    let birth = Birth {
        joined: namespaces(first)?,
        cgroup: group(&record, first, options.cgroup.as_deref())?,
        ..Birth::default()
    };
    // Where the container's root is not its mount namespace's.
    let root = (!record.is_pivoted).then(|| crate::sys::mount::open_place(Path::new(&format!("/proc/{first}/root"))));
    let root = root.transpose().context("opening the container's root")?;
    let has_users = birth.joined.iter().any(|(kind, _)| *kind == Kind::User);
    let (ours, theirs) = channel::pair()?;
    let Some(pid) = birth.give()? else {
        drop(ours);
        enter(Beginning {
            process: decided,
            maker: theirs,
            root,
            has_users,
            processors: affinity.last,
            setting: Setting {
                umask: Mode::empty(),
                session: Session::Callers,
                console: socket,
                descriptors: options.preserve_fds.into(),
                keyring: None,
                agent,
                state: directory.state(&record, Status::Running),
                environment: Vec::new(),
            },
        })
    };
    drop((theirs, socket, agent, root));
    follow(pid, &decided, &ours, options, shown.as_ref())
}

/// The maker's part.
fn follow(pid: Pid, process: &Process, channel: &End, options: &Exec, shown: Option<&OwnedFd>) -> Result<u8> {
    let begin = || -> Result<()> {
        if let Some(score) = process.oom_score {
            fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string()).context("setting the OOM score")?;
        }
        channel.tell(Message::Go);
        channel.await_one(Message::Ready)?;
        limit(pid, process)?;
        write_pid(options.pid_file.as_deref(), pid)?;
        channel.tell(Message::Kept);
        channel.await_execution()
    };
    if let Err(error) = begin() {
        send_signal(pid, libc::SIGKILL);
        let _ = wait_for(pid);
        return Err(error);
    }
    if options.detach {
        return Ok(0);
    }
    let outcome = attend(pid, shown)?;
    Ok(u8::try_from(outcome.status()).unwrap_or(u8::MAX))
}

/// What the process is, as it is written: in a file, or as the container's own with what the options say.
fn written(options: &Exec, config: &Config) -> Result<Written> {
    if let Some(path) = &options.process {
        let text = fs::read(path).with_context(|| format!("reading '{}'", path.display()))?;
        let mut written: Written =
            serde_json::from_slice(&text).with_context(|| format!("reading '{}'", path.display()))?;
        written.terminal |= options.tty;
        return Ok(written);
    }
    ensure!(!options.command.is_empty(), "there is no command to run");
    let mut written = config.process.clone().unwrap_or_default();
    written.args = Some(options.command.clone());
    written.terminal = options.tty;
    written.oom_score_adj = None;
    written.env.get_or_insert_default().extend(options.env.iter().cloned());
    written.no_new_privileges |= options.no_new_privs;
    if let Some(directory) = &options.cwd {
        written.cwd.clone_from(directory);
    }
    if let Some(profile) = &options.apparmor {
        written.apparmor_profile = Some(profile.clone());
    }
    if let Some(label) = &options.process_label {
        written.selinux_label = Some(label.clone());
    }
    if let Some(user) = &options.user {
        let (uid, gid) = user
            .split_once(':')
            .map_or((user.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        let number = |text: &str| {
            let is_number = text.chars().all(|c| c.is_ascii_digit());
            let number = text.parse().ok().filter(|_| is_number);
            number.with_context(|| format!("the user is UID[:GID], two numbers, and not '{user}'"))
        };
        written.user.uid = number(uid)?;
        written.user.gid = gid.map(number).transpose()?.unwrap_or(0);
        written.user.additional_gids = None;
    }
    if !options.additional_gids.is_empty() {
        written.user.additional_gids = Some(options.additional_gids.clone());
    }
    if !options.cap.is_empty() {
        let sets: &mut Capabilities = written.capabilities.get_or_insert_default();
        let is_root = written.user.uid == 0;
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.get_or_insert_default().extend(options.cap.iter().cloned());
        }
        if !is_root {
            for set in [&mut sets.inheritable, &mut sets.ambient] {
                set.get_or_insert_default().extend(options.cap.iter().cloned());
            }
        }
    }
    Ok(written)
}

/// The namespaces of `first` that are not ours.
fn namespaces(first: Pid) -> Result<Vec<(Kind, OwnedFd)>> {
    let mut joined = Vec::new();
    for kind in Kind::ALL {
        let open = |pid: &str| File::open(format!("/proc/{pid}/ns/{}", kind.file()));
        let Ok(ours) = open("self") else { continue };
        let theirs = open(&first.to_string()).with_context(|| format!("opening the namespace '{}'", kind.name()))?;
        let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        if identity(&ours)? != identity(&theirs)? {
            joined.push((kind, theirs.into()));
        }
    }
    Ok(joined)
}

/// The container's control group, or one below it.
fn group(record: &Record, first: Pid, below: Option<&str>) -> Result<Option<OwnedFd>> {
    let Some(directory) = &record.cgroup.directory else {
        return Ok(None);
    };
    if let Some(below) = below {
        let below = below.trim_start_matches('/');
        ensure!(
            below.split('/').all(|part| part != ".."),
            "'{below}' leads out of the container's control group"
        );
        let path = directory.join(below);
        return Ok(Some(
            File::open(&path)
                .with_context(|| format!("opening '{}'", path.display()))?
                .into(),
        ));
    }
    // A payload that manages groups may have moved down, and where it was there can be no process any more.
    let top = crate::oci::cgroup::mount_point().unwrap_or(Path::new("/sys/fs/cgroup"));
    let now = crate::oci::cgroup::of_process(&first.to_string())?;
    let now = top.join(now.strip_prefix("/").unwrap_or(&now));
    let path = if now.starts_with(directory) { &now } else { directory };
    let is_there = path.file_name() != Some(OsStr::new(""));
    ensure!(is_there, "the container has no control group");
    Ok(Some(
        File::open(path)
            .with_context(|| format!("opening '{}'", path.display()))?
            .into(),
    ))
}

struct Beginning {
    process: Process,
    maker: End,
    root: Option<OwnedFd>,
    has_users: bool,
    processors: Option<Processors>,
    setting: Setting,
}

fn enter(beginning: Beginning) -> ! {
    let Beginning {
        process,
        maker,
        root,
        has_users,
        processors,
        mut setting,
    } = beginning;
    let mut ready = || -> Result<Session> {
        // The container's processes see this one from now on.
        forbid_inspection()?;
        setting.agent.as_mut().map_or(Ok(()), Agent::take_up)?;
        maker.await_one(Message::Go)?;
        if let Some(processors) = &processors {
            processors.bind()?;
        }
        if has_users {
            become_root().context("becoming the root of the user namespace")?;
        }
        if let Some(root) = &root {
            enter_by_chroot(root.as_fd()).context("entering the container's root")?;
        }
        let session = match (process.terminal, &setting.console) {
            (Some(size), Some(socket)) => {
                let here = crate::sys::mount::open_place(Path::new("/"))?;
                let terminal = console::open(here.as_fd(), size, process.uid)?;
                console::send(socket.as_fd(), &terminal).context("sending the terminal")?;
                take_terminal(terminal.inner.as_fd())?;
                Session::Led
            }
            _ => Session::Callers,
        };
        maker.tell(Message::Ready);
        maker.await_one(Message::Kept)?;
        Ok(session)
    };
    match ready() {
        Ok(session) => {
            setting.session = session;
            // As the caller has it.
            setting.umask = umask(Mode::empty());
            become_it(&process, &setting, maker.into())
        }
        Err(error) => {
            channel::fail(maker.as_fd(), &error);
            exit(1)
        }
    }
}
