//! Whose a file is: numbers of the host, and numbers as a container sees them.

use std::fs;

use anyhow::{Context as _, Result};
use nix::unistd::Pid;

use crate::sys::user::Extent;

/// The identities of a container, as maps (user_namespaces(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ids {
    users: Vec<Extent>,
    groups: Vec<Extent>,
}

/// What stands for an identity that a container does not have.
const NOBODY: u32 = 65534;

impl Ids {
    /// Those of the process `pid`.
    pub(super) fn of(pid: Pid) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            let text = fs::read_to_string(&path).with_context(|| format!("reading '{path}'"))?;
            parse(&text).with_context(|| format!("reading '{path}'"))
        };
        Ok(Self {
            users: read("uid_map")?,
            groups: read("gid_map")?,
        })
    }

    /// The same with both sides exchanged: those of the host as a process in the container has them.
    pub(super) fn reversed(&self) -> Self {
        let reverse = |extents: &Vec<Extent>| {
            let reversed = extents.iter().map(|one| Extent {
                inside: one.outside,
                outside: one.inside,
                count: one.count,
            });
            reversed.collect()
        };
        Self {
            users: reverse(&self.users),
            groups: reverse(&self.groups),
        }
    }

    /// Those that are the same for this process.
    pub(super) fn as_they_are() -> Self {
        let all = vec![Extent {
            inside: 0,
            outside: 0,
            count: u32::MAX,
        }];
        Self {
            users: all.clone(),
            groups: all,
        }
    }

    /// A user and a group of the host as they are seen inside.
    pub(super) fn inside(&self, user: u32, group: u32) -> (u32, u32) {
        let of = |extents: &[Extent], id: u32| {
            let extent = extents
                .iter()
                .find(|one| id >= one.outside && id - one.outside < one.count);
            extent.map_or(NOBODY, |one| one.inside + (id - one.outside))
        };
        (of(&self.users, user), of(&self.groups, group))
    }

    /// The reverse.
    pub(super) fn outside(&self, user: u32, group: u32) -> Result<(u32, u32)> {
        let of = |extents: &[Extent], id: u32| {
            let extent = extents
                .iter()
                .find(|one| id >= one.inside && id - one.inside < one.count);
            let extent = extent.with_context(|| format!("the container has no user or group {id}"))?;
            Ok::<_, anyhow::Error>(extent.outside + (id - extent.inside))
        };
        Ok((of(&self.users, user)?, of(&self.groups, group)?))
    }
}

fn parse(text: &str) -> Result<Vec<Extent>> {
    let extent = |line: &str| {
        let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Extent {
            inside: next()?,
            outside: next()?,
            count: next()?,
        })
    };
    let extents: Option<Vec<_>> = text.lines().map(extent).collect();
    extents.context("it is no map of identities")
}

#[cfg(test)]
mod tests {
    use super::{Ids, parse};

    #[test]
    fn numbers_are_mapped_both_ways() {
        let map = || parse("         0     524288      65536\n 70000 1000 1\n").unwrap();
        let ids = Ids {
            users: map(),
            groups: map(),
        };
        assert_eq!(ids.outside(33, 70000).unwrap(), (524_321, 1000));
        assert_eq!(ids.inside(524_321, 1000), (33, 70000));
        assert_eq!(ids.inside(0, 524_288), (65534, 0));
        assert!(ids.outside(65536, 0).is_err());
        assert_eq!(ids.reversed().inside(33, 70000), (524_321, 1000));
        assert_eq!(Ids::as_they_are().inside(1000, 0), (1000, 0));
        assert!(parse("0 x 1").is_err());
    }
}
