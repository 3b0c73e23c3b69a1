//! The container's first process: builds the container around itself, and becomes its init.
//!
//! It is a copy of the shim, born into a user namespace and a PID namespace of its own. Nothing here returns into the shim's caller: it
//! ends in [`init`], or with a line in the journal and an exit status.
//!
//! It goes as far as it can alone while the shim makes the root; only then do the two meet.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;

use anyhow::{Context as _, Result};
use nix::pty::Winsize;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};

use crate::definition::UserNamespace;
use crate::definition::network::Network;
use crate::plan::Plan;
use crate::run::failure::{Failure, NAMESPACE, OrFail as _, Priority, one_line, say};
use crate::run::handover::{Message, Taker};
use crate::run::health::Dowry;
use crate::run::health::lead::Way;
use crate::run::notify::Systemd;
use crate::run::payload::{Prepared, Starter};
use crate::run::processor::Processor;
use crate::run::{init, rootfs, sysctl};
use crate::sys::diag::Diag;
use crate::sys::mount::{make_all_private, pivot};
use crate::sys::network;
use crate::sys::process::exit;
use crate::sys::user::become_root;

/// What the container's first process has from the shim.
#[derive(Debug)]
pub struct Beginning {
    /// What to do.
    pub plan: Plan,
    /// The sockets, in the order of the plan.
    pub sockets: Vec<OwnedFd>,
    /// What tells of their connections, where the plan asks for that.
    pub diag: Option<Diag>,
    /// What leads health checks to the sockets, likewise.
    pub ways: Vec<Way>,
    /// What the payload has left in its last run.
    pub stored: Vec<OwnedFd>,
    /// systemd's notify socket, connected, since its path is out of sight inside.
    pub notify: Option<UnixDatagram>,
    /// What the shim has yet to give.
    pub shim: Taker,
    /// The size of the terminal that the payload gets, if any; its client is at the other end of standard input.
    pub terminal: Option<Winsize>,
    /// The one that the shim runs on, to be left to it.
    pub processor: Option<Processor>,
}

/// The namespaces that the container makes itself, one excepted.
const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWNS
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWCGROUP);

/// Builds the container and runs it to its end.
pub fn enter(beginning: Beginning) -> ! {
    let Beginning {
        plan,
        sockets,
        diag,
        ways,
        stored,
        notify,
        shim,
        terminal,
        processor,
    } = beginning;
    if let Some(processor) = processor {
        processor.leave();
    }
    // Modes are as written here; the payload gets systemd's umask back.
    let mask = umask(Mode::empty());
    let built = build(&plan, (&sockets, stored), mask, &shim, processor).or_fail(NAMESPACE);
    let systemd = Systemd::new(notify, shim);
    let failure = match built {
        Ok((payload, locks)) => {
            let dowry = Dowry { mask, ways };
            init::run(plan, (sockets, diag), (payload, dowry), &systemd, locks, terminal)
        }
        Err(failure) => failure,
    };
    report(&failure, &systemd);
    exit(failure.status)
}

/// Says why the container ends, to the journal and as the unit's status text.
fn report(failure: &Failure, systemd: &Systemd) {
    let message = failure.to_string();
    // First of all: a shim that is gone is why this failed, and has said so. And as there, not faster than systemd.
    systemd.settle();
    say(Priority::Error, &message);
    systemd.tell(&format!("STATUS={}", one_line(&message)));
    systemd.settle();
}

/// Leaves the host's namespaces, builds the root and enters it. Returns the process that is to be the payload, and the locks that are to end
/// with the container.
fn build(
    plan: &Plan,
    (sockets, stored): (&[OwnedFd], Vec<OwnedFd>),
    mask: Mode,
    shim: &Taker,
    processor: Option<Processor>,
) -> Result<(Prepared, Vec<OwnedFd>)> {
    unshare(NAMESPACES).context("creating the namespaces")?;
    make_all_private().context("cutting the mount namespace off")?;
    shim.tell_apart();
    match plan.network {
        Network::None => network::enter_new().context("creating the network namespace")?,
        // It is there already, since pasta has to know it.
        Network::Pasta => network::bring_loopback_up().context("bringing the loopback interface up")?,
        _ => {}
    }
    shim.await_maybe(Message::Mapped)?;
    if plan.user_namespace != UserNamespace::Host {
        become_root().context("becoming the root of the user namespace")?;
    }
    if let Some(processor) = processor {
        processor.join();
    }
    let payload = Prepared::new(plan, [sockets, &stored], mask, Starter::Init)?;
    // The payload's process has them now.
    drop(stored);
    // Before there is a root: nothing of the image is in the way, and /proc/sys can still be written.
    sysctl::apply(&plan.sysctls)?;
    let prepared = rootfs::Prepared::new(plan)?;
    let (root, locks) = shim.await_root()?;
    prepared.complete(root.as_fd(), shim)?;
    // The host's mounts are gone after this: what is needed of them is open.
    pivot(root.as_fd()).context("entering the root")?;
    nix::unistd::sethostname(&plan.hostname).with_context(|| format!("setting the host name '{}'", plan.hostname))?;
    Ok((payload, locks))
}
