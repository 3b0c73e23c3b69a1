//! What a syntax error takes with it, and what it leaves.
//!
//! The parser goes on behind a mistake, but what it makes of the lines there is not to be trusted: it may lose the rest of a section, or take it
//! for parts of an array. So a file with such mistakes is read without the lines on which they stand, if that is a document without any: then
//! every other line means what it says, and of those that are left out it is mostly plain what they were about.

use std::cell::OnceCell;
use std::collections::HashSet;

use toml::Spanned;
use toml::de::DeTable;

use crate::definition::certainty::{self, concerns_sockets};
use crate::definition::keys::Section;
use crate::definition::report::Span;
use crate::definition::setting::{Damage, Settings};

/// The lines with mistakes, counted from 0.
pub(super) type Lines = HashSet<usize>;

/// The document of all other lines, in their places, if it is one. `room` is where their text is kept.
pub(super) fn rest<'a>(text: &str, damaged: &Lines, room: &'a OnceCell<String>) -> Option<Spanned<DeTable<'a>>> {
    // Below a heading that is left out, keys would seem to stand in the section above it.
    if damaged.is_empty() || lines(text, damaged).any(|(_, line)| line.starts_with('[')) {
        return None;
    }
    let (document, errors) = DeTable::parse_recoverable(room.get_or_init(|| without(text, damaged)));
    errors.is_empty().then_some(document)
}

/// What is missing of a file whose [`rest`] is in `settings`.
pub(super) fn of(file: usize, text: &str, damaged: &Lines, settings: &Settings<'_>) -> Damage {
    let is_apart = |(start, line): (usize, &str)| leaves_sockets_alone(file, start, line, settings);
    match lines(text, damaged).all(is_apart) {
        true => Damage::Apart,
        false => Damage::Some,
    }
}

/// These lines, each with the place of its first byte and without what is blank around it.
fn lines<'t>(text: &'t str, damaged: &Lines) -> impl Iterator<Item = (usize, &'t str)> {
    let starts = text.split_inclusive('\n').scan(0, |end, line| {
        let start = *end;
        *end += line.len();
        Some((start, line.trim()))
    });
    let numbered = starts.enumerate().filter(|(number, _)| damaged.contains(number));
    numbered.map(|(_, line)| line)
}

/// The text with blanks in their place.
fn without(text: &str, damaged: &Lines) -> String {
    let mut rest = String::with_capacity(text.len());
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if !damaged.contains(&number) {
            rest.push_str(line);
            continue;
        }
        let content = line.strip_suffix('\n').unwrap_or(line);
        rest.extend(std::iter::repeat_n(' ', content.len()));
        rest.push_str(&line[content.len()..]);
    }
    rest
}

/// Whether the sockets are the same, whatever this line should have said.
fn leaves_sockets_alone(file: usize, start: usize, line: &str, settings: &Settings<'_>) -> bool {
    if let Some(setting) = settings.at(file, start) {
        return !concerns_sockets(setting.section, &setting.key);
    }
    let is_above = |place: &Span| place.file == file && place.start < start;
    let headers = settings.headers.iter().map(|header| (header.span, header.section));
    let set = settings.settings.iter();
    let set = set.map(|setting| (setting.key_span, setting.section));
    let above = headers.chain(set).filter(|(place, _)| is_above(place));
    let section = above.max_by_key(|(place, _)| place.start).map(|(_, section)| section);
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let word = line.split(|c| !is_bare(c)).next().unwrap_or_default();
    // A section's name may have been its heading.
    matches!(section, Some(Section::Container | Section::Service | Section::Timer))
        && !word.is_empty()
        && Section::find(word).is_none()
        && !certainty::KEYS.iter().any(|key| line.contains(key))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::definition::certainty::Certainty;
    use crate::definition::toml::parse;

    /// Whether the sockets of a text are certain, and the addresses that were understood.
    fn sockets(text: &str) -> (Certainty, String) {
        let (definition, diagnostics) = parse(Path::new("/etc/coracle/web.toml"), text);
        assert!(!diagnostics.is_empty(), "{text}");
        let listens = definition.sockets.iter().flat_map(|socket| &socket.listen);
        let addresses: Vec<&str> = listens.map(|listen| listen.address.as_str()).collect();
        (definition.passthrough.certainty, addresses.join(" "))
    }

    #[test]
    fn sockets_are_certain_beside_a_line_about_something_else() {
        for line in [
            "Image = nginx",
            "Image = \"nginx",
            "Image: \"nginx\"",
            "Image == \"nginx\"",
            "Image =",
            "Image = \"nginx\"\"",
            "Environment = { A = 1, B }",
            "Nonsense",
            "User = \"a\"\nUser = \"b\"",
            "Volume = [\n\"/a:/b\",\n\"/c:/d,\n]",
            "Exec = \"\"\"\na \\x\n\"\"\"",
        ] {
            let text = format!(
                "[Container]\nHostName = \"a\"\n{line}\nPublishPort = \"80:80\"\n[Socket]\nListenStream = 81\n"
            );
            assert_eq!(sockets(&text), (Certainty::Certain, "80 81".to_owned()), "{text}");
        }
        let text = "[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\n[Service]\nMemoryMax = 256M\n";
        assert_eq!(sockets(text), (Certainty::Certain, "80".to_owned()));
    }

    #[test]
    fn they_are_not_where_a_line_may_have_been_about_them() {
        for text in [
            "[Container]\nImage = \"x\"\nPublishPort = [\"80:80\", 81:81\"]\n[Socket]\nListenStream = 81\n",
            "[Container]\nImage = \"x\"\nPublishPort = [\n\"80:80\",\n\"81:81,\n]\n",
            "[Container]\nImage = \"x\" PublishPort = \"80:80\"\n[Socket]\nListenStream = 81\n",
            "[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\nActivation = proxy\n",
            "[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\nServiceName = a\n",
            "[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\n\"81:81\"]\n",
            "[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\n[Socket]\nBindToDevice = \"lo\n",
            "[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\n[Socket\nBindToDevice = \"lo\"\n",
            "[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\nUnit]\nConditionHost = \"a\"\n",
            "[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\n[Unit]\nConditionHost = a\n",
            "[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\n[Install]\nWantedBy = a\n",
            "[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\nExec = [\"a\", \"b\"\n[Socket]\nBacklog = 7\n",
            "[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\nExec = \"\"\"a\n[Socket]\nBacklog = 7\n",
            "Socket.ListenStream = 80x\n[Container]\nImage = \"x\"\nPublishPort = \"80:80\"\n",
        ] {
            assert_eq!(sockets(text).0, Certainty::Doubtful, "{text}");
        }
    }
}
