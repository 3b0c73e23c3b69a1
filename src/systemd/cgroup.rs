//! Reads a unit's control group: what its processes use, and which they are (cgroups(7), the kernel's cgroup-v2 document).
//!
//! libcgroups reads the files. Of it only the readers of single files are used, and not its manager: that one fails as a whole where one
//! controller is missing, while a host without any still counts processor time in each group; and its reader of `io.stat` refuses the
//! lines of devices that have done nothing. What a host does not count is `None`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use libcgroups::common::{get_all_pids, read_cgroup_file};
use libcgroups::stats::{parse_single_value, pid_stats};
use nix::unistd::{AccessFlags, access};

/// What the processes of a unit use. `None` is what this host does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time so far, in microseconds.
    pub cpu_usec: Option<u64>,
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// The tightest limit on memory from the unit up to the root, in bytes; `None` also if there is none.
    pub memory_limit: Option<u64>,
    /// Tasks, which are processes and threads.
    pub tasks: Option<u64>,
    /// How many there can be; `None` also if there is no limit.
    pub tasks_limit: Option<u64>,
    /// Bytes read from block devices.
    pub read: Option<u64>,
    /// Bytes written to block devices.
    pub written: Option<u64>,
}

/// Where control groups are mounted: systemd's own, also on a host that still has the old hierarchies beside it.
fn mount_point() -> PathBuf {
    let unified = Path::new("/sys/fs/cgroup/unified");
    match unified.is_dir() {
        true => unified.to_path_buf(),
        false => PathBuf::from("/sys/fs/cgroup"),
    }
}

/// The directory of a control group that systemd names.
#[must_use]
pub fn directory(control_group: &str) -> PathBuf {
    mount_point().join(control_group.trim_start_matches('/'))
}

/// What the processes in `directory` and below it use.
#[must_use]
pub fn usage(directory: &Path) -> Usage {
    let tasks = pid_stats(directory).ok();
    let io = bytes_moved(directory);
    Usage {
        cpu_usec: processor_time(directory),
        memory: parse_single_value(&directory.join("memory.current")).ok(),
        memory_limit: tightest(directory, "memory.max"),
        tasks: tasks.as_ref().map(|tasks| tasks.current),
        tasks_limit: tasks.map(|tasks| tasks.limit).filter(|limit| *limit != 0),
        read: io.map(|(read, _)| read),
        written: io.map(|(_, written)| written),
    }
}

/// The least value of a limit in a group and all above it.
fn tightest(directory: &Path, file: &str) -> Option<u64> {
    let mount_point = mount_point();
    let groups = directory
        .ancestors()
        .take_while(|group| group.starts_with(&mount_point));
    groups
        .filter_map(|group| parse_single_value(&group.join(file)).ok())
        .filter(|limit| *limit != u64::MAX)
        .min()
}

fn processor_time(directory: &Path) -> Option<u64> {
    let text = read_cgroup_file(directory.join("cpu.stat")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok())
}

/// Bytes read and written, of all devices together.
fn bytes_moved(directory: &Path) -> Option<(u64, u64)> {
    let text = read_cgroup_file(directory.join("io.stat")).ok()?;
    let sum = |key: &str| {
        let values = text
            .split_ascii_whitespace()
            .filter_map(|field| field.strip_prefix(key)?.parse().ok());
        values.fold(0_u64, u64::saturating_add)
    };
    Some((sum("rbytes="), sum("wbytes=")))
}

/// The processes in `directory` and below it, sorted.
///
/// # Errors
/// There is no such control group.
pub fn processes(directory: &Path) -> Result<Vec<i32>> {
    let found = get_all_pids(directory).with_context(|| format!("reading '{}'", directory.display()))?;
    let mut pids: Vec<i32> = found.into_iter().map(|pid| pid.as_raw()).collect();
    pids.sort_unstable();
    // One that has changed its group meanwhile may be in both.
    pids.dedup();
    Ok(pids)
}

/// Whether this process may put processes into the control group of the directory `group`: to move one, or to have one born there, takes the
/// right to write to the group that is above both (cgroups(7)).
#[must_use]
pub fn may_enter(group: &Path) -> bool {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = text.lines().find_map(|line| line.strip_prefix("0::")) else {
        return false;
    };
    let procs = common(&directory(own), group).join("cgroup.procs");
    access(&procs, AccessFlags::W_OK).is_ok()
}

/// The lowest directory that both lie in, or are.
fn common(one: &Path, other: &Path) -> PathBuf {
    let pairs = one.components().zip(other.components());
    pairs.take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

/// Whether a control group is there.
#[must_use]
pub fn exists(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_does_not_count_is_none() {
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(group.path().join(name), text).unwrap();
        // As in a group whose host has no controllers.
        write("cpu.stat", "usage_usec 1234\nuser_usec 1000\nsystem_usec 234\n");
        let bare = usage(group.path());
        assert_eq!(
            bare,
            Usage {
                cpu_usec: Some(1234),
                ..Usage::default()
            }
        );
        write("memory.current", "4096\n");
        write("pids.current", "3\n");
        write("pids.max", "max\n");
        write(
            "io.stat",
            "8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:32 \n8:16 rbytes=1 wbytes=2 rios=1 wios=1 dbytes=0 dios=0\n",
        );
        let full = usage(group.path());
        assert_eq!((full.memory, full.tasks, full.tasks_limit), (Some(4096), Some(3), None));
        assert_eq!((full.read, full.written), (Some(11), Some(22)));
        write("pids.max", "64\n");
        assert_eq!(usage(group.path()).tasks_limit, Some(64));
    }

    #[test]
    fn the_right_is_looked_for_in_what_is_above_both() {
        let common = |one: &str, other: &str| common(Path::new(one), Path::new(other)).display().to_string();
        assert_eq!(common("/g/user/a/b", "/g/user/a/c/d"), "/g/user/a");
        assert_eq!(common("/g/user/a", "/g/user/a/c"), "/g/user/a");
        assert_eq!(common("/g/user/ab", "/g/user/a"), "/g/user");
        assert_eq!(common("/g", "/g"), "/g");
    }

    #[test]
    fn processes_of_groups_below_count_too() {
        let group = tempfile::tempdir().unwrap();
        fs::create_dir(group.path().join("inner")).unwrap();
        fs::write(group.path().join("cgroup.procs"), "12\n3\n").unwrap();
        fs::write(group.path().join("inner/cgroup.procs"), "7\n").unwrap();
        assert_eq!(processes(group.path()).unwrap(), [3, 7, 12]);
        assert!(processes(&group.path().join("none")).is_err());
    }
}
