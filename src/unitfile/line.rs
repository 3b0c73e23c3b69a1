//! A line that somebody wrote for one of systemd's own sections: neither quoted nor changed.
//!
//! Whoever holds one need not look at it again: it is read by systemd as one key with this value, whatever stands below it.

use crate::unitfile::{LINE_MAX, has_line_end, joins_next_line};

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    key: String,
    value: String,
}

/// What of a line no unit file can hold, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// The key.
    Key(&'static str),
    /// The value.
    Value(&'static str),
}

impl Line {
    /// The line, as it is.
    ///
    /// # Errors
    /// It would be none, or more than one, or not be read at all.
    pub fn new(key: &str, value: String) -> Result<Self, Unfit> {
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(Unfit::Key(
                "the key is none of systemd's: only letters, digits and '-' may be in it",
            ));
        }
        if has_line_end(&value) {
            return Err(Unfit::Value("its value has a line break, which no unit file can hold"));
        }
        if joins_next_line(&value) {
            return Err(Unfit::Value(
                "its value ends in a backslash, which would join it with the next line",
            ));
        }
        if key.len() + value.len() + 2 > LINE_MAX {
            return Err(Unfit::Value("its value is longer than the 1 MiB that systemd reads"));
        }
        let key = key.to_owned();
        Ok(Self { key, value })
    }

    /// As it is spelt.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// As systemd is to read it.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Unfit};

    fn line(key: &str, value: &str) -> Result<Line, Unfit> {
        Line::new(key, value.to_owned())
    }

    #[test]
    fn what_is_unfit_is_named() {
        let good = line("X-Note", r"C:\\ %i $A").unwrap();
        assert_eq!((good.key(), good.value()), ("X-Note", r"C:\\ %i $A"));
        for key in ["", "A=b", "#A", "A_b", "A\n", "[A]"] {
            assert!(matches!(line(key, ""), Err(Unfit::Key(_))), "{key:?}");
        }
        let long = "x".repeat(1 << 20);
        for value in ["b\nc", "b\rc", "b\0", r"b\", "b\\ ", &long] {
            assert!(matches!(line("A", value), Err(Unfit::Value(_))), "{value:?}");
        }
    }
}
