//! The container's first process: builds the container around itself, and becomes its init.
//!
//! It is a copy of the shim in namespaces of its own. Nothing here returns into the shim's caller: it ends in [`init`], or with a line in
//! the journal and an exit status.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;

use anyhow::{Context as _, Result};
use nix::sys::stat::{Mode, umask};

use crate::definition::{Network, UserNamespace};
use crate::plan::Plan;
use crate::run::failure::{Failure, NAMESPACE, OrFail as _, Priority, one_line, say};
use crate::run::handover::{Message, Taker};
use crate::run::identities::Range;
use crate::run::notify::Systemd;
use crate::run::subordinate::Maps;
use crate::run::{init, rootfs, sysctl};
use crate::store::{Held, Image, Store};
use crate::sys::mount::pivot;
use crate::sys::network;
use crate::sys::process::exit;
use crate::sys::user::become_root;

/// What the container's first process has from the shim.
#[derive(Debug)]
pub struct Beginning {
    /// What to do.
    pub plan: Plan,
    /// What nobody else may have or remove while the container runs.
    pub kept: Kept,
    /// The sockets, in the order of the plan.
    pub sockets: Vec<OwnedFd>,
    /// systemd's notify socket, connected, since its path is out of sight inside.
    pub notify: Option<UnixDatagram>,
    /// What the shim has yet to give.
    pub shim: Taker,
}

/// Locks that end with the container.
#[derive(Debug)]
pub struct Kept {
    /// On the image's layers.
    pub image: Option<HeldImage>,
    /// On the container's identities.
    pub identities: Option<Range>,
}

/// An image that stays as it is while the container runs.
#[derive(Debug)]
pub enum HeldImage {
    /// By descriptors that lead nowhere but to its layers.
    Confined(Held),
    /// By others: without root they can be confined in the container's own namespaces only, which is to be done first of all.
    Unconfined(Held, Box<(Store, Image)>),
}

impl HeldImage {
    /// Holds `image` of `store`; `maps` are the container's identities where it is not root that starts it.
    ///
    /// # Errors
    /// A layer cannot be locked, since it is being removed.
    pub fn hold(store: &Store, image: Image, maps: Option<&Maps>) -> Result<Self> {
        match maps {
            None => store.hold_confined(&image).map(Self::Confined),
            Some(_) => Ok(Self::Unconfined(store.hold(&image)?, Box::new((store.clone(), image)))),
        }
    }

    /// Confines it, in the container.
    fn confine(self) -> Result<Self> {
        match self {
            Self::Confined(held) => Ok(Self::Confined(held)),
            // The old locks are let go of when there are new ones.
            Self::Unconfined(_held, image) => image.0.hold_confined(&image.1).map(Self::Confined),
        }
    }
}

/// Builds the container and runs it to its end.
pub fn enter(beginning: Beginning) -> ! {
    let Beginning {
        plan,
        mut kept,
        sockets,
        notify,
        shim,
    } = beginning;
    // Modes are as written here; the payload gets systemd's umask back.
    let mask = umask(Mode::empty());
    let built = kept
        .image
        .take()
        .map(HeldImage::confine)
        .transpose()
        .and_then(|image| {
            kept.image = image;
            build(&plan, &shim)
        })
        .or_fail(NAMESPACE);
    let systemd = Systemd::new(notify, shim);
    let failure = match built {
        Ok(()) => init::run(plan, sockets, &systemd, kept, mask),
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
    // While the shim makes the root.
    match plan.network {
        Network::None => network::enter_new().context("creating the network namespace")?,
        // It is there already, since pasta has to know it.
        Network::Pasta => network::bring_loopback_up().context("bringing the loopback interface up")?,
        Network::Host => {}
    }
    let root = shim.await_one(Message::Root)?;
    if plan.user_namespace != UserNamespace::Host {
        become_root().context("becoming the root of the user namespace")?;
    }
    // Before there is a root: nothing of the image is in the way, and /proc/sys can still be written.
    sysctl::apply(&plan.sysctls)?;
    rootfs::complete(plan, root.as_fd(), shim)?;
    // The host's mounts are gone after this: what is needed of them is open.
    pivot(root.as_fd()).context("entering the root")?;
    nix::unistd::sethostname(&plan.hostname).with_context(|| format!("setting the host name '{}'", plan.hostname))
}
