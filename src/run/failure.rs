//! How a start that fails says so: one line in the journal, the same as the unit's status text, and an exit status that systemd has a name for.

use std::fmt;
use std::io::Write as _;

/// The definition or the store must be mended (`EX_CONFIG`; systemd.exec(5) shows `status=78/CONFIG`).
pub const CONFIG: i32 = 78;
/// A condition of the definition does not hold, which may change (`EX_TEMPFAIL` of sysexits(3)).
pub const NOT_NOW: i32 = 75;
/// The payload could not be executed (`203/EXEC`).
pub const EXEC: i32 = 203;
/// The payload's user or group does not exist (`217/USER`).
pub const USER: i32 = 217;
/// The container could not be built (`226/NAMESPACE`).
pub const NAMESPACE: i32 = 226;

/// An error with the exit status that it ends in.
#[derive(Debug)]
pub struct Failure {
    /// One of this module's constants.
    pub status: i32,
    /// What happened.
    pub error: anyhow::Error,
}

/// Gives an error its exit status.
pub trait OrFail<T> {
    /// # Errors
    /// The same error, as a [`Failure`] with `status`.
    fn or_fail(self, status: i32) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn or_fail(self, status: i32) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            status,
            error: error.into(),
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

/// The priorities of sd-daemon(3) that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// `<3>`.
    Error,
    /// `<4>`.
    Warning,
    /// `<5>`.
    Notice,
}

/// Writes `message` to standard error as one line, with a priority where that is the journal.
pub fn say(priority: Priority, message: &str) {
    let mut line = String::with_capacity(message.len() + 4);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        line.push_str(match priority {
            Priority::Error => "<3>",
            Priority::Warning => "<4>",
            Priority::Notice => "<5>",
        });
    }
    line.push_str(&one_line(message));
    line.push('\n');
    // Nothing can be done about a journal that does not listen.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// `message` without line ends and other control characters, whatever definitions and images have put into it.
#[must_use]
pub fn one_line(message: &str) -> String {
    message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
