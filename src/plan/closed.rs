//! Which paths of the container are hidden, and which can only be read.
//!
//! Those of procfs and sysfs by default tell about the host's hardware and kernel, or reach it. What the definition shows again is left
//! out of the list, so that nothing is ever undone.

use crate::definition::Container;

/// Hidden: they tell about the host's hardware and kernel, or reach it. The list is Podman's.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

/// Readable but not writable.
pub const READ_ONLY_PATHS: [&str; 6] = [
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What is hidden in `container`.
#[must_use]
pub fn masked(container: &Container) -> Vec<String> {
    let mut paths = but_shown(&MASKED_PATHS, &container.unmask);
    paths.extend(container.mask.iter().cloned());
    paths
}

/// What can only be read in `container`.
#[must_use]
pub fn read_only(container: &Container) -> Vec<String> {
    but_shown(&READ_ONLY_PATHS, &container.unmask)
}

fn but_shown(paths: &[&str], shown: &[String]) -> Vec<String> {
    let is_closed = |path: &&&str| !shown.iter().any(|shown| shows(shown, path));
    paths.iter().filter(is_closed).map(|&path| path.to_owned()).collect()
}

/// Whether `shown`, as it stands in `Unmask=`, means `path`: all, the path itself, or all that begins with what stands before a `*`.
fn shows(shown: &str, path: &str) -> bool {
    match shown.strip_suffix('*') {
        _ if shown == "ALL" => true,
        Some(start) => path.strip_prefix(start).is_some_and(|rest| !rest.contains('/')),
        None => path == shown,
    }
}

#[cfg(test)]
mod tests {
    use super::{masked, read_only};
    use crate::definition::Container;

    #[test]
    fn what_is_shown_is_not_closed() {
        let container = |mask: &str, unmask: &str| Container {
            mask: mask.split(' ').map(str::to_owned).collect(),
            unmask: unmask.split(' ').map(str::to_owned).collect(),
            ..Container::default()
        };
        let one = container("/srv /proc/keys", "/proc/keys /proc/sys /proc/time*");
        assert!(!masked(&one).contains(&"/proc/timer_list".to_owned()));
        // What is hidden by name is hidden.
        assert_eq!(masked(&one).iter().filter(|path| *path == "/proc/keys").count(), 1);
        assert!(!read_only(&one).contains(&"/proc/sys".to_owned()) && read_only(&one).len() == 5);
        let all = container("/srv", "ALL");
        assert_eq!((masked(&all), read_only(&all)), (vec!["/srv".to_owned()], Vec::new()));
        assert_eq!(masked(&container("/srv", "/sys/*")).len(), 12);
    }
}
