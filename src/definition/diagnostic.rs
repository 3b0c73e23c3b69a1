//! A mistake in a definition: where it is, what it is, what happens next and what would mend it.
//!
//! Parsing never stops at the first mistake and never fails: a definition's diagnostics are all there is to tell, and a definition with
//! an error among them is not started. Whatever a hostile file contains, what is printed here is plain printable text:
//! control characters are escaped and long lines are cut.

use std::fmt::{self, Display, Formatter, Write};
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// One mistake, with its place. `{}` prints it on one line, [`render`](Self::render) with the offending line below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diagnostic {
    /// Whether the definition can still be started.
    pub severity: Severity,
    /// The file with the mistake.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// Counted from 1; 0 where the mistake concerns the whole file.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// The offending line without its end, empty where there is none; only the first [`LINE_LIMIT`] characters of it.
    pub source_line: String,
    /// How many characters to underline.
    pub width: u32,
    /// What is wrong, and for a warning what happens next ("…, ignoring").
    pub message: String,
    /// What would mend it, as a sentence fragment: `did you mean 'Image'?`.
    pub suggestion: Option<String>,
}

/// What a diagnostic does to its definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The unit is made all the same.
    Warning,
    /// The unit is made so that it fails with this text.
    Error,
}

/// How many characters of a line a diagnostic keeps.
pub const LINE_LIMIT: usize = 1000;

/// How many characters of a line are shown, around the mistake.
const SHOWN: usize = 120;

/// How many characters of a message are shown.
const MESSAGE_LIMIT: usize = 600;

/// What ends a warning whose subject is left out of the unit.
const IGNORING: &str = ", ignoring";

impl Diagnostic {
    /// A mistake that concerns a whole file, or the lack of something in it.
    #[must_use]
    pub fn whole_file(severity: Severity, file: &Path, message: String) -> Self {
        Self {
            severity,
            file: file.to_path_buf(),
            line: 0,
            column: 0,
            source_line: String::new(),
            width: 0,
            message,
            suggestion: None,
        }
    }

    /// A mistake at a place that was kept for it; in the whole file where that is nowhere in it, as with what follows from the file's name.
    #[must_use]
    pub fn at(place: Option<&Self>, severity: Severity, file: &Path, message: String) -> Self {
        match place {
            Some(place) => Self {
                severity,
                message,
                suggestion: None,
                ..place.clone()
            },
            None => Self::whole_file(severity, file, message),
        }
    }

    /// What is to be looked at first: the definition's file before its drop-ins, a line before those below it.
    #[must_use]
    pub fn order(&self, drop_ins: &[PathBuf]) -> (usize, u32, u32) {
        let drop_in = drop_ins.iter().position(|file| *file == self.file);
        (drop_in.map_or(0, |index| index + 1), self.line, self.column)
    }

    /// The same with what would mend it.
    #[must_use]
    pub fn suggesting(mut self, suggestion: String) -> Self {
        self.suggestion = Some(suggestion);
        self
    }

    /// The message with its suggestion, without the place.
    #[must_use]
    pub fn sentence(&self) -> String {
        let message = match (&self.suggestion, self.message.strip_suffix(IGNORING)) {
            (None, _) => self.message.clone(),
            (Some(question), Some(start)) if question.ends_with('?') => format!("{start}, {question} Ignoring."),
            (Some(question), None) if question.ends_with('?') => format!("{}, {question}", self.message),
            (Some(advice), _) => format!("{}; {advice}", self.message),
        };
        printable(&message, MESSAGE_LIMIT)
    }

    /// `FILE:LINE:COLUMN`, or `FILE` alone where the mistake has no line.
    #[must_use]
    pub fn place(&self) -> String {
        let file = printable(&self.file.to_string_lossy(), usize::MAX);
        match self.line {
            0 => file,
            line => format!("{file}:{line}:{}", self.column),
        }
    }

    /// Several lines, without an end of line at the last: the one-line form, the offending line, and carets under the mistake.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("{}: {}: {}", self.place(), self.severity, self.sentence());
        if let Some((line, carets)) = self.excerpt() {
            let number = self.line.to_string();
            let gutter = " ".repeat(number.len());
            let _ = write!(text, "\n {number} | {line}\n {gutter} | {carets}");
        }
        text
    }

    /// The offending line, cut to what is worth showing, and the carets under it; nothing where the line is not known.
    #[must_use]
    pub fn excerpt(&self) -> Option<(String, String)> {
        let column = usize::try_from(self.column).ok()?.checked_sub(1)?;
        let length = self.source_line.chars().take(LINE_LIMIT).count();
        if self.line == 0 || column > length || (length == LINE_LIMIT && column == length) {
            return None;
        }
        let width = usize::try_from(self.width).ok()?.max(1);
        let start = if column < SHOWN * 2 / 3 { 0 } else { column - SHOWN / 3 };
        let mut line = String::new();
        let mut carets = String::new();
        if start > 0 {
            line.push('…');
            carets.push(' ');
        }
        for (index, character) in self.source_line.chars().enumerate().skip(start).take(SHOWN) {
            let before = line.chars().count();
            push_printable(&mut line, character);
            let mark = if (column..column + width).contains(&index) {
                '^'
            } else {
                ' '
            };
            carets.extend(std::iter::repeat_n(mark, line.chars().count() - before));
        }
        if start + SHOWN < length {
            line.push('…');
        }
        if !carets.contains('^') {
            carets.push('^');
        }
        Some((line, carets.trim_end().to_owned()))
    }
}

impl Display for Diagnostic {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.sentence())
    }
}

impl Display for Severity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A path as text for JSON, which cannot carry bytes that are not UTF-8.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// The text on one line, with everything escaped that a terminal or a journal would act on, cut after `limit` characters.
#[must_use]
pub fn printable(text: &str, limit: usize) -> String {
    let mut printable = String::with_capacity(text.len().min(limit.saturating_mul(4)));
    for (index, character) in text.chars().enumerate() {
        if index >= limit {
            printable.push('…');
            break;
        }
        push_printable(&mut printable, character);
    }
    printable
}

/// One character, escaped if it is a control character or changes the direction of writing; a tab becomes a space.
fn push_printable(text: &mut String, character: char) {
    match character {
        '\t' => text.push(' '),
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
            text.extend(character.escape_unicode());
        }
        c if c.is_control() => text.extend(c.escape_default()),
        c => text.push(c),
    }
}
