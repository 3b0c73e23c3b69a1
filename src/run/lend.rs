//! The shim's part of the root: what takes the rights of the host.
//!
//! The layers are stacked, `/dev` gets its nodes, and what is mounted from the host is opened, all as mounts that the container then puts
//! in place itself. Only paths of the host are looked up here, those that the administrator wrote and the store's.
//!
//! Where the container has a user namespace, its layers and volumes are shown as that one sees identities: nothing is ever
//! given another owner on disk.

pub mod identities;
pub mod overlay;
pub mod source;
pub mod user;

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;

use crate::plan::Plan;
use crate::plan::mount::Kind;
use crate::run::handover::{Gift, Giver, Message};
use crate::run::lend::identities::{Identities, owner};
use crate::run::lend::overlay::{Manner, layers_directory, overlay};
use crate::run::lend::source::{shown, source};
use crate::run::secret::Secrets;
use crate::run::staging::{DEVICES, LAYERS, Staging, WRITABLE};
use crate::run::volume::{self, State};
use crate::run::{device, image};
use crate::store::volume::Making;
use crate::sys::mount::{self, Depth};
use crate::sys::user::make_files_as;

/// Where the payload's standard output or error leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A file, a pipe or a terminal, which can be opened again by name.
    Reopenable,
    /// The journal's socket, which cannot; nor can what belongs to a user of the host whom the container does not have. `/dev/stdout` must be
    /// something else.
    Unopenable,
}

/// With whose rights it is done.
#[derive(Debug, Clone, Copy)]
pub enum Lender<'a> {
    /// The host's root, for a container with the host's identities or these.
    Root(Option<&'a Identities>),
    /// A user, who is in the container's namespaces already and has no right but there ([`user`]).
    User,
}

impl<'a> Lender<'a> {
    /// The container's identities, where they are to be shown.
    #[must_use]
    pub fn identities(self) -> Option<&'a Identities> {
        match self {
            Lender::Root(identities) => identities,
            Lender::User => None,
        }
    }

    fn manner(self, plan: &Plan) -> Manner<'_> {
        Manner {
            context: plan.file_context(),
            flags: match self {
                Lender::Root(_) => &[],
                // Without root the layers' attributes are `user.overlay.*`.
                Lender::User => &["userxattr"],
            },
        }
    }
}

/// Makes everything for `container`, and gives it over together with `locks`. Afterwards this process is in the container's mount namespace.
/// If the container has failed meanwhile, and so has no use for it, nothing is given.
///
/// # Errors
/// What the kernel says of a mount, with the path it was for.
pub fn lend(
    plan: &Plan,
    outputs: [Output; 2],
    container: Pid,
    lender: Lender<'_>,
    locks: Vec<OwnedFd>,
    giver: &Giver,
) -> Result<Vec<(u16, Making)>> {
    ensure!(plan.mounts.len() <= usize::from(u16::MAX), "there are too many mounts");
    let identities = lender.identities();
    let (user, group) = owner(identities, 0, 0).context("the container's identities have no root")?;
    let shown = |path: &Path| shown(path, Depth::Mount, identities, "set 'UserNS' to 'host'");
    // All that is the host's is taken before its mounts become the container's.
    let layers = shown(layers_directory(&plan.layers)?)?;
    let writable = plan.writable_layer.as_deref();
    let writable = writable.map(shown).transpose()?;
    let nodes = device::find(&plan.devices)?;
    let secrets = Secrets::read(plan)?;
    let mut sources = Vec::new();
    let mut makings = Vec::new();
    let mut images = Vec::new();
    for (number, mount) in (0_u16..).zip(&plan.mounts) {
        let context = || format!("mounting '{}'", mount.target.display());
        match &mount.kind {
            Kind::Volume(volume) => {
                let found = volume::find(volume, mount, identities).with_context(context)?;
                let message = match found.state {
                    State::Kept => Message::Mount(number),
                    State::New => Message::Fresh(number),
                    State::Making(making) => {
                        makings.push((number, making));
                        Message::Fresh(number)
                    }
                };
                sources.push((message, found.mount));
            }
            Kind::Image(image) => images.push((number, image::parts(image, identities).with_context(context)?)),
            _ => {
                let source = source(mount, lender).with_context(context)?;
                sources.extend(source.map(|source| (Message::Mount(number), source)));
            }
        }
    }

    if let Lender::Root(_) = lender {
        if !giver.await_apart() {
            return Ok(Vec::new());
        }
        mount::join(container).context("joining the container's mount namespace")?;
        make_files_as(user, group).context("making files as the container's root")?;
    }
    let staging = Staging::create(plan)?;
    staging.put(LAYERS, layers.as_fd())?;
    if let Some(writable) = &writable {
        staging.put(WRITABLE, writable.as_fd())?;
    }
    let mut parts = Vec::new();
    for (number, parts_of) in &images {
        if let Some(Kind::Image(image)) = plan.mounts.get(usize::from(*number)).map(|mount| &mount.kind) {
            let part = image::mount(*number, image, parts_of, lender.manner(plan), &staging);
            parts.push(part.with_context(|| format!("mounting the image '{}'", image.reference))?);
        }
    }
    for (number, mount) in (0_u16..).zip(&plan.mounts) {
        if let Kind::Secret(secret) = &mount.kind {
            let file = secrets.file(number, secret, &staging);
            sources.push((
                Message::Mount(number),
                file.with_context(|| format!("making the secret '{}'", secret.name))?,
            ));
        }
    }
    let root = overlay(plan, &staging, identities, lender.manner(plan))?;
    if let Lender::User = lender {
        staging.make_place(DEVICES)?;
    }
    staging.close()?;
    let mut gifts: Vec<Gift> = locks.into_iter().map(|lock| (Message::Lock, Some(lock))).collect();
    gifts.push((Message::Root, Some(root)));
    let mut parts = parts.into_iter();
    for (number, mount) in (0_u16..).zip(&plan.mounts) {
        let part = match &mount.kind {
            Kind::New { .. } => continue,
            Kind::Devices => Some(match lender {
                Lender::Root(_) => device::make(outputs, &nodes, plan.file_context())?,
                Lender::User => device::bound::make(outputs, &staging)?,
            }),
            Kind::File(_) => Some(staging.made_file(usize::from(number))?),
            Kind::Image(_) => parts.next(),
            Kind::Credentials(_) => Some(
                secrets
                    .directory(number, plan.file_context())
                    .context("making the credentials")?,
            ),
            Kind::Bind { .. }
            | Kind::BindIfPresent(_)
            | Kind::ZoneFile(_)
            | Kind::HostSysfs
            | Kind::Secret(_)
            | Kind::Volume(_) => {
                let is_of = |(message, _): &(Message, OwnedFd)| matches!(message, Message::Mount(of) | Message::Fresh(of) if *of == number);
                match sources.iter().position(is_of).map(|index| sources.swap_remove(index)) {
                    Some((message, part)) => {
                        gifts.push((message, Some(part)));
                        continue;
                    }
                    None => None,
                }
            }
        };
        gifts.push((Message::Mount(number), part));
    }
    giver.give_all(&gifts);
    Ok(makings)
}
