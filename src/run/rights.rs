//! Takes on the rights that a payload has, and no others: the last steps before its program is looked for. The bounding set, which nothing here
//! needs, is lowered before.
//!
//! There is one order in which they work, and both ways to a payload go through it: the shim's ([`crate::run::payload`]) and that of a
//! bundle. Each step says why it stands where it does.

use anyhow::{Context as _, Result, ensure};
use nix::unistd::{Gid, Uid, chdir, getcwd, setresgid, setresuid};

use crate::sys::capability::{self, Mask, Sets};
use crate::sys::process::set_no_new_privs;
use crate::sys::task::keep_capabilities;
use crate::sys::user::set_groups;

/// Who a payload is and what it may.
#[derive(Debug, Clone, Copy)]
pub struct Rights<'a> {
    /// The user.
    pub uid: Uid,
    /// The primary group.
    pub gid: Gid,
    /// Exactly these supplementary groups.
    pub groups: &'a [Gid],
    /// The five sets.
    pub capabilities: Sets,
    /// Capabilities that it has besides, until [`let_go`].
    pub kept: Mask,
    /// Whether an exec may give it more.
    pub growth: Growth,
    /// Where it starts.
    pub working_directory: &'a str,
}

/// Whether an exec may give more rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// `no_new_privs`.
    Forbidden,
    /// A set-user-ID program, or one with capabilities, has its way.
    Allowed,
}

/// Takes on `rights`.
///
/// # Errors
/// What the kernel says of a step; or the working directory lies outside the container.
pub fn assume(rights: &Rights<'_>) -> Result<()> {
    let Rights {
        uid,
        gid,
        capabilities,
        kept,
        ..
    } = *rights;
    // Rights go in this order: groups need CAP_SETGID, the user is last since it takes the others.
    set_groups(rights.groups).context("setting the supplementary groups")?;
    setresgid(gid, gid, gid).context("setting the group")?;
    let keeps = !uid.is_root() && (capabilities.permitted | capabilities.inheritable | kept) != 0;
    if keeps {
        keep_capabilities().context("keeping capabilities")?;
    }
    setresuid(uid, uid, uid).context("setting the user")?;
    // Another user has none left, but an inheritable set would outlive the change.
    let now = Sets {
        effective: capabilities.effective | kept,
        permitted: capabilities.permitted | kept,
        ..capabilities
    };
    capability::set_all(&now).context("setting the capabilities")?;
    capability::raise_ambient(capabilities.ambient).context("setting the ambient capabilities")?;
    // The directory after the user: what the user may not enter is not entered. A directory from outside the root would show here.
    let directory = rights.working_directory;
    chdir(directory).with_context(|| format!("entering the working directory '{directory}'"))?;
    ensure!(
        getcwd()?.is_absolute(),
        "the working directory '{directory}' lies outside the container"
    );
    if rights.growth == Growth::Forbidden {
        set_no_new_privs().context("setting no_new_privs")?;
    }
    Ok(())
}

/// Lets go of what was kept.
///
/// # Errors
/// What capset(2) says.
pub fn let_go(rights: &Rights<'_>) -> Result<()> {
    capability::set_all(&rights.capabilities).context("letting go of capabilities")
}
