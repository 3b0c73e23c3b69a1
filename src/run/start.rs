//! The shim: one start of one container, from the resolved definition to the hand-over, then it is gone.
//!
//! It runs as systemd's `ExecStart=` and is on the way between a client and its answer: no threads, no D-Bus, no locks, a handful of
//! small files. What stays behind is a child of systemd, made with `CLONE_PARENT`, and known to it by `MAINPID=` (sd_notify(3)).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::sys::signal::SigSet;
use sd_notify::NotifyState;

use crate::activation;
use crate::definition::{Definition, Network, Resolved, Root};
use crate::image::reference::Reference;
use crate::plan::{self, Plan, Source, Surroundings};
use crate::run::cleanup::writable_layer;
use crate::run::container;
use crate::run::failure::{CONFIG, Failure, NAMESPACE, OrFail as _, Priority, say};
use crate::run::notify;
use crate::store::{Held, Image, Store};
use crate::sys::process::{clone_sibling, is_pending, send_signal};

/// What the first process of the container takes over from the shim.
#[derive(Debug)]
pub struct Handover {
    /// What to do.
    pub plan: Plan,
    /// The sockets, in the order of the plan.
    pub sockets: Vec<OwnedFd>,
    /// systemd's notify socket, connected, since its path is out of sight inside.
    pub notify: Option<UnixDatagram>,
    /// A byte comes when the shim has told systemd who is the main process now; an end without it, when the shim was killed.
    pub shim_is_gone: OwnedFd,
    /// Keeps the image's layers from being removed.
    pub held: Option<Held>,
}

/// Starts the container whose resolved definition is `resolved` as the service `unit`. Returns in the shim only.
///
/// # Errors
/// Everything up to the hand-over. Later errors are init's, which reports them and exits in the same way.
pub fn start(resolved: &Path, unit: &str) -> Result<(), Failure> {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| (lossy(name), lossy(value)))
        .collect();
    let definition = read(resolved).or_fail(CONFIG)?;
    may_start().or_fail(CONFIG)?;
    let passed = activation::take(&environment).or_fail(CONFIG)?;
    let sockets = activation::in_order(&definition.sockets, passed).or_fail(CONFIG)?;

    let store = Store::open(Store::system_root()).or_fail(CONFIG)?;
    let (image, layers) = source(&definition, &store).or_fail(CONFIG)?;
    let held = image
        .as_ref()
        .map(|image| store.confine(store.hold(image)?, image))
        .transpose()
        .or_fail(CONFIG)?;
    let config = image.as_ref().and_then(|image| image.config.config().as_ref());
    let mount_point = mount_point().or_fail(NAMESPACE)?;
    let writable_layer = writable_layer(&store, unit).or_fail(CONFIG)?;
    let surroundings = Surroundings {
        unit,
        writable_layer: &writable_layer,
        mount_point: &mount_point,
        environment: &environment,
    };
    let plan = plan::plan(
        &definition,
        Source {
            layers: &layers,
            config,
        },
        surroundings,
    )
    .or_fail(CONFIG)?;

    let notify = notify::connect(&environment)
        .context("connecting to systemd's notify socket")
        .or_fail(NAMESPACE)?;
    let (shim_is_gone, told) = nix::unistd::pipe2(OFlag::O_CLOEXEC).or_fail(NAMESPACE)?;
    let namespaces = namespaces(plan.network);
    // An init has no default action for SIGTERM, so a stop that comes before init reads signals must stay pending.
    SigSet::all().thread_block().or_fail(NAMESPACE)?;
    match clone_sibling(namespaces)
        .context("creating the namespaces (clone3)")
        .or_fail(NAMESPACE)?
    {
        None => {
            drop(told);
            drop((image, definition, environment));
            container::enter(Handover {
                plan,
                sockets,
                notify,
                shim_is_gone,
                held,
            })
        }
        Some(pid) => {
            let main = [NotifyState::MainPid(pid.as_raw().cast_unsigned())];
            sd_notify::notify(&main)
                .context("telling systemd the main process")
                .or_fail(NAMESPACE)?;
            let _ = nix::unistd::write(&told, b"!");
            // A stop that was still meant for us is meant for the main process now.
            if is_pending(libc::SIGTERM) {
                send_signal(pid, libc::SIGTERM);
            }
            Ok(())
        }
    }
}

/// Without root it takes user namespaces, which this release does not make.
fn may_start() -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "a user's own manager cannot start containers in this release: define it in '/etc/coracle', for the system's manager"
    );
    Ok(())
}

/// Prints a failure as the shim and init do: for the journal, and as the unit's status text.
pub fn report(failure: &Failure) {
    let message = failure.to_string();
    say(Priority::Error, &message);
    let _ = sd_notify::notify(&[NotifyState::Status(message.lines().next().unwrap_or_default())]);
}

fn lossy(text: OsString) -> String {
    text.to_string_lossy().into_owned()
}

fn namespaces(network: Network) -> libc::c_int {
    let always =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWCGROUP;
    match network {
        Network::None => always | libc::CLONE_NEWNET,
        Network::Host => always,
    }
}

/// Where the root is built: over the shim's own directory, which is always there, which nothing inside needs, and which nobody else
/// sees covered.
fn mount_point() -> Result<PathBuf> {
    let program = std::env::current_exe().context("reading '/proc/self/exe'")?;
    Ok(program.parent().context("the shim lies in no directory")?.to_owned())
}

/// Reads what the generator left. A definition with mistakes fails here with its diagnostics, one line each.
fn read(resolved: &Path) -> Result<Definition> {
    let text = read_between_reloads(resolved).with_context(|| format!("reading '{}'", resolved.display()))?;
    match serde_json::from_str(&text).with_context(|| format!("reading '{}'", resolved.display()))? {
        Resolved::Container(definition) => Ok(*definition),
        Resolved::Broken(diagnostics) => {
            let (last, others) = diagnostics.split_last().context("the definition is broken")?;
            others.iter().for_each(|diagnostic| say(Priority::Error, diagnostic));
            bail!("{last}")
        }
    }
}

/// systemd empties the generators' directories at a reload and fills them again: what is missing now may be there in a moment.
fn read_between_reloads(path: &Path) -> io::Result<String> {
    for _ in 0..20 {
        match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => sleep(Duration::from_millis(50)),
            result => return result,
        }
    }
    fs::read_to_string(path)
}

/// The directories that the root is made of, lowest first, and the image they come from.
///
/// # Errors
/// The image is not in the store.
pub fn source(definition: &Definition, store: &Store) -> Result<(Option<Image>, Vec<PathBuf>)> {
    match &definition.container.root {
        Root::Image(reference) => {
            let image = store.find(&reference.parse::<Reference>()?)?;
            let layers = image.layers.iter().map(|layer| store.layer_path(layer)).collect();
            Ok((Some(image), layers))
        }
        Root::Rootfs(directory) => Ok((None, vec![directory.clone()])),
    }
}
