//! A range of identities for one container: which users and groups of the host its own are.
//!
//! `UserNS=auto` takes 65,536 from those that systemd keeps for containers (systemd.io/UIDS-GIDS). Where a unit's range lies follows
//! from its name, so that it is the same at each start; if another running container or a user's subuid(5) range lies there, the next
//! candidate is taken. Who has a range is told by locks on the bytes of one file, one a range, and a lock ends with the last process of the container: there is
//! nothing that can be wrong after a crash.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::sys::lock;
use crate::sys::user::Extent;

/// A range, and what keeps others from it.
#[derive(Debug)]
pub struct Range {
    /// The host's identity of the container's root.
    pub first: u32,
    /// The lock.
    pub lock: OwnedFd,
}

/// How many identities a range has.
pub const SIZE: u32 = 1 << 16;

/// systemd's container range: the first identity and how many ranges there are.
const FIRST: u32 = 0x0008_0000;
const COUNT: u32 = (0x6fff_0000 - FIRST) / SIZE + 1;

/// The bytes of this file stand for the ranges; it holds nothing.
const LOCKS: &str = "/run/coracle/.identities";

/// Ranges that the administrator has given to users (subuid(5), subgid(5)).
const TAKEN: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

impl Range {
    /// The range for `unit`, locked.
    ///
    /// # Errors
    /// The lock file cannot be made, or every range is taken.
    pub fn of_unit(unit: &str) -> Result<Self> {
        let lock = lock::open(Path::new(LOCKS)).with_context(|| format!("opening '{LOCKS}'"))?;
        let mut taken = Vec::new();
        for path in TAKEN {
            taken.extend(subordinate(&fs::read_to_string(path).unwrap_or_default()));
        }
        for slot in candidates(unit) {
            let first = FIRST + slot * SIZE;
            let overlaps = |&(start, count): &(u64, u64)| {
                start < u64::from(first) + u64::from(SIZE) && u64::from(first) < start + count
            };
            if !taken.iter().any(overlaps)
                && lock::lock_byte(&lock, slot.into()).with_context(|| format!("locking '{LOCKS}'"))?
            {
                return Ok(Self { first, lock });
            }
        }
        bail!(
            "every range of identities is taken: set 'UserNS' to 'host', or map identities with 'UIDMap' and 'GIDMap'"
        )
    }

    /// The map of users or groups that it stands for.
    #[must_use]
    pub fn extent(&self) -> Extent {
        Extent {
            inside: 0,
            outside: self.first,
            count: SIZE,
        }
    }
}

/// The slots that a unit may have, the likeliest first, each once.
fn candidates(unit: &str) -> impl Iterator<Item = u32> {
    // FNV-1a: it need not be strong, only the same for ever.
    let hash = unit.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (0..COUNT).map(move |step| (hash % COUNT + step) % COUNT)
}

/// The ranges in a subuid(5) file.
fn subordinate(text: &str) -> impl Iterator<Item = (u64, u64)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(1);
        let start = fields.next()?.trim().parse().ok()?;
        Some((start, fields.next()?.trim().parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::{COUNT, FIRST, SIZE, candidates, subordinate};
    use std::collections::BTreeSet;

    #[test]
    fn ranges_are_systemds() {
        // systemd's CONTAINER_UID_BASE_MIN and CONTAINER_UID_BASE_MAX.
        assert_eq!((FIRST, FIRST + (COUNT - 1) * SIZE), (524_288, 1_878_982_656));
    }

    #[test]
    fn a_unit_tries_every_slot_once_and_always_in_the_same_order() {
        let slots: Vec<u32> = candidates("web.service").collect();
        assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), slots.len());
        assert!(slots.len() == 28_664 && slots.iter().all(|slot| *slot < COUNT));
        assert!(slots.iter().copied().eq(candidates("web.service")));
        assert_ne!(candidates("web.service").next(), candidates("db.service").next());
    }

    #[test]
    fn subordinate_ranges_are_read_and_nonsense_is_not() {
        let text = "lennart:100000:65536\n# x\n:\nanna:6666666:\nbob: 558752 :65536\n";
        assert_eq!(
            subordinate(text).collect::<Vec<_>>(),
            [(100_000, 65_536), (558_752, 65_536)]
        );
    }
}
