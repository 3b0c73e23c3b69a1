//! Subordinate identities that do not stand in files: where `/etc/nsswitch.conf` has a line `subid:` with another source, such as `sss`
//! for the users of a directory.
//!
//! `newuidmap` and `newgidmap` then ask that source and no file. It speaks through a library of its own, into which no program of ours is
//! linked; `getsubids`, which comes with those two, asks it for everybody. Hosts without such a line run nothing more.

use std::fs;
use std::process::{Command, Stdio};

use crate::run::subordinate::kind::Kind;
use crate::run::subordinate::range::Range;

/// The source that is to be asked, where that is not the files.
#[must_use]
pub fn source() -> Option<String> {
    source_in(&fs::read_to_string("/etc/nsswitch.conf").ok()?).map(str::to_owned)
}

/// As the programs read it: the first word counts, and the first such line.
fn source_in(nsswitch: &str) -> Option<&str> {
    let lines = nsswitch.lines().map(|line| line.split('#').next().unwrap_or_default());
    let sources = lines
        .filter_map(|line| line.trim_start().strip_prefix("subid:"))
        .next()?;
    sources.split_whitespace().next().filter(|source| *source != "files")
}

/// What is lent to the user `name`. Nothing where the program is missing or has nothing to say.
#[must_use]
pub fn ask(name: &str, kind: Kind) -> Vec<Range> {
    let output = Command::new("getsubids")
        .args(kind.options())
        // It knows no '--', and no name of a user begins like an option.
        .arg(name)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.map_or_else(
        |_| Vec::new(),
        |output| ranges_in(&String::from_utf8_lossy(&output.stdout)),
    )
}

/// `0: anna 100000 65536`, a line each.
fn ranges_in(text: &str) -> Vec<Range> {
    let range = |line: &str| {
        let mut words = line.split_whitespace().rev();
        let (count, start) = (words.next()?, words.next()?);
        Range::parse(start, count)
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::{ranges_in, source_in};
    use crate::run::subordinate::range::Range;

    #[test]
    fn only_another_source_is_asked() {
        for files in [
            "",
            "passwd: sss\n",
            "subid: files sss\n",
            "# subid: sss\n",
            "subid:\n",
            "subid: # sss\n",
        ] {
            assert_eq!(source_in(files), None, "{files}");
        }
        assert_eq!(
            source_in("passwd: files\n subid:\tsss files # x\nsubid: files\n"),
            Some("sss")
        );
    }

    #[test]
    fn ranges_are_read_as_they_are_printed() {
        let text =
            "0: anna 100000 65536\n1: with space 300000 10\nError\n2: anna x 1\n3: anna 4294967295 9\n4: anna 5 0\n";
        let ranges: Vec<_> = ranges_in(text).iter().map(Range::to_string).collect();
        assert_eq!(ranges, ["100000 to 165535", "300000 to 300009"]);
    }
}
