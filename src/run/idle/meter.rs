//! How much of a processor the container uses, from the file `cpu.stat` of its control group.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::time::{Duration, Instant};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

/// Where the container sees its own group.
const STATISTICS: &str = "/sys/fs/cgroup/cpu.stat";

/// The file, and what it said last.
#[derive(Debug)]
pub struct Meter {
    file: File,
    last: Option<(Instant, Duration)>,
}

impl Meter {
    /// Opens it; nothing where it is hidden. The path is the image's, which could make it lead to something else.
    #[must_use]
    pub fn open() -> Option<Self> {
        let options = libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(options)
            .open(STATISTICS)
            .ok()?;
        let is_real = fstatfs(&file).is_ok_and(|about| about.filesystem_type() == CGROUP2_SUPER_MAGIC);
        is_real.then_some(Self { file, last: None })
    }

    /// Whether since the last call more than one in `share` of a processor's time was used. Not at the first one.
    pub fn has_more_than(&mut self, share: u32) -> bool {
        let mut text = [0; 256];
        let length = self.file.read_at(&mut text, 0).unwrap_or_default();
        let Some(used) = text.get(..length).and_then(usage) else {
            return false;
        };
        let now = Instant::now();
        let last = self.last.replace((now, used));
        last.is_some_and(|(then, before)| used.saturating_sub(before) > now.duration_since(then) / share)
    }
}

/// `usage_usec` of cpu.stat.
fn usage(text: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(text).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    value.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::usage;
    use std::time::Duration;

    #[test]
    fn usage_is_found() {
        assert_eq!(
            usage(b"usage_usec 1500\nuser_usec 7\n"),
            Some(Duration::from_micros(1500))
        );
        assert_eq!(usage(b"user_usec 7\n"), None);
        assert_eq!(usage(b"usage_usec -1\n"), None);
        assert_eq!(usage(&[0xff; 9]), None);
    }
}
