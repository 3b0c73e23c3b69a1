//! What `/proc` says of one process (proc_pid_status(5), proc_pid_stat(5)).
//!
//! A process writes its own name and command line, so both are hostile: they are text to be shown, and the numbers are found from the end of
//! the name on, which alone the process does not write.

use std::fs;

use nix::unistd::{SysconfVar, Uid, User, sysconf};
use serde::Serialize;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Process {
    pub(super) pid: i32,
    /// In its innermost PID namespace; `None` if it is in none of its own.
    pub(super) inside: Option<i32>,
    /// Of the host: a name, or a number that has none.
    pub(super) user: String,
    pub(super) uid: u32,
    pub(super) cpu_usec: u64,
    /// Resident memory, in bytes.
    pub(super) rss: u64,
    pub(super) command: String,
}

/// What is in `/proc/PID/status`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    name: String,
    uid: u32,
    inside: Option<i32>,
    rss: u64,
}

impl Process {
    /// `None` if it has ended.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
        let status = Status::parse(&String::from_utf8_lossy(&read("status")?));
        let ticks = ticks(&String::from_utf8_lossy(&read("stat")?))?;
        let a_second = sysconf(SysconfVar::CLK_TCK)
            .ok()
            .flatten()
            .and_then(|ticks| u64::try_from(ticks).ok());
        let command = command(&read("cmdline")?).unwrap_or_else(|| format!("[{}]", status.name));
        let user = User::from_uid(Uid::from_raw(status.uid)).ok().flatten();
        Some(Self {
            pid,
            inside: status.inside,
            user: user.map_or_else(|| status.uid.to_string(), |user| user.name),
            uid: status.uid,
            cpu_usec: ticks.saturating_mul(1_000_000) / a_second.unwrap_or(100).max(1),
            rss: status.rss,
            command,
        })
    }
}

impl Status {
    fn parse(text: &str) -> Self {
        let mut status = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let mut words = value.split_ascii_whitespace();
            match key {
                "Name" => status.name = value.trim().to_owned(),
                "Uid" => status.uid = words.nth(1).and_then(|uid| uid.parse().ok()).unwrap_or_default(),
                "NSpid" => status.inside = words.skip(1).last().and_then(|pid| pid.parse().ok()),
                "VmRSS" => {
                    let kibibytes: u64 = words.next().and_then(|size| size.parse().ok()).unwrap_or_default();
                    status.rss = kibibytes.saturating_mul(1024);
                }
                _ => {}
            }
        }
        status
    }
}

/// Processor time in clock ticks: the 14th and 15th field, counted from behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    user.checked_add(system)
}

/// The arguments with spaces between; none for a thread of the kernel or a process that is ending.
fn command(cmdline: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(cmdline);
    let text = text.trim_end_matches('\0').replace('\0', " ");
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_read() {
        let process = Process::read(std::process::id().cast_signed()).unwrap();
        assert!(
            process.rss > 0 && !process.command.is_empty() && !process.user.is_empty(),
            "{process:?}"
        );
        assert_eq!(Process::read(i32::MAX), None);
    }

    #[test]
    fn a_hostile_name_changes_no_number() {
        let stat = "7 (a) R 1 1 (b)) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 100 1 1";
        assert_eq!(ticks(stat), Some(200));
        assert_eq!(ticks("7 (a"), None);
        let status = Status::parse("Name:\ta b\nUid:\t0\t1000\t0\t0\nNSpid:\t70\t2\nVmRSS:\t     12 kB\n");
        assert_eq!(
            status,
            Status {
                name: "a b".into(),
                uid: 1000,
                inside: Some(2),
                rss: 12288
            }
        );
        assert_eq!(Status::parse("NSpid:\t70\n").inside, None);
        assert_eq!(command(b"a\0b c\0").as_deref(), Some("a b c"));
        assert_eq!(command(b""), None);
    }
}
