//! `UserNS=keep-id`: the user has the same number in the container as outside, and the container's root is somebody else.
//!
//! Files of images belong to the user where they belong to root in the image, and no mount of a user's can show them otherwise. So such a
//! container has its layers a second time, with the owners that are right for it; they are unpacked from the store's blobs, by `coracle
//! image keep`, when the first such container is started.

use std::borrow::Cow;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::{getegid, geteuid};
use sd_notify::NotifyState;

use crate::definition::{Definition, UserNamespace};
use crate::plan::Plan;
use crate::run::subordinate::maps::Maps;
use crate::store::{Image, Store};

/// What the definition means for this user, if it keeps its number: which one that is, and that the payload is this user unless it is said
/// who else.
#[must_use]
pub fn settle(definition: &Definition) -> Option<Definition> {
    let UserNamespace::KeepId { user, group } = definition.container.user_namespace else {
        return None;
    };
    let (user, group) = (
        user.unwrap_or_else(|| geteuid().as_raw()),
        group.unwrap_or_else(|| getegid().as_raw()),
    );
    let mut settled = definition.clone();
    let container = &mut settled.container;
    container.user_namespace = UserNamespace::KeepId {
        user: Some(user),
        group: Some(group),
    };
    if container.user.is_none() && container.group.is_none() {
        container.user = Some(format!("{user}:{group}"));
    }
    Some(settled)
}

/// Fails if files of an image would belong to nobody in a container with these `maps`: in the user's store they are the user's own where they
/// are root's in the image.
fn check_owners(plan: &Plan, maps: &Maps) -> Result<()> {
    if let UserNamespace::Mapped { .. } = plan.user_namespace {
        let own = [
            (&maps.users, geteuid().as_raw(), "UIDMap"),
            (&maps.groups, getegid().as_raw(), "GIDMap"),
        ];
        for (extents, own, key) in own {
            ensure!(
                extents.iter().any(|one| (one.inside, one.outside) == (0, own)),
                "'{key}' makes somebody else the container's root than yourself, to whom the image's files belong: begin it with 0:{own}:1, or \
                 set 'UserNS' to 'keep-id' instead"
            );
        }
    }
    Ok(())
}

/// The store as a container with this user namespace sees it: its own layers where it needs others.
#[must_use]
pub fn view<'s>(store: &'s Store, namespace: &UserNamespace) -> Cow<'s, Store> {
    match namespace {
        UserNamespace::KeepId {
            user: Some(user),
            group: Some(group),
        } => Cow::Owned(store.kept(*user, *group)),
        _ => Cow::Borrowed(store),
    }
}

/// The same for a container with these `maps`, with every layer of `images` there.
///
/// # Errors
/// Its files would be nobody's, or what `coracle image keep` says.
pub fn complete(store: Store, images: &[Image], plan: &Plan, maps: &Maps) -> Result<Store> {
    if images.is_empty() {
        return Ok(store);
    }
    check_owners(plan, maps)?;
    let Cow::Owned(kept) = view(&store, &plan.user_namespace) else {
        return Ok(store);
    };
    let is_missing = |image: &&Image| image.layers.iter().any(|layer| !kept.layer_path(layer).exists());
    for image in images.iter().filter(is_missing) {
        unpack(image, plan)?;
    }
    Ok(kept)
}

fn unpack(image: &Image, plan: &Plan) -> Result<()> {
    let UserNamespace::KeepId {
        user: Some(user),
        group: Some(group),
    } = plan.user_namespace
    else {
        return Ok(());
    };
    // Longer than a start may take otherwise.
    let status = format!("Unpacking '{}' for UserNS=keep-id, once", image.reference);
    let extend = NotifyState::ExtendTimeoutUsec(600_000_000);
    let _ = sd_notify::notify(&[extend, NotifyState::Status(&status)]);
    let program = plan.mount_point.join("../../bin/coracle");
    let output = Command::new(&program)
        .args(["image", "keep", "--uid", &user.to_string(), "--gid", &group.to_string()])
        .args(["--", &image.reference.to_string()])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("executing '{}'", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "unpacking '{}' for 'UserNS=keep-id': {}",
        image.reference,
        said.trim().trim_start_matches("coracle: ")
    );
    Ok(())
}
