//! systemd's unit file syntax: sections, quoting, unit names.
//!
//! Everything that goes into a unit file passes through here and nowhere else, so that there is one place to check. It knows the
//! syntax (systemd.syntax(7), systemd.service(5) "Command lines", systemd-escape(1)) and nothing of Coracle.
//!
//! Nothing here opens a file or reads the environment. No value, whatever it contains, can end its line or begin another key or
//! section: [`UnitFile`] sees to that for every value, quoted or not. What somebody else wrote is a [`line::Line`], of which the key is
//! known to be one as well.

pub mod line;
pub mod name;
pub mod quote;
pub mod words;

/// The longest line that systemd reads (`LONG_LINE_MAX`); a longer one makes it reject the whole file.
pub const LINE_MAX: usize = 1 << 20;

/// What most units fit in, in bytes: to grow step by step costs more than to give back what is left over.
const MOST: usize = 1024;

/// A unit file as it grows: sections in order, with their lines in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFile {
    text: String,
}

impl UnitFile {
    /// An empty file with a first line of comment.
    #[must_use]
    pub fn new(comment: &str) -> Self {
        let mut file = Self {
            text: String::with_capacity(MOST),
        };
        file.text.push_str("# ");
        file.push_line(comment);
        file
    }

    /// Begins a section with its lines. A section without lines is left out.
    pub fn section<'a>(&mut self, name: &str, lines: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let mut lines = lines.into_iter().peekable();
        if lines.peek().is_none() {
            return;
        }
        self.text.push_str("\n[");
        self.text.push_str(name);
        self.text.push_str("]\n");
        for (key, value) in lines {
            self.text.push_str(key);
            self.text.push('=');
            self.push_line(value);
        }
    }

    /// The finished file.
    #[must_use]
    pub fn into_text(mut self) -> String {
        self.text.shrink_to_fit();
        self.text
    }

    /// What would end the line becomes a space: a line feed, a carriage return, a NUL; a last backslash is left out.
    fn push_line(&mut self, value: &str) {
        let start = self.text.len();
        if has_line_end(value) {
            self.text.push_str(&value.replace(LINE_ENDS, " "));
        } else {
            self.text.push_str(value);
        }
        while joins_next_line(&self.text[start..]) {
            let end = self.text.trim_end_matches(WHITE_SPACE).len();
            self.text.truncate(end - 1);
        }
        self.text.push('\n');
    }
}

/// What systemd strips from both ends of a line.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// What systemd takes for the end of a line.
const LINE_ENDS: [char; 3] = ['\n', '\r', '\0'];

/// Whether one of [`LINE_ENDS`] is in the value. Every byte of every unit is asked, and a byte is asked faster than a character.
fn has_line_end(value: &str) -> bool {
    value.bytes().any(|byte| matches!(byte, b'\n' | b'\r' | b'\0'))
}

/// Whether the value ends in a backslash that is not itself escaped, which continues the line.
fn joins_next_line(value: &str) -> bool {
    value
        .trim_end_matches(WHITE_SPACE)
        .bytes()
        .rev()
        .take_while(|b| *b == b'\\')
        .count()
        % 2
        == 1
}

#[cfg(test)]
mod tests {
    use super::UnitFile;

    #[test]
    fn a_file_is_sections_and_lines() {
        let mut file = UnitFile::new("Made by hand.");
        file.section("Unit", [("Description", "x")]);
        file.section("Empty", []);
        file.section("Service", [("Type", "notify"), ("Restart", "no")]);
        assert_eq!(
            file.into_text(),
            "# Made by hand.\n\n[Unit]\nDescription=x\n\n[Service]\nType=notify\nRestart=no\n"
        );
    }

    proptest::proptest! {
        /// Whatever the value is, the file has the same lines.
        #[test]
        fn no_value_leaves_its_line(value in "[a\\\\\n\r\0 \t]{0,12}") {
            let mut file = UnitFile::new("x");
            file.section("S", [("A", value.as_str()), ("B", "1")]);
            let text = file.into_text();
            let lines: Vec<_> = text.split(['\n', '\r', '\0']).collect();
            proptest::prop_assert_eq!(lines.len(), 6, "{:?}", text);
            proptest::prop_assert_eq!(lines[4], "B=1");
            proptest::prop_assert!(!super::joins_next_line(lines[3]));
        }
    }
}
