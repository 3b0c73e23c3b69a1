//! The key table: every key that a definition may hold, what it takes, what it means, and whether it is carried out.
//!
//! One table drives the front ends, `coracle explain`, the manual page and the completions, so that none of them can
//! know a key that the others do not. All of Quadlet's `[Container]` keys are in it from the start: a key that is not carried out
//! says so, and refuses the start where leaving it out would open a hole or lose data.

mod container;
mod network;
pub mod newer;
pub mod refused;
mod socket;
mod systemd;
mod volume;

use std::fmt::{self, Display, Formatter};

use crate::definition::diagnostic::Severity;

/// One key of one section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// As it is spelt in the file.
    pub name: &'static str,
    /// The section it stands in.
    pub section: Section,
    /// What it takes.
    pub kind: Kind,
    /// Whether it can be given several times.
    pub repeat: Repeat,
    /// What it does, in one sentence.
    pub meaning: &'static str,
    /// The first version of Coracle that knows it.
    pub since: &'static str,
    /// Whose key it is.
    pub origin: Origin,
    /// Whether it is carried out.
    pub support: Support,
}

/// A section of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// `[Container]`.
    Container,
    /// `[Network]`, in definitions of networks.
    Network,
    /// `[Socket]` and `[Socket.NAME]`.
    Socket,
    /// `[Unit]`.
    Unit,
    /// `[Service]`.
    Service,
    /// `[Timer]`.
    Timer,
    /// `[Install]`.
    Install,
    /// `[Volume]`, in a file of its own.
    Volume,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A number of bytes, or a text such as `256M`.
    Size,
    /// A number of seconds, or a text such as `1min 30s`.
    TimeSpan,
    /// A command: an array of arguments, or one string in systemd's quoting.
    Command,
    /// A table, an array of `NAME=VALUE`, or one string with several of them in systemd's quoting.
    Map,
    /// A signal's name or number.
    Signal,
    /// An absolute path.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// How often a key can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// The last one counts.
    Once,
    /// An array; drop-ins add to it.
    Many,
}

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// podman-systemd.unit(5).
    Quadlet,
    /// Coracle's own.
    Coracle,
    /// systemd.unit(5) and the pages of the unit types.
    Systemd,
}

/// Whether a key is carried out, and what happens to a definition that uses it if not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It does what it says.
    CarriedOut,
    /// It will be.
    NotYet {
        /// [`Severity::Error`] where leaving it out would open a hole, lose data or change the meaning of the whole.
        severity: Severity,
        /// What to do until then; may be empty.
        meanwhile: &'static str,
    },
    /// It will not be.
    Never {
        /// As above.
        severity: Severity,
        /// Why not.
        reason: &'static str,
        /// What to use instead; may be empty.
        instead: &'static str,
    },
}

/// The version that these tables first came with.
const FIRST: &str = "0.1";

impl Key {
    const fn new(section: Section, name: &'static str, kind: Kind, repeat: Repeat, meaning: &'static str) -> Self {
        Self {
            name,
            section,
            kind,
            repeat,
            meaning,
            since: FIRST,
            origin: Origin::Quadlet,
            support: Support::CarriedOut,
        }
    }

    const fn of(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Not yet carried out; the container starts without it.
    const fn later(mut self, meanwhile: &'static str) -> Self {
        let severity = Severity::Warning;
        self.support = Support::NotYet { severity, meanwhile };
        self
    }

    /// Not yet carried out; the container does not start without it.
    const fn refused(mut self, meanwhile: &'static str) -> Self {
        let severity = Severity::Error;
        self.support = Support::NotYet { severity, meanwhile };
        self
    }

    const fn never(mut self, severity: Severity, reason: &'static str, instead: &'static str) -> Self {
        self.support = Support::Never {
            severity,
            reason,
            instead,
        };
        self
    }
}

impl Section {
    /// All of them, in the order in which they are documented.
    pub const ALL: [Self; 8] = [
        Self::Container,
        Self::Network,
        Self::Socket,
        Self::Unit,
        Self::Service,
        Self::Timer,
        Self::Install,
        Self::Volume,
    ];

    /// As it is spelt, without the brackets.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Container => "Container",
            Self::Network => "Network",
            Self::Socket => "Socket",
            Self::Unit => "Unit",
            Self::Service => "Service",
            Self::Timer => "Timer",
            Self::Install => "Install",
            Self::Volume => "Volume",
        }
    }

    /// Whether it is none of systemd's.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Container | Self::Volume)
    }

    /// The section of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }

    /// The section whose name is spelt most like this.
    #[must_use]
    pub fn nearest(name: &str) -> Option<Self> {
        nearest_of(name, Self::ALL.map(Self::name)).and_then(Self::find)
    }

    const fn table(self) -> &'static [Key] {
        match self {
            Self::Container => container::KEYS,
            Self::Network => network::KEYS,
            Self::Socket => socket::KEYS,
            Self::Unit => systemd::UNIT,
            Self::Service => systemd::SERVICE,
            Self::Timer => systemd::TIMER,
            Self::Install => systemd::INSTALL,
            Self::Volume => volume::KEYS,
        }
    }
}

impl Display for Section {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Kind {
    /// What to write, for messages and manual: `true or false`.
    #[must_use]
    pub const fn wanted(self) -> &'static str {
        match self {
            Self::Boolean => "true or false, without quotes",
            Self::Text => "a string",
            Self::Integer => "a whole number",
            Self::Size => "a number of bytes or a string such as \"256M\"",
            Self::TimeSpan => "a number of seconds or a string such as \"1min 30s\"",
            Self::Command => "an array of strings or one string",
            Self::Map => "a table, an array of \"NAME=VALUE\" or one such string",
            Self::Signal => "a signal's name such as \"SIGTERM\" or its number",
            Self::Path => "a string with an absolute path",
            Self::Choice(_) => "one of a few words",
        }
    }
}

/// Every key of every section. Of systemd's sections only those keys are here of which there is something to say; all others
/// are passed on as they are.
pub fn all() -> impl Iterator<Item = &'static Key> {
    Section::ALL.into_iter().flat_map(|section| section.table().iter())
}

/// The key of this name in this section.
#[must_use]
pub fn find(section: Section, name: &str) -> Option<&'static Key> {
    let table = section.table();
    let index = table.binary_search_by(|key| key.name.cmp(name)).ok()?;
    table.get(index)
}

/// The keys of this name in any section, without regard to upper and lower case.
#[must_use]
pub fn find_anywhere(name: &str) -> Vec<&'static Key> {
    all().filter(|key| key.name.eq_ignore_ascii_case(name)).collect()
}

/// The key of this section that is spelt most like this name, if any is near.
#[must_use]
pub fn nearest(section: Section, name: &str) -> Option<&'static Key> {
    let name = nearest_of(name, section.table().iter().map(|key| key.name))?;
    find(section, name)
}

/// The key of any section that is spelt most like this name, if any is near.
#[must_use]
pub fn nearest_anywhere(name: &str) -> Option<&'static Key> {
    let nearest = nearest_of(name, all().map(|key| key.name))?;
    all().find(|key| key.name == nearest)
}

/// The candidate that is spelt most like the name: at most a third of it may differ.
#[must_use]
pub fn nearest_of<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 64 {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let bound = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= bound)
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_unique() {
        for section in Section::ALL {
            for pair in section.table().windows(2) {
                assert!(pair[0].name < pair[1].name, "{} {}", pair[0].name, pair[1].name);
            }
            assert!(section.table().iter().all(|key| key.section == section));
        }
    }

    #[test]
    fn every_quadlet_key_is_there() {
        let count = all()
            .filter(|key| key.section == Section::Container && key.origin == Origin::Quadlet)
            .count();
        assert_eq!(count, 94);
    }

    #[test]
    fn every_key_says_something_useful() {
        for key in all() {
            assert!(key.meaning.len() > 15 && key.meaning.ends_with('.'), "{}", key.name);
            assert!(!key.meaning.contains('\n') && !key.since.is_empty(), "{}", key.name);
            if let Support::Never { reason, .. } = key.support {
                assert!(!reason.is_empty(), "{}", key.name);
            }
        }
    }

    #[test]
    fn lookups() {
        assert_eq!(find(Section::Container, "Image").map(|key| key.name), Some("Image"));
        assert_eq!(find(Section::Unit, "Image"), None);
        assert_eq!(nearest(Section::Container, "Imgae").map(|key| key.name), Some("Image"));
        assert_eq!(nearest(Section::Container, "image").map(|key| key.name), Some("Image"));
        assert_eq!(nearest(Section::Container, "Comment"), None);
        assert_eq!(nearest(Section::Container, ""), None);
        assert_eq!(nearest(Section::Container, &"I".repeat(100_000)), None);
        assert_eq!(Section::nearest("Contianer"), Some(Section::Container));
        assert_eq!(find_anywhere("publishport").len(), 1);
        assert_eq!(
            nearest_anywhere("ListenStrem").map(|key| key.section),
            Some(Section::Socket)
        );
    }
}
