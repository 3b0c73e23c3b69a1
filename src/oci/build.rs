//! The container's first process: builds the container around itself, waits to be started, and becomes the payload.
//!
//! It has been born into its namespaces. Nothing here returns into the maker's code: it ends in exec, or with a word to whoever waits and
//! an exit status. Every path in the root is looked up by this process, with the container's rights, without leaving the root.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context as _, Result};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat, umask};
use serde_json::Value;

use crate::oci::agent::Agent;
use crate::oci::channel::{self, End, Message};
use crate::oci::lend::Lent;
use crate::oci::plan::mount::Propagation;
use crate::oci::plan::namespace::Kind;
use crate::oci::plan::{Access, Plan};
use crate::oci::process::{self, Session, Setting};
use crate::oci::{closing, console, hook, mounting, nodes, unmounting};
use crate::run::rootfs::Cover;
use crate::run::{sysctl, terminal};
use crate::sys::mount::{self, Depth, Filesystem, add_attributes, attach, propagate};
use crate::sys::network;
use crate::sys::path::{Links, make_directory_in_root};
use crate::sys::process::{exit, forbid_inspection, set_domain_name};
use crate::sys::user::become_root;

/// What the process has from its maker.
#[derive(Debug)]
pub struct Beginning {
    /// What to do.
    pub plan: Plan,
    /// What comes from the host.
    pub lent: Lent,
    /// The way to the maker.
    pub maker: End,
    /// Where it waits to be started; at once if there is none.
    pub start: Option<UnixListener>,
    /// What the payload gets from the caller.
    pub setting: Setting,
    /// How the root is entered.
    pub entry: Entry,
    /// The state for its hooks, without status and process.
    pub state: Value,
}

/// How the root is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// pivot_root(2): nothing of the host's mounts is left.
    Pivot,
    /// The root is moved over `/`, for a host whose own root cannot be left (`--no-pivot`).
    Move,
    /// chroot(2), for a container without a mount namespace: its mounts are the host's, and taken off again when it is deleted.
    Chroot,
}

/// Builds the container, and becomes its payload.
pub fn enter(beginning: Beginning) -> ! {
    // Gone again before the payload is: the copy is closed with all the rest.
    let maker = beginning.maker.as_fd().try_clone_to_owned();
    if let (Err(error), Ok(maker)) = (run(beginning), maker) {
        channel::fail(maker.as_fd(), &error);
    }
    exit(1)
}

fn run(mut beginning: Beginning) -> Result<()> {
    // Nobody in a namespace that is joined may look into this process while it still has what is the host's.
    forbid_inspection()?;
    beginning.setting.agent.as_mut().map_or(Ok(()), Agent::take_up)?;
    beginning.maker.await_one(Message::Go)?;
    let mask = umask(Mode::empty());
    let entered = build(&mut beginning)?;
    let Beginning {
        plan,
        maker,
        start,
        mut setting,
        state,
        ..
    } = beginning;
    setting.umask = mask;
    if let Some(end) = entered {
        process::take_terminal(end.as_fd())?;
        setting.session = Session::Led;
    }
    plan.process.as_ref().map_or(Ok(()), process::look_for)?;
    maker.tell(Message::Ready);
    maker.await_one(Message::Kept)?;
    let report = match start {
        // The maker is gone by now; who connects is who starts.
        Some(start) => {
            drop(maker);
            let (connection, _) = start.accept().context("waiting to be started")?;
            OwnedFd::from(connection)
        }
        None => maker.into(),
    };
    let ready = || {
        let process = plan.process.as_ref();
        let environment = process.map_or(&[][..], |process| &process.environment);
        hook::run_in(
            hook::Surroundings::Payload(environment),
            plan.hooks.start_container.as_deref(),
            "startContainer",
            &of_container(&state, "created"),
        )?;
        process.context("the config.json has no 'process'")
    };
    match ready() {
        Ok(process) => process::become_it(process, &setting, report),
        Err(error) => channel::fail(report.as_fd(), &error),
    }
    exit(1)
}

/// The state as a hook in the container sees it.
fn of_container(state: &Value, status: &str) -> Value {
    let mut state = state.clone();
    if let Some(fields) = state.as_object_mut() {
        fields.insert("status".to_owned(), status.into());
        fields.insert("pid".to_owned(), nix::unistd::getpid().as_raw().into());
    }
    state
}

/// Everything up to the root, which is entered at the end. Returns the payload's terminal, if it is to have one.
fn build(beginning: &mut Beginning) -> Result<Option<OwnedFd>> {
    let plan = &beginning.plan;
    let namespaces = &plan.namespaces;
    if namespaces.is_new(Kind::Cgroup) {
        // Only now is this process in the group that is to be the namespace's top.
        unshare(CloneFlags::CLONE_NEWCGROUP).context("creating the cgroup namespace")?;
    }
    if namespaces.is_own(Kind::User) {
        become_root().context("becoming the root of the user namespace")?;
    }
    if namespaces.is_new(Kind::Network) {
        network::bring_loopback_up().context("bringing the loopback interface up")?;
    }
    // Before there is a root: nothing of it is in the way.
    sysctl::apply(&plan.sysctls)?;
    if let Some(name) = &plan.hostname {
        nix::unistd::sethostname(name).with_context(|| format!("setting the host name '{name}'"))?;
    }
    if let Some(name) = &plan.domainname {
        set_domain_name(name).with_context(|| format!("setting the domain name '{name}'"))?;
    }
    let root = beginning.lent.root.as_fd();
    let empty = match beginning.entry {
        Entry::Chroot => {
            let place = mount::open_place(&plan.root).context("opening the root")?;
            cover(root, place.as_fd(), &beginning.setting.state)?
        }
        Entry::Pivot | Entry::Move => {
            let top = mount::open_place(Path::new("/"))?;
            propagate(top.as_fd(), libc::MS_SLAVE, Depth::Tree).context("cutting the mount namespace off")?;
            propagate(top.as_fd(), libc::MS_PRIVATE, Depth::Mount).context("cutting the mount namespace off")?;
            cover(root, top.as_fd(), &beginning.setting.state)?
        }
    };
    mounting::mount_all(plan, root, &beginning.maker, beginning.lent.sysfs.as_ref())?;
    nodes::make(&plan.nodes, root, &beginning.lent.nodes)?;
    ask_for_hooks(beginning)?;
    closing::close_paths(root, &plan.masked, &plan.read_only, &empty)?;
    let console = open_console(beginning, root)?;
    if let Some(process) = &plan.process {
        let directory = Path::new(&process.working_directory);
        // One that is there and cannot be opened is found out by the payload's own user.
        let _ = make_directory_in_root(root, directory, Links::Inside);
    }
    if plan.access == Access::ReadOnly {
        add_attributes(root, MOUNT_ATTR_RDONLY, Depth::Mount).context("making the root read-only")?;
    }
    match beginning.entry {
        Entry::Move | Entry::Chroot => mount::enter_by_chroot(root).context("entering the root")?,
        // The host's root, and the tmpfs over it.
        Entry::Pivot => mount::pivot_from(root, 2).context("entering the root")?,
    }
    if let Some((propagation, depth)) = plan.propagation {
        let root = mount::open_place(Path::new("/"))?;
        // A group of its own where the host's mount is in none.
        if propagation != Propagation::Slave {
            propagate(root.as_fd(), propagation.flag(), depth).context("setting the root's propagation")?;
        }
    }
    Ok(console)
}

/// Puts the root over `place`. Returns an empty directory and an empty file to hide others under.
fn cover(root: BorrowedFd<'_>, place: BorrowedFd<'_>, state: &Value) -> Result<Cover> {
    // Where it is mounted does not matter: what is needed of it is cloned, and it is gone with the host's mounts.
    let staging = Filesystem::open("tmpfs")?;
    staging.set("size", "16k")?;
    // In the host's own mount namespace it is found again by this name, and with it the mounts above.
    staging.set(
        "source",
        &unmounting::name(state.get("id").and_then(Value::as_str).unwrap_or_default()),
    )?;
    let staging = staging.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?;
    attach(staging.as_fd(), place).context("mounting a tmpfs to work in")?;
    mkdirat(&staging, "empty", Mode::from_bits_truncate(0o755))?;
    mknodat(&staging, "nothing", SFlag::S_IFREG, Mode::from_bits_truncate(0o444), 0)?;
    add_attributes(staging.as_fd(), MOUNT_ATTR_RDONLY, Depth::Mount)?;
    let open = |name: &str| openat(&staging, name, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
    let empty = Cover::of(open("empty")?, open("nothing")?);
    attach(root, place).context("mounting the root")?;
    Ok(empty)
}

/// The maker's hooks run while the namespaces are there and the root is not entered; so do the container's own.
fn ask_for_hooks(beginning: &Beginning) -> Result<()> {
    let hooks = &beginning.plan.hooks;
    let is_some = |hooks: &Option<Vec<_>>| hooks.as_ref().is_some_and(|hooks| !hooks.is_empty());
    if is_some(&hooks.prestart) || is_some(&hooks.create_runtime) {
        beginning.maker.tell(Message::Built);
        beginning.maker.await_one(Message::Hooked)?;
    }
    hook::run(
        hooks.create_container.as_deref(),
        "createContainer",
        &of_container(&beginning.state, "creating"),
    )
}

/// The terminal's other end, which becomes the payload's streams; it is `/dev/console` too.
fn open_console(beginning: &Beginning, root: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let process = beginning.plan.process.as_ref();
    let Some((size, process)) = process.and_then(|process| Some((process.terminal?, process))) else {
        return Ok(None);
    };
    let socket = beginning
        .setting
        .console
        .as_ref()
        .context("there is no socket for the terminal")?;
    let ends = console::open(root, size, process.uid)?;
    terminal::mount(root, ends.inner.as_fd())?;
    console::send(socket.as_fd(), &ends).context("sending the terminal")?;
    Ok(Some(ends.inner))
}
