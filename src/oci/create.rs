//! Makes a container from a bundle: everything up to the moment at which it waits to be started.
//!
//! The record is written before there is anything to take back, and with every step again; whatever fails or is killed, the container's
//! process ends with this one until the container is complete, and `delete --force` finds the rest in the record.

use std::fs;
use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, bail, ensure};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::definition::label::SecurityModule;
use crate::definition::places::security;
use crate::oci::agent::Agent;
use crate::oci::birth::{self, Birth};
use crate::oci::build::{self, Beginning, Entry};
use crate::oci::cgroup::place::{Manager, Place, place};
use crate::oci::cgroup::{self, Cgroup, device, limits, scope};
use crate::oci::channel::{self, End, Lender, Message};
use crate::oci::config::Config;
use crate::oci::console::Way;
use crate::oci::container::{Directory, Record, Status, now, start_time};
use crate::oci::lend::{Sources, lend};
use crate::oci::plan::namespace::Kind;
use crate::oci::plan::process::{Process, not_granted};
use crate::oci::plan::{Plan, plan};
use crate::oci::process::{Session, Setting};
use crate::oci::seal::seal;
use crate::oci::{hook, process, unmounting};
use crate::run::planning;
use crate::sys::capability;
use crate::sys::process::{send_signal, wait_for};
use crate::sys::task;
use crate::sys::user::map_identities;

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// Where containers are written down.
    pub root: PathBuf,
    /// The container's name.
    pub id: String,
    /// The directory of its `config.json`.
    pub bundle: PathBuf,
    /// Where its terminal is to be sent.
    pub console: Option<Way>,
    /// Who shows its terminal if that is nowhere.
    pub terminal: Terminal,
    /// How many descriptors it keeps.
    pub descriptors: RawFd,
    /// How its root is entered.
    pub entry: Entry,
    /// Whether it gets a session keyring of its own.
    pub keyring: Keyring,
    /// Who owns its control group.
    pub manager: Manager,
    /// When it is started.
    pub start: Start,
}

/// Who shows a container's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Whoever listens at its socket.
    Others,
    /// The caller of [`create`], who gets it over [`Made::shown`].
    Caller,
}

/// When a container is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// By another command.
    Later,
    /// By this one.
    Now,
}

/// Which session keyring a payload has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyring {
    /// A new one.
    New,
    /// The caller's.
    Callers,
}

/// A container that is made.
#[derive(Debug)]
pub struct Made {
    /// Where it is written down.
    pub directory: Directory,
    /// What is written there.
    pub record: Record,
    /// What was decided for it.
    pub plan: Plan,
    /// Its process.
    pub pid: Pid,
    /// The way to it.
    pub channel: End,
    /// Where its terminal comes, if it has one and the caller shows it.
    pub shown: Option<OwnedFd>,
    /// What it has not got, and can do without.
    pub warnings: Vec<Error>,
}

/// Makes a container.
///
/// # Errors
/// Whatever stands in the way; nothing is left of it then.
pub fn create(mut request: Request) -> Result<Made> {
    let bundle = fs::canonicalize(&request.bundle)
        .with_context(|| format!("opening the bundle '{}'", request.bundle.display()))?;
    let path = bundle.join("config.json");
    let text = fs::read(&path).with_context(|| format!("reading '{}'", path.display()))?;
    let mut config: Config = serde_json::from_slice(&text).with_context(|| format!("reading '{}'", path.display()))?;
    if let Some(linux) = &mut config.linux {
        // Labels of files mean nothing where no security module reads them, and no file system takes them there.
        let _ = linux
            .mount_label
            .take_if(|_| security::find(Path::new("/")) != SecurityModule::Selinux);
    }
    let mut plan = plan(&config, &bundle, planning::kernel()?).with_context(|| format!("'{}'", path.display()))?;
    let warnings = restrict(&mut plan)?;
    if plan.namespaces.joined.iter().any(|(kind, _)| *kind == Kind::Pid) {
        seal()?;
    }
    let directory = Directory::of(&request.root, &request.id)?;
    let mut shown = None;
    if wants_terminal(&plan) && request.terminal == Terminal::Caller && request.console.is_none() {
        let (ours, theirs) = UnixStream::pair().context("making a socket for the terminal")?;
        (shown, request.console) = (Some(ours.into()), Some(Way::Open(theirs.into())));
    }
    check(&plan, &request)?;
    directory.reserve()?;
    let mut record = Record {
        // Without `.` or links, as the kernel tells of mounts.
        rootfs: fs::canonicalize(&plan.root).with_context(|| format!("opening the root '{}'", plan.root.display()))?,
        bundle,
        created: now(),
        annotations: plan.annotations.clone(),
        has_host_mounts: !plan.namespaces.is_own(Kind::Mount),
        is_pivoted: request.entry == Entry::Pivot && plan.namespaces.is_own(Kind::Mount),
        ..Record::default()
    };
    match attempt(request, &plan, &directory, &mut record, &text) {
        Ok((pid, channel)) => Ok(Made {
            directory,
            record,
            plan,
            pid,
            channel,
            shown,
            warnings,
        }),
        Err(error) => {
            undo(&directory, &record, &plan);
            Err(error)
        }
    }
}

/// Takes out of the plan which rights nobody here can grant. Returns what is to be said of it.
fn restrict(plan: &mut Plan) -> Result<Vec<Error>> {
    // In a user namespace of its own it has everything there is.
    let grantable = match plan.namespaces.is_own(Kind::User) {
        true => capability::known(),
        false => capability::grantable().context("reading the capabilities")?,
    };
    let missing = plan.process.as_mut().map_or(0, |process| process.grant(grantable));
    Ok(not_granted(missing).into_iter().collect())
}

fn wants_terminal(plan: &Plan) -> bool {
    plan.process.as_ref().is_some_and(|process| process.terminal.is_some())
}

/// What does not go together is said before anything is done.
fn check(plan: &Plan, request: &Request) -> Result<()> {
    let terminal = wants_terminal(plan);
    ensure!(
        terminal || request.console.is_none(),
        "there is a console socket, and 'process.terminal' is not set in the config.json"
    );
    ensure!(
        !terminal || request.console.is_some(),
        "'process.terminal' is set in the config.json: name a socket for it with --console-socket"
    );
    for number in 3..3 + request.descriptors {
        ensure!(
            process::is_open(number),
            "descriptor {number} is to be kept, and is not open"
        );
    }
    Ok(())
}

/// Takes back what a failed attempt has left.
fn undo(directory: &Directory, record: &Record, plan: &Plan) {
    if record.pid > 0 {
        send_signal(Pid::from_raw(record.pid), libc::SIGKILL);
        let _ = wait_for(Pid::from_raw(record.pid));
        let state = directory.state(record, Status::Stopped);
        let _ = hook::run_all(plan.hooks.poststop.as_deref(), "poststop", &state);
    }
    let _ = record.cgroup.remove();
    if record.has_host_mounts {
        let _ = unmounting::unmount(&record.rootfs, &directory.id);
    }
    let _ = directory.remove();
}

fn attempt(
    request: Request,
    plan: &Plan,
    directory: &Directory,
    record: &mut Record,
    text: &[u8],
) -> Result<(Pid, End)> {
    let own = match (request.manager, &plan.cgroup) {
        (Manager::Cgroupfs, None) => cgroup::of_process("self")?,
        _ => PathBuf::new(),
    };
    let place = place(request.manager, plan.cgroup.as_deref(), &request.id, &own)?;
    record.cgroup = located(&place, plan)?;
    directory.keep_config(text)?;
    directory.write(record)?;
    let settings = limits::settings(&plan.resources)?;
    let top = cgroup::mount_point().unwrap_or(Path::new("/sys/fs/cgroup"));
    if let Place::Directory(_) = &place {
        make_group(&mut record.cgroup, plan)?;
        limits::apply(&record.cgroup, top, &settings)?;
    } else if place == Place::Nowhere {
        ensure!(
            settings.is_empty(),
            "limits are asked for, and control groups are disabled"
        );
    }
    let (lent, sources) = (lend(plan)?, Sources::open(plan)?);
    let start = match request.start {
        Start::Now => None,
        // Short whatever the directory's path is: a socket's has 108 bytes at most.
        Start::Later => Some(listen(directory)?),
    };
    let agent = plan
        .process
        .as_ref()
        .and_then(|process| process.seccomp.as_ref()?.agent.as_ref());
    let agent = agent.map(|(path, _)| Agent::reach(Path::new(path))).transpose()?;
    let console = request.console.map(Way::open).transpose()?;
    let (ours, theirs) = channel::pair()?;
    let group = match &place {
        Place::Directory(_) => record.cgroup.open()?,
        Place::Scope { .. } | Place::Nowhere => None,
    };
    let birth = Birth {
        // Made by the process itself, once it is in its group.
        new: plan
            .namespaces
            .new
            .iter()
            .filter(|kind| **kind != Kind::Cgroup)
            .fold(0, |flags, kind| flags | kind.flag()),
        joined: birth::open(&plan.namespaces.joined)?,
        offsets: plan.namespaces.offsets.clone(),
        cgroup: group,
    };
    let Some(pid) = birth.give()? else {
        drop((ours, sources));
        let keyring = (request.keyring == Keyring::New).then(|| format!("_ses.{}", request.id));
        build::enter(Beginning {
            plan: plan.clone(),
            lent,
            maker: theirs,
            start,
            setting: Setting {
                umask: Mode::empty(),
                session: Session::Callers,
                console,
                descriptors: request.descriptors,
                keyring,
                agent,
                state: directory.state(record, Status::Created),
                environment: Vec::new(),
            },
            entry: if plan.namespaces.is_own(Kind::Mount) {
                request.entry
            } else {
                Entry::Chroot
            },
            state: directory.state(record, Status::Creating),
        })
    };
    // Its end must be seen when it dies.
    drop((theirs, start, agent, console));
    record.pid = pid.as_raw();
    record.started = start_time(pid.as_raw()).context("the container's process has died at once")?;
    attend(plan, &place, record, pid)?;
    drop(lent);
    ours.tell(Message::Go);
    // While the container's process builds. It ends with this one until it is told that it is kept, and its group is in the record already.
    directory.write(record)?;
    if let Place::Directory(_) = &place {
        restrict_devices(plan, record)?;
    }
    let mut lend = |numbers: Range<usize>| sources.lend(plan, numbers, pid);
    run_hooks(plan, directory, record, &ours, &mut lend)?;
    ours.await_one_lending(Message::Ready, &mut lend)
        .context("making the container")?;
    // By us, who may raise them, and last, since they hold for the container's process at once.
    if let Some(process) = &plan.process {
        limit(pid, process)?;
    }
    Ok((pid, ours))
}

/// Where the group will be, for a record that is written before it is made.
fn located(place: &Place, plan: &Plan) -> Result<Cgroup> {
    let Some(path) = place.directory() else {
        return Ok(Cgroup::default());
    };
    let top = cgroup::mount_point();
    if let (Place::Scope { unit, .. }, Some(top)) = (place, &top) {
        let directory = top.join(path);
        // What is in the record is stopped with the container.
        ensure!(!directory.exists(), "there is a scope '{unit}' already");
        return Ok(Cgroup {
            directory: Some(directory),
            scope: Some(unit.clone()),
            made: 0,
        });
    }
    match top {
        Some(top) => Ok(Cgroup {
            directory: Some(top.join(path)),
            ..Cgroup::default()
        }),
        None if limits::settings(&plan.resources)?.is_empty() => Ok(Cgroup::default()),
        None => bail!("limits are asked for, and the host has no control groups of version 2"),
    }
}

/// Makes the group; a host that lets us make none is fine if nothing was asked of it.
fn make_group(group: &mut Cgroup, plan: &Plan) -> Result<()> {
    match group.make() {
        Err(error) if plan.cgroup.is_none() && limits::settings(&plan.resources)?.is_empty() => {
            let _ = error;
            *group = Cgroup::default();
            Ok(())
        }
        made => made,
    }
}

/// Waits for starts at the directory's socket.
fn listen(directory: &Directory) -> Result<UnixListener> {
    use std::os::fd::AsRawFd as _;
    let opened = fs::File::open(&directory.path)?;
    let path = format!("/proc/self/fd/{}/start", opened.as_raw_fd());
    UnixListener::bind(path).with_context(|| format!("making the socket '{}'", directory.start().display()))
}

/// The maker's part, while the container's process waits.
fn attend(plan: &Plan, place: &Place, record: &mut Record, pid: Pid) -> Result<()> {
    if plan.namespaces.is_new(Kind::User) {
        map_identities(pid, &plan.namespaces.users, &plan.namespaces.groups)
            .context("mapping the container's identities")?;
    }
    if let Some(score) = plan.process.as_ref().and_then(|process| process.oom_score) {
        let path = format!("/proc/{pid}/oom_score_adj");
        fs::write(&path, score.to_string()).with_context(|| format!("writing '{score}' to '{path}'"))?;
    }
    if let Place::Scope { slice, unit } = place {
        scope::start(slice, unit, pid, &plan.resources)?;
        let top = cgroup::mount_point().context("the host has no control groups of version 2")?;
        let path = cgroup::of_process(&pid.to_string())?;
        record.cgroup = Cgroup {
            directory: Some(top.join(path.strip_prefix("/").unwrap_or(&path))),
            scope: Some(unit.clone()),
            made: 0,
        };
        limits::apply(&record.cgroup, top, &limits::settings(&plan.resources)?)?;
        restrict_devices(plan, record)?;
    }
    Ok(())
}

/// Loads the filter of the group's devices, which takes the kernel as long as a third of the namespaces.
fn restrict_devices(plan: &Plan, record: &Record) -> Result<()> {
    if let Some(policy) = &plan.device_policy
        && let Some(group) = record.cgroup.open()?
    {
        device::apply(group.as_fd(), policy)?;
    }
    Ok(())
}

/// Sets the limits of `process` for `pid`.
///
/// # Errors
/// The kernel does not take one.
pub fn limit(pid: Pid, process: &Process) -> Result<()> {
    for limit in &process.rlimits {
        task::set_limit(pid, limit.resource, limit.soft, limit.hard)
            .with_context(|| format!("setting the limit {:?}", limit.resource))?;
    }
    Ok(())
}

/// The hooks in the caller's namespaces, when the container's process has come so far.
fn run_hooks(plan: &Plan, directory: &Directory, record: &Record, channel: &End, lend: &mut Lender<'_>) -> Result<()> {
    let hooks = &plan.hooks;
    let is_some = |hooks: &Option<Vec<_>>| hooks.as_ref().is_some_and(|hooks| !hooks.is_empty());
    if !is_some(&hooks.prestart) && !is_some(&hooks.create_runtime) {
        return Ok(());
    }
    channel
        .await_one_lending(Message::Built, lend)
        .context("making the container")?;
    // In the specification's count of steps the first of them come when the container is made already.
    hook::run(
        hooks.prestart.as_deref(),
        "prestart",
        &directory.state(record, Status::Created),
    )?;
    let state = directory.state(record, Status::Creating);
    hook::run(hooks.create_runtime.as_deref(), "createRuntime", &state)?;
    channel.tell(Message::Hooked);
    Ok(())
}
