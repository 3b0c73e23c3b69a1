//! All printing to standard output: text, tables, JSON.
//!
//! On a terminal a table is aligned, has a heading, and may be coloured. Anywhere else it is made for programs: one record a line, fields
//! separated by one tab, no heading, nothing cut off. Control characters never get through, whatever a file or an image holds.
//! A reader that goes away ([`Closed`]) ends the program quietly.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Stdout, Write};

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless `$NO_COLOR` is set.
    Auto,
    /// Also into a pipe.
    Always,
    /// Not even on a terminal.
    Never,
}

/// In which form a verb prints what it has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people, and for cut(1) and awk(1).
    Table,
    /// For programs: one JSON document.
    Json,
}

/// The colour of a piece of text. Colour never carries what the words do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// As it is.
    Plain,
    /// Headings and names.
    Bold,
    /// What matters less.
    Dim,
    /// What is well.
    Green,
    /// What may need a look.
    Yellow,
    /// What is broken.
    Red,
}

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// May hold anything: it is made [`visible`] when printed. Empty fields are printed as `-`.
    pub text: String,
    /// On a terminal.
    pub paint: Paint,
}

/// Whoever read our output has closed it.
#[derive(Debug, thiserror::Error)]
#[error("the output was closed")]
pub struct Closed;

/// Where the verbs print to.
#[derive(Debug)]
pub struct Output<W: Write = BufWriter<Stdout>> {
    out: W,
    layout: Layout,
    colour: Colour,
}

/// For whom a table is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Aligned,
    Tabs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    On,
    Off,
}

impl Output {
    /// Standard output.
    #[must_use]
    pub fn stdout(when: When) -> Self {
        let stdout = io::stdout();
        let layout = if stdout.is_terminal() {
            Layout::Aligned
        } else {
            Layout::Tabs
        };
        let refused = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = || std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let colour = match when {
            When::Always => Colour::On,
            When::Auto if layout == Layout::Aligned && !refused() && !dumb() => Colour::On,
            When::Auto | When::Never => Colour::Off,
        };
        Self {
            out: BufWriter::new(stdout),
            layout,
            colour,
        }
    }
}

impl<W: Write> Output<W> {
    /// Prints the text as it is.
    pub fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        told(self.out.write_all(bytes))
    }

    /// Prints one line.
    pub fn line(&mut self, line: &str) -> anyhow::Result<()> {
        told(writeln!(self.out, "{line}"))
    }

    /// Prints one JSON document.
    pub fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(value).context("writing JSON")?;
        text.push('\n');
        self.bytes(text.as_bytes())
    }

    /// Prints rows of as many fields as the heading has.
    pub fn table(&mut self, heading: &[&str], rows: &[Vec<Cell>]) -> anyhow::Result<()> {
        match self.layout {
            Layout::Tabs => rows.iter().try_for_each(|row| {
                let fields: Vec<_> = row.iter().map(|cell| self.paint(cell.paint, &cell.shown())).collect();
                self.line(&fields.join("\t"))
            }),
            Layout::Aligned => {
                let heading: Vec<_> = heading.iter().map(|title| Cell::new(*title, Paint::Bold)).collect();
                let rows: Vec<_> = std::iter::once(&heading).chain(rows).collect();
                let widths = widths(&rows);
                rows.into_iter().try_for_each(|row| self.aligned(row, &widths))
            }
        }
    }

    fn aligned(&mut self, row: &[Cell], widths: &[usize]) -> anyhow::Result<()> {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            let shown = cell.shown();
            line.push_str(&self.paint(cell.paint, &shown));
            if index + 1 < row.len() {
                let padding = width + 2 - shown.chars().count();
                let _ = write!(line, "{:padding$}", "");
            }
        }
        self.line(&line)
    }

    /// The text in this colour, if colours are on.
    #[must_use]
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Plain => return text.to_owned(),
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Green => "32",
            Paint::Yellow => "1;33",
            Paint::Red => "1;31",
        };
        match self.colour {
            Colour::On => format!("\x1b[{code}m{text}\x1b[0m"),
            Colour::Off => text.to_owned(),
        }
    }

    /// Hands everything to the reader.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        told(self.out.flush())
    }
}

impl Cell {
    /// A field in this colour.
    #[must_use]
    pub fn new(text: impl Into<String>, paint: Paint) -> Self {
        Self {
            text: text.into(),
            paint,
        }
    }

    /// A field without a colour.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Paint::Plain)
    }

    pub(super) fn shown(&self) -> Cow<'_, str> {
        if self.text.is_empty() {
            Cow::Borrowed("-")
        } else {
            visible(&self.text)
        }
    }
}

fn widths(rows: &[&Vec<Cell>]) -> Vec<usize> {
    let columns = rows.iter().map(|row| row.len()).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.shown().chars().count())
            .max()
    };
    (0..columns).map(|column| width(column).unwrap_or_default()).collect()
}

/// The text with every control character made visible, so that nothing from a file moves the cursor or ends a record.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().any(hidden) {
        let show = |c: char| {
            if hidden(c) {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        };
        Cow::Owned(text.chars().map(show).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Control characters, and those that turn the direction of writing around.
fn hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Says something on standard error, under the program's name. That nobody can be told is no reason to stop.
pub fn complain(text: &str) {
    let mut stderr = io::stderr().lock();
    for line in text.lines() {
        _ = writeln!(stderr, "coracle: {}", visible(line));
    }
}

fn told(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        written => written.context("writing to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(layout: Layout, colour: Colour) -> String {
        let mut output = Output {
            out: Vec::new(),
            layout,
            colour,
        };
        let rows = [
            vec![Cell::new("web", Paint::Green), Cell::plain("8080")],
            vec![Cell::plain("long-name"), Cell::plain("")],
        ];
        output.table(&["NAME", "PORT"], &rows).unwrap();
        String::from_utf8(output.out).unwrap()
    }

    #[test]
    fn aligns_for_people_and_separates_for_programs() {
        assert_eq!(
            printed(Layout::Aligned, Colour::Off),
            "NAME       PORT\nweb        8080\nlong-name  -\n"
        );
        assert_eq!(printed(Layout::Tabs, Colour::Off), "web\t8080\nlong-name\t-\n");
        assert!(printed(Layout::Aligned, Colour::On).contains("\x1b[32mweb\x1b[0m        8080\n"));
    }

    #[test]
    fn lets_no_control_character_through() {
        assert_eq!(visible("a\tb\x1b[31m\n"), "a\\tb\\u{1b}[31m\\n");
        assert_eq!(visible("\u{202e}ä"), "\\u{202e}ä");
        assert!(matches!(visible("plain ä"), Cow::Borrowed(_)));
    }

    #[test]
    fn tells_a_closed_pipe_from_a_full_disk() {
        assert!(told(Err(ErrorKind::BrokenPipe.into())).unwrap_err().is::<Closed>());
        assert!(!told(Err(ErrorKind::StorageFull.into())).unwrap_err().is::<Closed>());
    }
}
