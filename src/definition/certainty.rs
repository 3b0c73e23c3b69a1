//! Whether the sockets of a definition are known in spite of its mistakes.
//!
//! A port must not die of a mistake that has nothing to do with it. But a socket that should have been closed to somebody, or not have been
//! there, is worse than one that is missing: so sockets are certain only where each mistake is known to be about something else.

use crate::definition::keys::Section;
use crate::definition::report::Report;
use crate::definition::setting::{Damage, Settings};

/// Whether they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Certainty {
    /// They may be others than were meant.
    #[default]
    Doubtful,
    /// They are what they would be without the mistakes.
    Certain,
}

/// The keys of `[Container]` that sockets and their units' names are made of, and what a section of sockets begins with.
pub const KEYS: [&str; 4] = ["PublishPort", "Activation", "ServiceName", "Socket"];

/// Whether sockets, when they are opened, or by which units depend on a key.
#[must_use]
pub fn concerns_sockets(section: Section, key: &str) -> bool {
    match section {
        Section::Container => KEYS.contains(&key),
        // Some conditions are the socket's, and so is what starts it at boot.
        Section::Socket | Section::Unit | Section::Install => true,
        Section::Service | Section::Timer | Section::Network | Section::Volume => false,
    }
}

/// Whether all errors so far are about something else.
#[must_use]
pub fn of(settings: &Settings<'_>, report: &Report<'_>) -> Certainty {
    let are_apart = report
        .errors()
        .is_some_and(|mut errors| errors.all(|place| is_apart(place, settings)));
    match settings.damaged {
        Damage::None | Damage::Apart if are_apart => Certainty::Certain,
        _ => Certainty::Doubtful,
    }
}

/// Whether what is written in this place, a file and a byte of it, is about something else.
fn is_apart((file, start): (usize, usize), settings: &Settings<'_>) -> bool {
    if settings
        .damages
        .iter()
        .any(|span| (span.file, span.start) == (file, start))
    {
        // Of these it was told before.
        return true;
    }
    if let Some(setting) = settings.at(file, start) {
        return !concerns_sockets(setting.section, &setting.key);
    }
    let mut headers = settings.headers.iter();
    let header =
        headers.find(|header| header.span.file == file && (header.span.start..header.span.end).contains(&start));
    header.is_some_and(|header| !concerns_sockets(header.section, ""))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Certainty;
    use crate::definition::toml::parse;

    #[test]
    fn sockets_are_certain_where_the_mistakes_are_about_something_else() {
        let of = |text: &str| {
            let (definition, diagnostics) = parse(Path::new("/etc/coracle/web.toml"), text);
            assert!(!diagnostics.is_empty(), "{text}");
            definition.passthrough.certainty
        };
        let start = "[Container]\nPublishPort = \"80:80\"\n";
        for apart in [
            "Imgae = \"x\"",
            "Image = \"x\"\nUserNS = \"nonsense\"",
            "Image = \"x\"\nReadOnly = 1\nTmpfs = [\"a\", \"b\"]",
            "Image = \"x\"\nSubUIDMap = \"auto\"",
            "Image = \"x\"\n[Service]\nExecStart = \"/x\"",
            "Image = \"x\"\n[Timer]\nUnit = \"x\"",
        ] {
            assert_eq!(of(&[start, apart].concat()), Certainty::Certain, "{apart}");
        }
        for own in [
            "Image = \"x\"\nActivation = \"sometimes\"",
            "Image = \"x\"\nServiceName = \"a/b\"",
            "Image = \"x\"\nReadOnly = 1\n[Socket]\nListenStream = \"x\"",
            "Image = \"x\"\nReadOnly = 1\n[Socket]\nSocketMode = 1979-05-27",
            "Image = \"x\"\n[Socket.a]\nBacklog = 7",
            "Image = \"x\"\n[Socket]\nListenStream = 80",
            "Image = \"x\"\n[Unit]\nConditionHost = { a = 1 }",
            "Image = \"x\"\n[Install]\nWantedBy = { a = 1 }",
            "Image = \"x\"\nPidsLimit = 999999999999999999999999999999999999999999",
            "Image = \"x\"\n[Service]\n[[Socket]]\nBacklog = 7",
        ] {
            assert_eq!(of(&[start, own].concat()), Certainty::Doubtful, "{own}");
        }
        // What is not said any more may be about anything.
        let many = "Tmpfs = [".to_owned() + &"\"a\",".repeat(200) + "]\n[Socket]\nListenStream = \"x\"\n";
        assert_eq!(of(&[start, &many].concat()), Certainty::Doubtful);
    }
}
