//! Ranges of identities, and how they are laid beside each other in a container.

use crate::sys::user::Extent;

/// Identities in a row, at least one, none of them beyond the last that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first one.
    pub start: u32,
    /// How many.
    pub count: u32,
}

impl Range {
    /// Such a range, if it is one.
    #[must_use]
    pub fn new(start: u32, count: u32) -> Option<Self> {
        (count > 0 && start.checked_add(count).is_some()).then_some(Self { start, count })
    }

    /// The same of two numbers as they are written.
    #[must_use]
    pub fn parse(start: &str, count: &str) -> Option<Self> {
        Self::new(start.parse().ok()?, count.parse().ok()?)
    }

    /// What stands behind its last one.
    #[must_use]
    pub const fn end(self) -> u32 {
        self.start + self.count
    }

    /// What is left of it without `identity`: up to two ranges.
    fn without(self, identity: u32) -> impl Iterator<Item = Self> {
        let (below, above) = if (self.start..self.end()).contains(&identity) {
            (
                Self::new(self.start, identity - self.start),
                Self::new(identity + 1, self.end() - identity - 1),
            )
        } else {
            (Some(self), None)
        };
        below.into_iter().chain(above)
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.start, self.end() - 1)
    }
}

/// The kernel takes 340 extents for a map.
const RANGES_MAX: usize = 300;

/// `ranges` without the identity that one has anyway, since nobody can be mapped twice; as many as a map takes.
#[must_use]
pub fn without(own: u32, ranges: &[Range]) -> Vec<Range> {
    ranges
        .iter()
        .flat_map(|range| range.without(own))
        .take(RANGES_MAX)
        .collect()
}

/// The identity `own` as `inside`, and what `ranges` has as those before and behind it, in their order.
#[must_use]
pub fn arrange(own: u32, inside: u32, ranges: &[Range]) -> Vec<Extent> {
    let mut rest = ranges.to_vec();
    rest.reverse();
    let before = fill(0, inside, &mut rest);
    let one = Extent {
        inside,
        outside: own,
        count: 1,
    };
    let behind = fill(inside.saturating_add(1), u32::MAX, &mut rest);
    [before, vec![one], behind].concat()
}

/// Lays what comes next, from the end of `rest`, over the identities from `next` on up to `end`, as far as it reaches, and leaves what is over.
fn fill(mut next: u32, end: u32, rest: &mut Vec<Range>) -> Vec<Extent> {
    let mut extents = Vec::with_capacity(rest.len());
    while next < end
        && let Some(range) = rest.pop()
    {
        let count = range.count.min(end - next);
        extents.push(Extent {
            inside: next,
            outside: range.start,
            count,
        });
        next += count;
        rest.extend(Range::new(range.start + count, range.count - count));
    }
    extents
}

#[cfg(test)]
mod tests {
    use super::{Range, arrange, without};

    fn ranges(ranges: &[(u32, u32)]) -> Vec<Range> {
        let range = |&(start, count)| Range::new(start, count).expect("a range");
        ranges.iter().map(range).collect()
    }

    fn arranged(own: u32, inside: u32, of: &[(u32, u32)]) -> String {
        let extents = arrange(own, inside, &ranges(of));
        extents.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ranges_have_an_end() {
        assert!(Range::parse("4294967294", "1").is_some());
        for (start, count) in [("5", "0"), ("x", "1"), ("1", ""), ("4294967295", "9"), ("-1", "1")] {
            assert_eq!(Range::parse(start, count), None, "{start} {count}");
        }
    }

    #[test]
    fn nobody_is_there_twice() {
        let left = without(1000, &ranges(&[(0, 2000), (1000, 1), (5, 2), (1000, 3), (999, 2)]));
        assert_eq!(left, ranges(&[(0, 1000), (1001, 999), (5, 2), (1001, 2), (999, 1)]));
    }

    #[test]
    fn the_user_is_root_and_the_others_follow() {
        assert_eq!(arranged(1000, 0, &[(100_000, 65_536)]), "0:1000:1 1:100000:65536");
        assert_eq!(arranged(7, 0, &[(50, 2), (90, 3)]), "0:7:1 1:50:2 3:90:3");
    }

    #[test]
    fn a_user_can_be_anywhere_between_them() {
        assert_eq!(
            arranged(1000, 1000, &[(100_000, 65_536)]),
            "0:100000:1000 1000:1000:1 1001:101000:64536"
        );
        assert_eq!(arranged(9, 3, &[(50, 2), (90, 3)]), "0:50:2 2:90:1 3:9:1 4:91:2");
        assert_eq!(arranged(9, 2, &[(50, 2)]), "0:50:2 2:9:1");
        assert_eq!(arranged(9, 7, &[(50, 2)]), "0:50:2 7:9:1");
    }
}
