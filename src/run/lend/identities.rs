//! A container's identities, where they are not the host's.

use std::os::fd::OwnedFd;

use nix::unistd::{Gid, Uid};

use crate::sys::user::Extent;

/// The container's identities, where they are not the host's.
#[derive(Debug)]
pub struct Identities {
    /// Its user namespace.
    pub namespace: OwnedFd,
    /// Its users.
    pub users: Vec<Extent>,
    /// Its groups.
    pub groups: Vec<Extent>,
}

/// The host's identity of one inside.
fn outside(extents: &[Extent], id: u32) -> Option<u32> {
    let within = |extent: &&Extent| id >= extent.inside && id - extent.inside < extent.count;
    let extent = extents.iter().find(within)?;
    Some(extent.outside + (id - extent.inside))
}

/// The host's identities of a user and a group inside.
#[must_use]
pub fn owner(identities: Option<&Identities>, user: u32, group: u32) -> Option<(Uid, Gid)> {
    let (user, group) = match identities {
        None => (user, group),
        Some(identities) => (outside(&identities.users, user)?, outside(&identities.groups, group)?),
    };
    Some((Uid::from_raw(user), Gid::from_raw(group)))
}
