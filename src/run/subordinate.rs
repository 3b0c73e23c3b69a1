//! The identities of a user's containers: the user's own, and those that the administrator has lent to them (subuid(5), subgid(5)).
//!
//! Without root a process can map nobody but its own user into a namespace. What others there are is decided by `newuidmap` and
//! `newgidmap`, which have the right to map what stands beside the user's name in `/etc/subuid` and `/etc/subgid`, and refuse everything
//! else. So nothing that is computed here is trusted by anybody: it is a proposal, and a clear word before they have to say theirs.
//!
//! The container's root is the user. Files of images lie in the user's store with these very identities ([`enter`]), so that no mount has
//! to map them, which no user could do.

pub mod account;
pub mod kind;
pub mod lent;
pub mod maps;
pub mod range;
pub mod service;

use anyhow::{Context as _, Result};
use nix::unistd::{getegid, geteuid};

use crate::definition::UserNamespace;
use crate::run::subordinate::account::Account;
use crate::sys::user::{self, Extent, Holder};

/// Moves this process into a user namespace in which it is root, and in which all identities of its user are: only there can files be given
/// to them, or be removed that are theirs. Paths are what they were.
///
/// # Errors
/// As [`Account::maps`] and [`maps::Maps::give`]; or the host does not let users have namespaces.
pub fn enter() -> Result<()> {
    enter_as(&UserNamespace::Auto)
}

/// The same for a container that sees its users in another way.
///
/// # Errors
/// As [`enter`].
pub fn enter_as(namespace: &UserNamespace) -> Result<()> {
    let maps = Account::of_this_process().maps(namespace)?;
    let holder = Holder::start().context(NOT_ALLOWED)?;
    maps.give(holder.pid).context("mapping the identities of a namespace")?;
    holder.join().context("entering a user namespace")?;
    user::become_root_in_own_groups().context("becoming the root of a user namespace")
}

/// The same with nobody but the user in it.
///
/// # Errors
/// The host does not let users have namespaces.
pub fn enter_alone() -> Result<()> {
    let one = |own| {
        vec![Extent {
            inside: 0,
            outside: own,
            count: 1,
        }]
    };
    enter_as(&UserNamespace::Mapped {
        users: one(geteuid().as_raw()),
        groups: one(getegid().as_raw()),
    })
}

/// The same with all that the user has: nobody else, where nothing is lent to them, and then everything of theirs is their own.
///
/// # Errors
/// As [`enter`].
pub fn enter_own() -> Result<()> {
    enter().or_else(|error| enter_alone().map_err(|_| error))
}

/// What is to be said where a user may not make namespaces.
pub const NOT_ALLOWED: &str = "creating a user namespace, which the host may forbid to users (see the settings \
    'user.max_user_namespaces', 'kernel.unprivileged_userns_clone' and 'kernel.apparmor_restrict_unprivileged_userns' of sysctl(8))";
