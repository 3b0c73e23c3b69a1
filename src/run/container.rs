//! The container's first process: builds the container around itself, and becomes its init.
//!
//! It is a copy of the shim in namespaces of its own. Nothing here returns into the shim's caller: it ends in [`init`], or with a line in
//! the journal and an exit status.

use std::fs::DirBuilder;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::sys::stat::{Mode, SFlag, fstat, umask};

use crate::definition::Network;
use crate::plan::Plan;
use crate::run::failure::{Failure, NAMESPACE, OrFail as _, Priority, one_line, say};
use crate::run::rootfs::{self, Output};
use crate::run::start::Handover;
use crate::run::{cleanup, init, notify};
use crate::sys::link::bring_loopback_up;
use crate::sys::mount::{make_all_private, pivot};
use crate::sys::path::file_type;
use crate::sys::process::exit;

/// Builds the container and runs it to its end.
pub fn enter(handover: Handover) -> ! {
    let Handover {
        plan,
        sockets,
        notify,
        shim_is_gone,
        held,
    } = handover;
    // Modes are as written here; the payload gets systemd's umask back.
    let mask = umask(Mode::empty());
    let result = build(&plan).or_fail(NAMESPACE);
    // Whatever comes next speaks to systemd as its main process, so systemd must know that it is.
    if !is_handed_over(shim_is_gone) {
        // The shim was killed: this container is nobody's.
        exit(NAMESPACE)
    }
    let failure = match result {
        Ok(()) => init::run(plan, sockets, notify.as_ref(), held, mask),
        Err(failure) => failure,
    };
    report(&failure, notify.as_ref());
    exit(failure.status)
}

/// Says why the container ends, to the journal and as the unit's status text.
fn report(failure: &Failure, notify: Option<&UnixDatagram>) {
    let message = failure.to_string();
    say(Priority::Error, &message);
    if let Some(notify) = notify {
        let _ = notify.send(format!("STATUS={}", one_line(&message)).as_bytes());
        notify::settle(notify);
    }
}

fn build(plan: &Plan) -> Result<()> {
    // Nothing that is mounted from now on reaches the host, nor the other way round.
    make_all_private().context("cutting the mount namespace off")?;
    if let Some(directory) = &plan.writable_layer {
        prepare(directory)?;
    }
    let root = rootfs::build(plan, [output(std::io::stdout())?, output(std::io::stderr())?])?;
    // The host's mounts are gone after this: what is needed of them is open.
    pivot(root.as_fd()).context("entering the root")?;
    nix::unistd::sethostname(&plan.hostname).with_context(|| format!("setting the host name '{}'", plan.hostname))?;
    if plan.network == Network::None {
        bring_loopback_up().context("bringing the loopback interface up")?;
    }
    Ok(())
}

/// An empty writable layer, whatever an earlier run has left.
fn prepare(directory: &Path) -> Result<()> {
    cleanup::remove_writable_layer(directory)?;
    let create = |directory: &Path, mode| {
        let result = DirBuilder::new().recursive(true).mode(mode).create(directory);
        result.with_context(|| format!("creating '{}'", directory.display()))
    };
    // Nobody but root gets to what payloads write.
    create(directory, 0o700)?;
    create(&directory.join("upper"), 0o755)?;
    create(&directory.join("work"), 0o700)
}

fn output(stream: impl AsFd) -> Result<Output> {
    let is_socket = file_type(&fstat(stream)?) == SFlag::S_IFSOCK;
    Ok(if is_socket { Output::Socket } else { Output::Reopenable })
}

fn is_handed_over(pipe: OwnedFd) -> bool {
    std::fs::File::from(pipe).read_exact(&mut [0]).is_ok()
}
