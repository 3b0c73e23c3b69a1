//! The container's first process: builds the container around itself, and becomes its init.
//!
//! It is a copy of the shim in namespaces of its own. Nothing here returns into the shim's caller: it ends in [`init`], or with a line in
//! the journal and an exit status.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use anyhow::{Context as _, Result};
use nix::sys::stat::{Mode, SFlag, fstat, umask};

use crate::definition::Definition;
use crate::plan::Plan;
use crate::run::failure::{CONFIG, Failure, NAMESPACE, OrFail as _, Priority, one_line, say};
use crate::run::handover::Taker;
use crate::run::notify::Systemd;
use crate::run::rootfs::{self, Output};
use crate::run::{init, planning};
use crate::store::Store;
use crate::sys::mount::{make_all_private, pivot};
use crate::sys::path::file_type;
use crate::sys::process::exit;

/// What the container's first process has from the shim.
#[derive(Debug)]
pub struct Beginning {
    /// What is to be started.
    pub definition: Definition,
    /// As this service.
    pub unit: String,
    /// What systemd gave to the shim.
    pub environment: Vec<(String, String)>,
    /// Where the images are.
    pub store: Store,
    /// The sockets, in the order of the definition.
    pub sockets: Vec<OwnedFd>,
    /// systemd's notify socket, connected, since its path is out of sight inside.
    pub notify: Option<UnixDatagram>,
    /// What the shim has yet to give.
    pub shim: Taker,
}

/// Builds the container and runs it to its end.
pub fn enter(beginning: Beginning) -> ! {
    let Beginning {
        definition,
        unit,
        environment,
        store,
        sockets,
        notify,
        shim,
    } = beginning;
    // Modes are as written here; the payload gets systemd's umask back.
    let mask = umask(Mode::empty());
    let planned = planning::plan(&definition, &unit, &environment, &store).or_fail(CONFIG);
    drop((definition, environment));
    let built = planned.and_then(|(plan, held)| {
        build(&plan, &shim).or_fail(NAMESPACE)?;
        Ok((plan, held))
    });
    let systemd = Systemd::new(notify, shim);
    let failure = match built {
        Ok((plan, held)) => init::run(plan, sockets, &systemd, held, mask),
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

fn build(plan: &Plan, shim: &Taker) -> Result<()> {
    // Nothing that is mounted from now on reaches the host, nor the other way round.
    make_all_private().context("cutting the mount namespace off")?;
    let root = rootfs::build(plan, [output(std::io::stdout())?, output(std::io::stderr())?], shim)?;
    // The host's mounts are gone after this: what is needed of them is open.
    pivot(root.as_fd()).context("entering the root")?;
    nix::unistd::sethostname(&plan.hostname).with_context(|| format!("setting the host name '{}'", plan.hostname))
}

fn output(stream: impl AsFd) -> Result<Output> {
    let is_socket = file_type(&fstat(stream)?) == SFlag::S_IFSOCK;
    Ok(if is_socket { Output::Socket } else { Output::Reopenable })
}
