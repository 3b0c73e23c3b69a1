//! The shim's part of a start without root: the same work as root's, with the rights that the container's own root has.
//!
//! Whoever makes a user namespace has all rights in it. So the shim maps the container's identities, joins its namespaces, and is from
//! then on what the container's first process is before it has started the payload: root inside, and outside nobody but the user, who can
//! open what the user can open. Nothing is mounted that the kernel does not let every user mount.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;

use anyhow::{Context as _, Result};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

use crate::definition::network::Network;
use crate::plan::Plan;
use crate::plan::mount::{Kind, Mount};
use crate::run::handover::{Giver, Message};
use crate::run::lend::{Lender, Output, lend};
use crate::run::mark::{self, Marks};
use crate::run::pasta::Pasta;
use crate::run::start::prepare;
use crate::run::subordinate::maps::Maps;
use crate::store::volume::Making;
use crate::store::{Held, Image, Store};
use crate::sys::process::pidfd_open;
use crate::sys::user::{become_root_in_own_groups, join};

/// Makes everything for `container`, and gives it over. Afterwards this process is root in the container's namespaces. If the container has
/// failed meanwhile, nothing is given. Returns the volumes that it has to fill.
///
/// # Errors
/// The identities cannot be mapped, a layer is being removed, or what the kernel says of a mount, with the path it was for.
pub fn lend_as_user(
    plan: &Plan,
    container: Pid,
    maps: &Maps,
    outputs: [Output; 2],
    (store, images): (&Store, &[Image]),
    giver: &Giver,
) -> Result<Vec<(u16, Making)>> {
    // Modes are as written here; the container has its own copy of systemd's.
    umask(Mode::empty());
    // First of all, so that no layer goes: where this can be done so that it leads nowhere else is yet to come.
    let held: Vec<Held> = images.iter().map(|image| store.hold(image)).collect::<Result<_>>()?;
    // And that it uses its volumes: the file leads nowhere at all.
    let marks = Marks::of_this_user().open()?;
    mark::show(plan, &marks)?;
    prepare_places(plan, store)?;
    let process = pidfd_open(container).context("opening the container's process")?;
    maps.give(container).context("mapping the container's identities")?;
    let pasta = (plan.network == Network::Pasta)
        .then(|| Pasta::start(container, plan.host))
        .transpose()?;
    if !giver.await_apart() {
        return Ok(Vec::new());
    }
    join(&process).context("joining the container's namespaces")?;
    pasta.map_or(Ok(()), Pasta::await_ready)?;
    // Only now: as soon as the container has become its own root, no user may look at it or join it any more.
    giver.give(Message::Mapped, None);
    // One's own groups stay: what a volume leads to may be open to one of them only.
    become_root_in_own_groups().context("becoming the root of the user namespace")?;
    let confined: Vec<Held> = images
        .iter()
        .map(|image| store.hold_confined(image))
        .collect::<Result<_>>()?;
    drop(held);
    prepare(plan)?;
    let locks = confined.into_iter().flat_map(Held::into_descriptors);
    let locks = locks.chain([marks]).collect();
    lend(plan, outputs, container, Lender::User, locks, giver)
}

/// Makes the directories in which writable layers and volumes lie, while this process is nobody but the user, to whom they are to belong: with
/// `UserNS=keep-id` the container's root is somebody else.
fn prepare_places(plan: &Plan, store: &Store) -> Result<()> {
    if let Some(containers) = plan.directory.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(containers);
        made.with_context(|| format!("making '{}'", containers.display()))?;
    }
    let is_named = |mount: &Mount| matches!(&mount.kind, Kind::Volume(volume) if volume.name.is_some());
    if plan.mounts.iter().any(is_named) {
        store.volumes().prepare()?;
    }
    Ok(())
}
