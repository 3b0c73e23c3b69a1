//! Where errors go: to standard error for people, and to the file that an engine reads (`--log`, `--log-format`).

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::oci::arguments::LogFormat;
use crate::oci::container::now;
use crate::run::failure::one_line;

/// How grave a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It could not be done.
    Error,
    /// It was done, but not all of it.
    Warning,
}

/// Says `message`, in the log as well if there is one.
pub fn say(log: Option<&Path>, format: LogFormat, level: Level, message: &str) {
    let message = one_line(message);
    let _ = writeln!(io::stderr(), "coracle-oci: {message}");
    let Some(path) = log else { return };
    let word = match level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let line = match format {
        LogFormat::Json => json!({"level": word, "msg": message, "time": now()}).to_string(),
        LogFormat::Text => format!("time=\"{}\" level={word} msg={}", now(), json!(message)),
    };
    // Nothing can be done about a log that cannot be written.
    let file = File::options().append(true).create(true).mode(0o600).open(path);
    let _ = file.and_then(|mut file| writeln!(file, "{line}"));
}
