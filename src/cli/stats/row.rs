//! One line of the statistics, from two looks at a control group. Nothing here asks anybody.

use std::time::Instant;

use serde::Serialize;

use crate::cli::output::{Cell, Paint};
use crate::cli::units::Container;
use crate::systemd::cgroup::Usage;

/// What one container used at one moment; `usage` is `None` if it does not run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) usage: Option<Usage>,
    pub(super) restarts: u32,
    pub(super) at: Instant,
}

/// A container with its numbers, which are `null` where they are not known.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Row {
    name: String,
    unit: String,
    running: bool,
    /// Of one processor, since the look before.
    cpu_percent: Option<f64>,
    cpu_usec: Option<u64>,
    memory: Option<u64>,
    memory_limit: Option<u64>,
    tasks: Option<u64>,
    tasks_limit: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    restarts: u32,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// For people: `12.3M`.
    Short,
    /// For programs: bytes.
    Exact,
}

impl Row {
    pub(super) fn of(container: &Container, look: &Look, before: Option<&Look>) -> Self {
        let usage = look.usage.unwrap_or_default();
        Self {
            name: container.name.clone(),
            unit: container.unit.clone(),
            running: look.usage.is_some(),
            cpu_percent: before.and_then(|before| share(look, before)),
            cpu_usec: usage.cpu_usec,
            memory: usage.memory,
            memory_limit: usage.memory_limit,
            tasks: usage.tasks,
            tasks_limit: usage.tasks_limit,
            read: usage.read,
            written: usage.written,
            restarts: look.restarts,
        }
    }

    pub(super) fn cells(&self, numbers: Numbers) -> Vec<Cell> {
        let amount = |amount: Option<u64>| match (amount, numbers) {
            (None, _) => Cell::plain(""),
            (Some(amount), Numbers::Exact) => Cell::plain(amount.to_string()),
            (Some(amount), Numbers::Short) => Cell::plain(short(amount)),
        };
        let count = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
        let unit = if numbers == Numbers::Short { "%" } else { "" };
        let cpu = self.cpu_percent.map(|percent| format!("{percent:.1}{unit}"));
        vec![
            Cell::new(self.name.clone(), if self.running { Paint::Bold } else { Paint::Dim }),
            Cell::plain(cpu.unwrap_or_default()),
            amount(self.memory),
            amount(self.memory_limit),
            Cell::plain(count(self.tasks)),
            amount(self.read),
            amount(self.written),
            Cell::new(
                self.restarts.to_string(),
                if self.restarts > 0 { Paint::Yellow } else { Paint::Plain },
            ),
        ]
    }
}

/// The share of a processor between two looks, in percent, to one tenth. None for a group that is a new one.
fn share(now: &Look, before: &Look) -> Option<f64> {
    let used = now.usage?.cpu_usec?.checked_sub(before.usage?.cpu_usec?)?;
    let passed = now.at.checked_duration_since(before.at)?.as_micros();
    if passed == 0 {
        return None;
    }
    let permille = u32::try_from(u128::from(used) * 1000 / passed).ok()?;
    Some(f64::from(permille) / 10.0)
}

/// Bytes with one place behind the point: `12.3M`.
pub(in crate::cli) fn short(bytes: u64) -> String {
    let mut scale = 1_u64;
    for suffix in ["B", "K", "M", "G", "T", "P"] {
        if bytes / scale < 1024 {
            return match suffix {
                "B" => format!("{bytes}B"),
                _ => format!("{}.{}{suffix}", bytes / scale, bytes % scale * 10 / scale),
            };
        }
        scale *= 1024;
    }
    format!("{}E", bytes >> 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!([0, 1023, 1536, 12 << 20].map(short), ["0B", "1023B", "1.5K", "12.0M"]);
        assert_eq!(short(u64::MAX), "15E");
        assert_eq!(short((1 << 40) + (1 << 39)), "1.5T");
    }

    #[test]
    fn a_share_is_of_one_processor() {
        let at = Instant::now();
        let look = |cpu_usec, at| Look {
            usage: Some(Usage {
                cpu_usec,
                ..Usage::default()
            }),
            restarts: 0,
            at,
        };
        let before = look(Some(1_000_000), at);
        let second = at + Duration::from_secs(1);
        assert_eq!(share(&look(Some(1_505_000), second), &before), Some(50.5));
        // A group that counts from the beginning again, a host that counts nothing, no time between.
        assert_eq!(share(&look(Some(5), second), &before), None);
        assert_eq!(share(&look(None, second), &before), None);
        assert_eq!(share(&look(Some(2_000_000), at), &before), None);
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let container = Container {
            name: "web".into(),
            unit: "web.service".into(),
        };
        let look = Look {
            usage: Some(Usage {
                memory: Some(2048),
                ..Usage::default()
            }),
            restarts: 1,
            at: Instant::now(),
        };
        let row = Row::of(&container, &look, None);
        let texts = |numbers| row.cells(numbers).into_iter().map(|cell| cell.text).collect::<Vec<_>>();
        assert_eq!(texts(Numbers::Exact), ["web", "", "2048", "", "", "", "", "1"]);
        assert_eq!(texts(Numbers::Short)[2], "2.0K");
        assert_eq!(
            serde_json::to_value(&row).unwrap()["memory-limit"],
            serde_json::Value::Null
        );
    }
}
