//! Reads one file that anybody may have put there: never blocks, never reads without end, never reads what is no file.

use std::fs::{File, FileType, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::definition::diagnostic::{Diagnostic, LINE_LIMIT, Severity};

/// The largest definition that is read.
const SIZE_MAX: u64 = 1024 * 1024;

/// What `/dev/null` is.
const NULL_DEVICE: (u64, u64) = (1, 3);

/// What is in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing: the file is empty or `/dev/null`.
    Masked,
    /// Its text.
    Text(String),
}

/// Why a file cannot be read, and where in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Problem {
    message: String,
    line: u32,
    column: u32,
    source_line: String,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }

    /// As an error in this file.
    pub(super) fn diagnostic(self, file: &Path) -> Diagnostic {
        Diagnostic {
            line: self.line,
            column: self.column,
            source_line: self.source_line,
            ..Diagnostic::whole_file(Severity::Error, file, self.message)
        }
    }
}

/// What the directory's listing says of a file, which saves asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    /// A regular file.
    File,
    /// A link, something that is no file, or not known.
    Unsure,
}

/// The content of a file.
pub(super) fn read(path: &Path, listed: Listed) -> Result<Content, Problem> {
    // Looked at before it is opened, since to open a device may already do something. If it changes in between, the second look refuses it.
    if listed == Listed::Unsure {
        let before = std::fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
        let is_null = before.file_type().is_char_device() && device_numbers(before.rdev()) == NULL_DEVICE;
        if is_null {
            return Ok(Content::Masked);
        }
        must_be_file(before.file_type())?;
    }
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC);
    let file = options.open(path).map_err(|error| cannot_read(path, &error))?;
    let metadata = file.metadata().map_err(|error| cannot_read(path, &error))?;
    must_be_file(metadata.file_type())?;
    match metadata.len() {
        0 => Ok(Content::Masked),
        size => read_text(path, file, size),
    }
}

fn read_text(path: &Path, mut file: File, size: u64) -> Result<Content, Problem> {
    if size > SIZE_MAX {
        let limit = SIZE_MAX / 1024 / 1024;
        return Err(Problem::new(format!(
            "the file is larger than {limit} MiB, which no definition is"
        )));
    }
    // One call for the most part: what is shorter than it was a moment ago ends early, what grows meanwhile is read as it was.
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(cannot_read(path, &error)),
        }
    }
    bytes.truncate(filled);
    String::from_utf8(bytes).map(Content::Text).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let line_start = before.rfind('\n').map_or(0, |index| index + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        // What stands before the byte is valid and stays as it is, so that the column holds.
        let rest = error.as_bytes()[line_start..].split(|byte| *byte == b'\n').next();
        let source_line = String::from_utf8_lossy(rest.unwrap_or_default());
        Problem {
            message: "the file is not text: this byte is not valid UTF-8".to_owned(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            source_line: source_line.trim_end_matches('\r').chars().take(LINE_LIMIT).collect(),
        }
    })
}

fn must_be_file(file_type: FileType) -> Result<(), Problem> {
    let what = match file_type {
        _ if file_type.is_file() => return Ok(()),
        _ if file_type.is_dir() => "a directory",
        _ if file_type.is_fifo() => "a named pipe",
        _ if file_type.is_socket() => "a socket",
        _ => "a device",
    };
    Err(Problem::new(format!("this is {what}, not a file, remove or rename it")))
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Problem {
    let target = std::fs::read_link(path);
    match (error.kind(), target) {
        (ErrorKind::NotFound, Ok(target)) => {
            let target = target.display();
            Problem::new(format!("the file is a link to '{target}', which does not exist"))
        }
        _ => Problem::new(format!("the file cannot be read: {error}")),
    }
}

/// Major and minor number of a device, as glibc's major(3) takes them apart.
const fn device_numbers(device: u64) -> (u64, u64) {
    let major = ((device >> 32) & 0xffff_f000) | ((device >> 8) & 0xfff);
    let minor = ((device >> 12) & 0xffff_ff00) | (device & 0xff);
    (major, minor)
}
