//! Collects a definition's diagnostics while it is read: turns a place in a text into line, column and excerpt.
//!
//! The number of diagnostics is bounded, so that a megabyte of nonsense is not answered with a megabyte of complaints;
//! what is left out is counted, and an error among it still counts as one.

use std::cell::OnceCell;
use std::path::Path;

use crate::definition::diagnostic::{Diagnostic, LINE_LIMIT, Severity};

/// How many diagnostics of one definition are kept.
const LIMIT: usize = 100;

/// A place in one of the files of a definition: bytes, in the text as it was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Which file: an index into the files of the [`Report`].
    pub file: usize,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// The files of a definition and what was said of them so far.
#[derive(Debug)]
pub struct Report<'a> {
    files: Vec<File<'a>>,
    said: Vec<((usize, usize), Diagnostic)>,
    left_out: usize,
    left_out_error: bool,
}

#[derive(Debug)]
struct File<'a> {
    path: &'a Path,
    text: &'a str,
    line_starts: OnceCell<Vec<usize>>,
}

impl<'a> Report<'a> {
    /// A report on a definition's files: the definition itself, then its drop-ins in order.
    pub fn new(files: impl IntoIterator<Item = (&'a Path, &'a str)>) -> Self {
        let files = files
            .into_iter()
            .map(|(path, text)| File {
                path,
                text,
                line_starts: OnceCell::new(),
            })
            .collect();
        Self {
            files,
            said: Vec::new(),
            left_out: 0,
            left_out_error: false,
        }
    }

    /// An error at a place.
    pub fn error(&mut self, span: Span, message: String) {
        self.say(Severity::Error, span, message, None);
    }

    /// A warning at a place; its message says what happens next.
    pub fn warning(&mut self, span: Span, message: String) {
        self.say(Severity::Warning, span, message, None);
    }

    /// A diagnostic at a place, with what would mend it.
    pub fn say(&mut self, severity: Severity, span: Span, message: String, suggestion: Option<String>) {
        if self.is_full() {
            self.left_out += 1;
            self.left_out_error |= severity == Severity::Error;
        } else if let Some(diagnostic) = self.diagnostic(severity, span, message) {
            let diagnostic = Diagnostic {
                suggestion,
                ..diagnostic
            };
            self.said.push(((span.file, span.start), diagnostic));
        }
    }

    /// A diagnostic at a place that is not said here, for those who know whether it is to be said.
    #[must_use]
    pub fn diagnostic(&self, severity: Severity, span: Span, message: String) -> Option<Diagnostic> {
        let file = self.files.get(span.file)?;
        let (line, column, source_line, width) = file.locate(span);
        Some(Diagnostic {
            severity,
            file: file.path.to_path_buf(),
            line,
            column,
            source_line,
            width,
            message,
            suggestion: None,
        })
    }

    /// A diagnostic on a whole file.
    pub fn whole_file(&mut self, severity: Severity, file: usize, message: String) {
        if let Some(path) = self.files.get(file).map(|file| file.path) {
            let diagnostic = Diagnostic::whole_file(severity, path, message);
            self.said.push(((file, 0), diagnostic));
        }
    }

    /// Where the errors are, each with its file and its first byte there; nothing if there may be one that is not kept.
    #[must_use]
    pub fn errors(&self) -> Option<impl Iterator<Item = (usize, usize)>> {
        let errors = self.said.iter().filter(|(_, said)| said.severity == Severity::Error);
        (!self.left_out_error).then(|| errors.map(|(place, _)| *place))
    }

    /// Whether nothing more is kept, so that it need not be thought about at length.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.said.len() >= LIMIT
    }

    /// The line of a place, counted from 0, for comparing places.
    #[must_use]
    pub fn line_of(&self, span: Span) -> usize {
        self.files.get(span.file).map_or(0, |file| file.line_of(span.start))
    }

    /// Everything that was said, in the order of the files and lines.
    #[must_use]
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.said.sort_by_key(|(place, _)| *place);
        let mut diagnostics: Vec<_> = self.said.into_iter().map(|(_, diagnostic)| diagnostic).collect();
        if let (Some(file), true) = (self.files.first(), self.left_out > 0) {
            let severity = match self.left_out_error {
                true => Severity::Error,
                false => Severity::Warning,
            };
            let message = format!("{} more mistakes are not shown", self.left_out);
            diagnostics.push(Diagnostic::whole_file(severity, file.path, message));
        }
        diagnostics
    }
}

impl File<'_> {
    fn line_starts(&self) -> &[usize] {
        self.line_starts.get_or_init(|| {
            let ends = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(ends.map(|(index, _)| index + 1)).collect()
        })
    }

    fn line_of(&self, offset: usize) -> usize {
        self.line_starts().partition_point(|start| *start <= offset) - 1
    }

    /// Line, column, the line's text and how many characters of it to underline.
    fn locate(&self, span: Span) -> (u32, u32, String, u32) {
        let start = floor_boundary(self.text, span.start);
        let end = floor_boundary(self.text, span.end).max(start);
        let line = self.line_of(start);
        let line_start = self.line_starts()[line];
        let rest = &self.text[line_start..];
        let content = rest.split('\n').next().unwrap_or(rest).trim_end_matches('\r');
        let column = self.text[line_start..start].chars().count() + 1;
        let line_end = (line_start + content.len()).max(start);
        let width = self.text[start..end.min(line_end)].chars().count().max(1);
        let source_line = content.chars().take(LINE_LIMIT).collect();
        (number(line + 1), number(column), source_line, number(width))
    }
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    (0..=offset)
        .rev()
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(0)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
