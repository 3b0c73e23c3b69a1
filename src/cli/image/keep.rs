//! `coracle image keep`: unpacks an image's layers once more, for containers with `UserNS=keep-id`. The shim calls it, at the first start.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;

use crate::cli::image::reference;
use crate::cli::scope::Scope;
use crate::definition::UserNamespace;
use crate::run::subordinate;
use crate::store::Store;

/// Unpack an image for containers with UserNS=keep-id
///
/// The first start of such a container does it, so it need not be called; but it can be, so that this start does not take longer.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The image
    #[arg(value_name = "REFERENCE")]
    pub reference: String,
    /// Which user the calling one is inside [default: the same]
    #[arg(long)]
    pub uid: Option<u32>,
    /// Which group [default: the same]
    #[arg(long)]
    pub gid: Option<u32>,
}

/// Unpacks what is not unpacked yet.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    ensure!(
        !user.is_root(),
        "'UserNS=keep-id' is for containers of a user's manager"
    );
    let scope = Scope { user: true, root: None };
    let (user, group) = (
        arguments.uid.unwrap_or(user.as_raw()),
        arguments.gid.unwrap_or(group.as_raw()),
    );
    let reference = reference(&arguments.reference)?;
    let store = Store::open(&scope.store())?.kept(user, group);
    store.prepare_kept()?;
    subordinate::enter_as(&UserNamespace::KeepId {
        user: Some(user),
        group: Some(group),
    })?;
    store.keep(&reference)?;
    Ok(ExitCode::SUCCESS)
}
