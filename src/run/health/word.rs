//! What init and the nursery say to each other: which check is to run, and how it went.

use crate::definition::health::Health;
use crate::run::health::course::Which;

/// A check that is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// By which its report is known.
    pub number: u32,
    /// Which one.
    pub which: Which,
    /// Whether what the check connects to is led to systemd's sockets, since the program has them by now.
    pub leads: Leads,
}

/// Whether a check's connections are led to systemd's sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    /// They are.
    On,
    /// Not yet.
    Off,
}

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// That of its request.
    pub number: u32,
    /// How it ended.
    pub end: End,
    /// What it has written last.
    pub output: Vec<u8>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// It took too long, and was killed.
    TimedOut,
    /// It was never executed; the output says why.
    NotRun,
}

/// The longest report.
pub const LONGEST: usize = 16 + Health::LOG_SIZE_MAX;

impl Request {
    /// As bytes.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let which = u8::from(self.which == Which::Startup);
        let leads = u8::from(self.leads == Leads::On);
        [&self.number.to_le_bytes()[..], &[which, leads]].concat()
    }

    /// From bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk::<4>()?;
        let [which, leads] = *rest else { return None };
        Some(Self {
            number: u32::from_le_bytes(*number),
            which: if which == 1 { Which::Startup } else { Which::Regular },
            leads: if leads == 1 { Leads::On } else { Leads::Off },
        })
    }
}

impl Report {
    /// As bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let (kind, value) = match self.end {
            End::Exited(status) => (0, status),
            End::Killed(signal) => (1, signal),
            End::TimedOut => (2, 0),
            End::NotRun => (3, 0),
        };
        let head = [&self.number.to_le_bytes()[..], &[kind], &i32::to_le_bytes(value)].concat();
        let mut bytes = [head, self.output.clone()].concat();
        bytes.truncate(LONGEST);
        bytes
    }

    /// From bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first()?;
        let (value, output) = rest.split_first_chunk::<4>()?;
        let value = i32::from_le_bytes(*value);
        Some(Self {
            number: u32::from_le_bytes(*number),
            end: match kind {
                0 => End::Exited(value),
                1 => End::Killed(value),
                2 => End::TimedOut,
                _ => End::NotRun,
            },
            output: output.to_vec(),
        })
    }

    /// Whether it says that all is well.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.end == End::Exited(0)
    }

    /// Why the check has failed, with `most` bytes of its output at most.
    #[must_use]
    pub fn why(&self, most: usize) -> String {
        let start = self.output.len().saturating_sub(most);
        let output = String::from_utf8_lossy(self.output.get(start..).unwrap_or_default());
        let output = output.trim();
        let end = match self.end {
            End::Exited(status) => format!("it ended with status {status}"),
            End::Killed(signal) => format!("it was killed by signal {signal}"),
            End::TimedOut => "it took too long".to_owned(),
            End::NotRun => "it could not be started".to_owned(),
        };
        if output.is_empty() {
            end
        } else {
            [&end, ": ", output].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{End, LONGEST, Leads, Report, Request};
    use crate::run::health::course::Which;

    #[test]
    fn words_are_read_as_they_were_written() {
        for (which, leads) in [(Which::Regular, Leads::On), (Which::Startup, Leads::Off)] {
            let number = 0x0102_0304;
            let request = Request { number, which, leads };
            assert_eq!(Request::parse(&request.bytes()), Some(request));
        }
        for end in [End::Exited(7), End::Killed(9), End::TimedOut, End::NotRun] {
            let output = b"a\xff".to_vec();
            let report = Report { number: 7, end, output };
            assert_eq!(Report::parse(&report.bytes()), Some(report));
        }
        let output = vec![b'x'; 2 * LONGEST];
        let long = Report {
            number: 1,
            end: End::TimedOut,
            output,
        };
        assert_eq!(long.bytes().len(), LONGEST);
        assert_eq!((Request::parse(b"abc"), Report::parse(b"abcdefgh")), (None, None));
    }

    #[test]
    fn the_end_of_the_output_is_told() {
        let report = |end, output: &[u8]| Report {
            number: 0,
            end,
            output: output.to_vec(),
        };
        assert_eq!(report(End::Exited(1), b" \n").why(500), "it ended with status 1");
        assert_eq!(
            report(End::Killed(9), b"much too long\n").why(5),
            "it was killed by signal 9: long"
        );
        assert!(report(End::Exited(0), b"").has_passed() && !report(End::Killed(0), b"").has_passed());
    }
}
