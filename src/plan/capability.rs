//! Which capabilities the payload may ever have (capabilities(7)).

use anyhow::{Context as _, Result};

use crate::sys::capability::Mask;

/// Names by number, from Linux's `capability.h`.
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What a container has unless it says otherwise: the set that Podman gives too.
const DEFAULT: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The default set, less `drop`, plus `add`. `all` stands for every capability; what is named in `add` wins.
///
/// # Errors
/// A name that is no capability.
pub fn capabilities(add: &[String], drop: &[String]) -> Result<Mask> {
    let mut mask = DEFAULT
        .iter()
        .filter_map(|name| number(name))
        .fold(0, |mask, bit| mask | 1 << bit);
    for name in drop {
        mask &= !bits(name).context("reading 'DropCapability'")?;
    }
    for name in add {
        mask |= bits(name).context("reading 'AddCapability'")?;
    }
    Ok(mask)
}

/// The names in `mask`, in the kernel's order.
#[must_use]
pub fn names(mask: Mask) -> Vec<&'static str> {
    NAMES
        .iter()
        .enumerate()
        .filter(|(bit, _)| mask & 1 << bit != 0)
        .map(|(_, name)| *name)
        .collect()
}

/// Whether `name`, which is a capability's, is in `mask`.
#[must_use]
pub fn holds(mask: Mask, name: &str) -> bool {
    NAMES
        .iter()
        .position(|known| *known == name)
        .is_some_and(|bit| mask & 1 << bit != 0)
}

/// The capability of this name, as a set of one.
#[must_use]
pub fn named(name: &str) -> Option<Mask> {
    number(name).map(|bit| 1 << bit)
}

fn bits(name: &str) -> Result<Mask> {
    if name.eq_ignore_ascii_case("all") {
        return Ok((1 << NAMES.len()) - 1);
    }
    Ok(1 << number(name).with_context(|| format!("'{name}' is not a capability"))?)
}

fn number(name: &str) -> Option<usize> {
    const PREFIX: &str = "CAP_";
    let bare = match name.split_at_checked(PREFIX.len()) {
        Some((prefix, bare)) if prefix.eq_ignore_ascii_case(PREFIX) => bare,
        _ => name,
    };
    NAMES
        .iter()
        .position(|known| known.trim_start_matches(PREFIX).eq_ignore_ascii_case(bare))
}

#[cfg(test)]
mod tests {
    use super::{capabilities, names};

    fn sets(add: &[&str], drop: &[&str]) -> Vec<&'static str> {
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        names(capabilities(&owned(add), &owned(drop)).expect("known names"))
    }

    #[test]
    fn the_default_has_nothing_dangerous() {
        let default = sets(&[], &[]);
        assert_eq!(default.len(), 11);
        for dangerous in [
            "CAP_SYS_ADMIN",
            "CAP_NET_RAW",
            "CAP_MKNOD",
            "CAP_SYS_PTRACE",
            "CAP_DAC_READ_SEARCH",
        ] {
            assert!(!default.contains(&dangerous), "{dangerous}");
        }
    }

    #[test]
    fn dropping_all_and_adding_one_leaves_one() {
        assert_eq!(sets(&["net_raw"], &["all"]), ["CAP_NET_RAW"]);
        assert_eq!(sets(&["ALL"], &[]).len(), 41);
        assert!(capabilities(&["CAP_NOPE".to_owned()], &[]).is_err());
    }
}
