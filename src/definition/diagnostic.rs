//! A mistake in a definition: where it is, what it is, what happens next and what would mend it.
//!
//! Parsing never stops at the first mistake and never fails: a definition's diagnostics are all there is to tell, and a definition with
//! an error among them is not started.

use std::path::PathBuf;

/// One mistake, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the definition can still be started.
    pub severity: Severity,
    /// The file with the mistake.
    pub file: PathBuf,
    /// Counted from 1; 0 where the mistake concerns the whole file.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// The offending line without its end, empty where there is none.
    pub source_line: String,
    /// How many characters to underline.
    pub width: u32,
    /// What is wrong, and for a warning what happens next ("…, ignoring").
    pub message: String,
    /// What would mend it, as a sentence fragment: `did you mean 'Image'?`.
    pub suggestion: Option<String>,
}

/// What a diagnostic does to its definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The unit is made all the same.
    Warning,
    /// The unit is made so that it fails with this text.
    Error,
}
