//! What the administrator has lent to a user: lines of subuid(5) and subgid(5), or what another source says ([`service`]).

use std::fs;

use anyhow::{Result, ensure};

use crate::run::subordinate::kind::Kind;
use crate::run::subordinate::range::{Range, without};
use crate::run::subordinate::service;
use crate::sys::user::Extent;

/// A user's own identity of one kind, and those that they may use besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lent {
    /// Of which kind.
    pub kind: Kind,
    /// The user's own.
    pub own: u32,
    /// The others, without their own.
    pub ranges: Vec<Range>,
    /// The source of the name service that has said so, if it was not a file.
    pub source: Option<String>,
}

impl Lent {
    /// What is lent to the user of this name and number, whose own identity of that kind is `own`.
    #[must_use]
    pub fn find(kind: Kind, own: u32, name: &str, number: u32) -> Self {
        let source = service::source();
        let ranges = match &source {
            Some(_) => service::ask(name, kind),
            None => ranges_in(&fs::read_to_string(kind.file()).unwrap_or_default(), name, number),
        };
        Self {
            kind,
            own,
            ranges: without(own, &ranges),
            source,
        }
    }

    /// Checks that a map that was written by hand takes nothing that is not the user's.
    ///
    /// # Errors
    /// What it takes, and what is theirs.
    pub fn check(&self, extents: &[Extent]) -> Result<()> {
        for extent in extents {
            let end = u64::from(extent.outside) + u64::from(extent.count);
            let is_own = (extent.outside, extent.count) == (self.own, 1);
            let has_all = |range: &Range| extent.outside >= range.start && end <= u64::from(range.end());
            ensure!(
                is_own || self.ranges.iter().any(has_all),
                "'{}' takes {} to {} of the host, which are not yours: '{}' lends you {}, and {} is yourself",
                self.kind.key(),
                extent.outside,
                end - 1,
                self.source.as_deref().unwrap_or(self.kind.file()),
                self.describe(),
                self.own
            );
        }
        Ok(())
    }

    fn describe(&self) -> String {
        match self.ranges.as_slice() {
            [] => "nothing".to_owned(),
            ranges => ranges.iter().map(Range::to_string).collect::<Vec<_>>().join(", "),
        }
    }
}

/// What a file lends to a user, who stands there by name or number.
fn ranges_in(text: &str, name: &str, number: u32) -> Vec<Range> {
    let number = number.to_string();
    let range = |line: &str| {
        let mut fields = line.split(':').map(str::trim);
        let (whose, start, count) = (fields.next()?, fields.next()?, fields.next()?);
        Range::parse(start, count).filter(|_| whose == name || whose == number)
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::ranges_in;

    #[test]
    fn lines_count_that_have_the_users_name_or_number() {
        let file =
            "bob:1:2\nanna:100000:65536\n1000:300000:10\nanna:x:1\nanna:5\nanna:5:0\nanna:4294967295:9\n# anna:1:1\n";
        let ranges = ranges_in(file, "anna", 1000);
        let ranges: Vec<_> = ranges.iter().map(|range| (range.start, range.count)).collect();
        assert_eq!(ranges, [(100_000, 65_536), (300_000, 10)]);
    }
}
