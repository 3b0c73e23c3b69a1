//! The shim's part of a start without root: the same work as root's, with the rights that the container's own root has.
//!
//! Whoever makes a user namespace has all rights in it. So the shim maps the container's identities, joins its namespaces, and is from
//! then on what the container's first process is before it has started the payload: root inside, and outside nobody but the user, who can
//! open what the user can open. Nothing is mounted that the kernel does not let every user mount.

use anyhow::{Context as _, Result};
use nix::unistd::Pid;

use crate::definition::Network;
use crate::plan::Plan;
use crate::run::handover::Giver;
use crate::run::lend::{Lender, Output, lend};
use crate::run::pasta::Pasta;
use crate::run::start::prepare;
use crate::run::subordinate::Maps;
use crate::sys::process::pidfd_open;
use crate::sys::user::{become_root_in_own_groups, join};

/// Makes everything for `container`, and gives it over. Afterwards this process is root in the container's namespaces.
///
/// # Errors
/// The identities cannot be mapped, or what the kernel says of a mount, with the path it was for.
pub fn lend_as_user(plan: &Plan, container: Pid, maps: &Maps, giver: &Giver) -> Result<()> {
    let process = pidfd_open(container).context("opening the container's process")?;
    maps.give(container).context("mapping the container's identities")?;
    // Now, since the container's first process can be looked at by the user only until it becomes somebody else.
    let pasta = (plan.network == Network::Pasta)
        .then(|| Pasta::start(container))
        .transpose()?;
    join(&process).context("joining the container's namespaces")?;
    // One's own groups stay: what a volume leads to may be open to one of them only.
    become_root_in_own_groups().context("becoming the root of the user namespace")?;
    if let Some(layer) = &plan.writable_layer {
        prepare(layer)?;
    }
    pasta.map_or(Ok(()), Pasta::await_ready)?;
    // The journal's socket cannot be opened by name, and a file that was given to us belongs to somebody else inside.
    lend(plan, [Output::Unopenable; 2], container, Lender::User, giver)
}
