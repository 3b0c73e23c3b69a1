//! Tells the administrator what is wrong, where it will be looked for: in the journal of the unit concerned.
//!
//! systemd waits for its generators, so nobody here may block, and least of all on the journal, which systemd may be about to restart.
//! That is why this is a sender of our own and not tracing-journald, whose socket blocks and cannot be made not to. The fields
//! `OBJECT_SYSTEMD_UNIT=` and `OBJECT_SYSTEMD_USER_UNIT=` make `journalctl -u NAME` show the line. Early at boot there is no journal
//! yet: then the kernel's log, which the journal reads later, and standard error at last.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::definition::diagnostic::Severity;
use crate::definition::places::Scope;
use crate::generate::Report;

/// `SYSLOG_IDENTIFIER=`.
const IDENTIFIER: &str = "coracle-generator";

/// journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The kernel refuses longer records, in bytes.
const KMSG_MAX: usize = 960;

/// Where the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The journal, or the next best.
    Log,
    /// Standard error: somebody is watching.
    Stderr,
}

/// Sends all lines. Nothing can fail: there is nobody left to tell.
pub fn send(reports: &[Report], scope: Scope, destination: Destination) {
    if reports.is_empty() {
        return;
    }
    let journal = match destination {
        Destination::Log => UnixDatagram::unbound()
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .ok(),
        Destination::Stderr => None,
    };
    for report in reports {
        let text = report.diagnostic.to_string();
        let sent = journal.as_ref().is_some_and(|socket| {
            let datagram = datagram(report, &text, scope);
            socket.send_to(&datagram, Path::new(JOURNAL)).is_ok()
        });
        if sent || (destination == Destination::Log && write_kmsg(report, &text).is_ok()) {
            continue;
        }
        _ = writeln!(io::stderr(), "{}: {text}", report.diagnostic.severity);
    }
}

/// One entry of the journal. No value has a line feed, so each field is simply `NAME=VALUE`.
fn datagram(report: &Report, text: &str, scope: Scope) -> Vec<u8> {
    let object = match scope {
        Scope::System => "OBJECT_SYSTEMD_UNIT",
        Scope::User => "OBJECT_SYSTEMD_USER_UNIT",
    };
    let priority = priority(report.diagnostic.severity);
    let mut entry = format!("MESSAGE={text}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER={IDENTIFIER}\n");
    if !report.unit.is_empty() {
        entry.push_str(&format!("{object}={}\n", report.unit));
    }
    let file = report.diagnostic.file.display().to_string();
    if !file.contains('\n') {
        entry.push_str(&format!("CONFIG_FILE={file}\nCONFIG_LINE={}\n", report.diagnostic.line));
    }
    entry.into_bytes()
}

/// One record of the kernel's log; a write is one record and never waits.
fn write_kmsg(report: &Report, text: &str) -> io::Result<()> {
    let mut kmsg = OpenOptions::new().write(true).open("/dev/kmsg")?;
    let record = format!("<{}>{IDENTIFIER}: {text}", priority(report.diagnostic.severity));
    let mut end = KMSG_MAX.min(record.len());
    while !record.is_char_boundary(end) {
        end -= 1;
    }
    kmsg.write_all(&record.as_bytes()[..end])
}

fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 3,
        Severity::Warning => 4,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::datagram;
    use crate::definition::diagnostic::{Diagnostic, Severity};
    use crate::definition::places::Scope;
    use crate::generate::Report;

    #[test]
    fn the_journal_gets_the_unit() {
        let diagnostic = Diagnostic {
            line: 7,
            ..Diagnostic::whole_file(
                Severity::Warning,
                &PathBuf::from("/etc/coracle/web.toml"),
                String::new(),
            )
        };
        let report = Report {
            unit: "web.service".to_owned(),
            diagnostic,
        };
        let entry = String::from_utf8(datagram(&report, "text", Scope::User)).unwrap();
        let expected = "MESSAGE=text\nPRIORITY=4\nSYSLOG_IDENTIFIER=coracle-generator\n\
             OBJECT_SYSTEMD_USER_UNIT=web.service\nCONFIG_FILE=/etc/coracle/web.toml\nCONFIG_LINE=7\n";
        assert_eq!(entry, expected);
    }
}
