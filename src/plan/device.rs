//! Devices of the host: what the plan has of them, and what systemd is told to allow.
//!
//! Two things keep a container from other devices. All its mounts but its own `/dev` are nodev, and in a user namespace nobody can make a
//! node, so there are only the nodes that the shim has made. And with `UserNS=host`, where root with CAP_MKNOD could make more, or where
//! devices are added, which root inside could otherwise give itself more access to (it owns the nodes), the unit has a device policy.
//! A container with neither has none: there is nothing for it to decide, and to load it takes the kernel a part of the start.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::definition::{Container, Device, UserNamespace};
use crate::plan::specifier::Specifiers;
use crate::unitfile::quote;

/// The nodes that every container has below /dev, with their numbers.
pub const NODES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Directories whose nodes systemd knows as a group (the names are those of /proc/devices). Of others it cannot be told, since it only
/// takes nodes.
const GROUPS: [(&str, &str); 5] = [
    ("/dev/bus/usb", "char-usb_device"),
    ("/dev/dri", "char-drm"),
    ("/dev/input", "char-input"),
    ("/dev/snd", "char-alsa"),
    ("/dev/vfio", "char-vfio"),
];

/// Whether a directory of the host can be added as a whole.
#[must_use]
pub fn is_group(directory: &Path) -> bool {
    group(directory).is_some()
}

fn group(directory: &Path) -> Option<&'static str> {
    let is_within = |(known, _): &&(&str, &str)| directory.starts_with(known);
    GROUPS.iter().find(is_within).map(|(_, group)| *group)
}

/// The values of `DeviceAllow=` that `container` needs, if it needs a `DevicePolicy=`: every container's terminals, and its own devices.
/// The closed policy has /dev/null and its kind already (systemd.resource-control(5)).
#[must_use]
pub fn allowed(container: &Container) -> Option<Vec<Cow<'static, str>>> {
    if container.devices.is_empty() && container.user_namespace != UserNamespace::Host {
        return None;
    }
    let mut allowed: Vec<Cow<'static, str>> = vec!["/dev/tty rwm".into(), "/dev/ptmx rwm".into(), "char-pts rw".into()];
    for device in &container.devices {
        let what = match group(&device.host) {
            Some(group) => Cow::Borrowed(group),
            None => Cow::Owned(quote::list_word(&device.host.to_string_lossy()).into_owned()),
        };
        // The shim makes the node in the service's own control group.
        let access = device.access.replace('m', "");
        allowed.push(format!("{what} {access}m").into());
    }
    Some(allowed)
}

/// The devices of `container` for one unit.
///
/// # Errors
/// An unknown specifier, or one that leads out of /dev.
pub fn devices(container: &Container, specifiers: &Specifiers<'_>) -> Result<Vec<Device>> {
    let expand = |path: &Path| -> Result<PathBuf> {
        let text = specifiers
            .expand(&path.to_string_lossy())
            .context("expanding 'AddDevice'")?;
        let path = PathBuf::from(text);
        let is_inside = path.starts_with("/dev") && path.components().all(|part| part != Component::ParentDir);
        ensure!(is_inside, "the device '{}' does not lie below /dev", path.display());
        Ok(path)
    };
    let expanded = container.devices.iter().map(|device| {
        Ok(Device {
            host: expand(&device.host)?,
            target: expand(&device.target)?,
            ..device.clone()
        })
    });
    expanded.collect()
}

#[cfg(test)]
mod tests {
    use super::allowed;
    use crate::definition::{Container, Device, UserNamespace};

    #[test]
    fn a_policy_only_where_there_is_something_to_decide() {
        let mut container = Container::default();
        assert_eq!(allowed(&container), None);
        container.user_namespace = UserNamespace::Host;
        assert_eq!(allowed(&container).map(|lines| lines.len()), Some(3));
        let device = |host: &str, access: &str| Device {
            host: host.into(),
            target: host.into(),
            access: access.into(),
            optional: false,
        };
        container.user_namespace = UserNamespace::Auto;
        container.devices = vec![
            device("/dev/a b%i", "rmw"),
            device("/dev/dri", "r"),
            device("/dev/snd/seq", "rw"),
        ];
        let lines = allowed(&container).unwrap_or_default();
        assert_eq!(lines[3..], ["\"/dev/a b%i\" rwm", "char-drm rm", "char-alsa rwm"]);
    }
}
