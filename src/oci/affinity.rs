//! On which processors a further process runs: `process.execCPUAffinity` (runtime-spec config.md).
//!
//! The container's own process has none: where its group may run is the control group's (`linux.resources.cpu.cpus`).

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::oci::config::ExecCpuAffinity;

/// A list of processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processors(Vec<usize>);

/// Where a process runs before it is in the container's control group, and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Affinity {
    /// Before.
    pub first: Option<Processors>,
    /// After; none is what the group leaves it.
    pub last: Option<Processors>,
}

impl Affinity {
    /// From the two lists.
    ///
    /// # Errors
    /// One is no list of processors.
    pub fn parse(written: &ExecCpuAffinity) -> Result<Self> {
        let list = |text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            text.map(Processors::parse).transpose()
        };
        Ok(Self {
            first: list(&written.initial)?,
            last: list(&written.last)?,
        })
    }
}

impl Processors {
    /// From a list such as `0-3,5`.
    fn parse(text: &str) -> Result<Self> {
        let number = |text: &str| -> Result<usize> {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text
                .parse()
                .ok()
                .filter(|number| is_number && *number < CpuSet::count());
            number.with_context(|| format!("'{text}' is no processor's number"))
        };
        let mut processors = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            ensure!(first <= last, "'{part}' ends before it begins");
            processors.extend(first..=last);
        }
        Ok(Self(processors))
    }

    /// Binds this process, and all that it makes, to these processors.
    ///
    /// # Errors
    /// The machine, or the control group, has none of them.
    pub fn bind(&self) -> Result<()> {
        let mut set = CpuSet::new();
        for processor in &self.0 {
            set.set(*processor)?;
        }
        sched_setaffinity(Pid::from_raw(0), &set).context("binding the process to its processors")
    }
}

#[cfg(test)]
mod tests {
    use super::{Affinity, Processors};
    use crate::oci::config::ExecCpuAffinity;

    #[test]
    fn lists_have_numbers_and_ranges() {
        let parse = |text| Processors::parse(text).ok().map(|list| list.0);
        assert_eq!(parse("0"), Some(vec![0]));
        assert_eq!(parse("0-2, 5"), Some(vec![0, 1, 2, 5]));
        for bad in ["", "a", "-1", "2-1", "1,,2", "1024", "+1", "1-", "99999999999999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_empty_list_is_none() {
        let written = ExecCpuAffinity {
            initial: Some(String::new()),
            last: Some("1".to_owned()),
        };
        let affinity = Affinity::parse(&written).unwrap();
        assert_eq!(affinity.first, None);
        assert_eq!(affinity.last, Some(Processors(vec![1])));
    }
}
