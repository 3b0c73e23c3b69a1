//! The TOML front end: sections are tables, keys keep their systemd spelling, values are native.
//!
//! Reading never fails and never stops at the first mistake. What stands on a line with a syntax error is left out, because
//! complaints about what the parser made of it would only confuse ([`damage`]).

mod damage;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::keys::{self, Section};
use crate::definition::report::{Report, Span};
use crate::definition::resolve::network_file::resolve_network;
use crate::definition::resolve::{resolve, volume_file};
use crate::definition::setting::{Damage, Data, Header, Setting, Settings, Value};
use crate::definition::{Definition, network, volume};

/// A table's key with its value.
type Entry<'t, 'a> = (&'t Spanned<Cow<'a, str>>, &'t Spanned<DeValue<'a>>);

/// The definition in one file's text, without drop-ins. `file` is the path as it is named to the administrator; its stem is the
/// definition's name.
#[must_use]
pub fn parse(file: &Path, text: &str) -> (Definition, Vec<Diagnostic>) {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    parse_merged(&name, file, text, &[])
}

/// The definition `name` in a file's text with the drop-ins that stand over it, in order.
#[must_use]
pub fn parse_merged(
    name: &str,
    file: &Path,
    text: &str,
    drop_ins: &[(PathBuf, String)],
) -> (Definition, Vec<Diagnostic>) {
    let rooms = rooms(drop_ins);
    let (settings, mut report) = read_all(file, text, drop_ins, &rooms);
    let mut definition = resolve(name, file, &settings, &mut report);
    definition.drop_ins = drop_ins.iter().map(|(file, _)| file.clone()).collect();
    (definition, report.finish())
}

/// The volume's definition in `STEM.volume.toml` with the drop-ins that stand over it, in order.
#[must_use]
pub fn parse_volume(
    stem: &str,
    file: &Path,
    text: &str,
    drop_ins: &[(PathBuf, String)],
) -> (volume::Definition, Vec<Diagnostic>) {
    let rooms = rooms(drop_ins);
    let (settings, mut report) = read_all(file, text, drop_ins, &rooms);
    let mut definition = volume_file::resolve(stem, file, &settings, &mut report);
    definition.drop_ins = drop_ins.iter().map(|(file, _)| file.clone()).collect();
    (definition, report.finish())
}

/// For each file, room for its text without the lines that cannot be read: settings are parts of the text that they were read from.
fn rooms(drop_ins: &[(PathBuf, String)]) -> Vec<OnceCell<String>> {
    vec![OnceCell::new(); drop_ins.len() + 1]
}

/// What a file and its drop-ins set, and what is to be said of them so far.
fn read_all<'a>(
    file: &'a Path,
    text: &'a str,
    drop_ins: &'a [(PathBuf, String)],
    rooms: &'a [OnceCell<String>],
) -> (Settings<'a>, Report<'a>) {
    let drop_ins_text = drop_ins.iter().map(|(file, text)| (file.as_path(), text.as_str()));
    let files: Vec<_> = std::iter::once((file, text)).chain(drop_ins_text).collect();
    let mut report = Report::new(files.iter().copied());
    let mut settings = Settings::default();
    for ((index, (_, text)), room) in files.iter().enumerate().zip(rooms) {
        read(index, text, room, &mut settings, &mut report);
    }
    (settings, report)
}

/// The network's definition `name`, likewise.
#[must_use]
pub fn parse_network(
    name: &str,
    file: &Path,
    text: &str,
    drop_ins: &[(PathBuf, String)],
) -> (network::Definition, Vec<Diagnostic>) {
    let rooms = rooms(drop_ins);
    let (settings, mut report) = read_all(file, text, drop_ins, &rooms);
    let mut definition = resolve_network(name, file, &settings, &mut report);
    definition.drop_ins = drop_ins.iter().map(|(file, _)| file.clone()).collect();
    (definition, report.finish())
}

/// Reads one file, the `file`th of the report, to the end of `settings`.
fn read<'a>(
    file: usize,
    text: &'a str,
    room: &'a OnceCell<String>,
    settings: &mut Settings<'a>,
    report: &mut Report<'_>,
) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut damaged_lines = damage::Lines::new();
    for error in &errors {
        let span = error
            .span()
            .map_or(Span { file, start: 0, end: 0 }, |range| at(file, range));
        if damaged_lines.insert(report.line_of(span)) {
            let behind = text.get(span.end..).unwrap_or_default();
            report.error(span, syntax_message(error.message(), behind));
            settings.damages.push(span);
        }
    }
    let rest = damage::rest(text, &damaged_lines, room);
    let mut reader = Reader {
        file,
        damaged_lines,
        settings,
        report,
    };
    reader.document(rest.as_ref().unwrap_or(&document).get_ref());
    let Reader {
        damaged_lines,
        settings,
        ..
    } = reader;
    let damage = match rest {
        _ if errors.is_empty() => Damage::None,
        Some(_) => damage::of(file, text, &damaged_lines, settings),
        None => Damage::Some,
    };
    settings.damaged = settings.damaged.max(damage);
}

/// What to do about the parser's most frequent complaints, else its own words. `behind` is the text behind the place.
fn syntax_message(message: &str, behind: &str) -> String {
    let ours = match message {
        _ if message.starts_with("duplicate key") && behind.trim_start_matches([' ', '\t']).starts_with(']') => {
            "the section stands twice, write its keys below one heading"
        }
        _ if message.starts_with("duplicate key") => {
            "the key is set twice, keep one of the two (several values go into an array)"
        }
        _ if message.starts_with("string values must be quoted") => {
            "the value is missing or not quoted, write a string between double quotes"
        }
        _ if message.starts_with("invalid basic string, expected `\"`") => {
            "the string is not closed, write '\"' at its end"
        }
        _ => return format!("not valid TOML: {message}"),
    };
    ours.to_owned()
}

fn at(file: usize, range: std::ops::Range<usize>) -> Span {
    Span {
        file,
        start: range.start,
        end: range.end,
    }
}

/// A table's entries in the order of the file, which the parser's own map does not keep.
fn in_order<'t, 'a>(table: &'t DeTable<'a>) -> Vec<Entry<'t, 'a>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

struct Reader<'r, 'a, 's> {
    file: usize,
    damaged_lines: damage::Lines,
    settings: &'r mut Settings<'a>,
    report: &'r mut Report<'s>,
}

impl<'a> Reader<'_, 'a, '_> {
    fn document(&mut self, document: &DeTable<'a>) {
        for (key, value) in in_order(document) {
            let name = key.get_ref();
            let span = at(self.file, key.span());
            if name.starts_with("X-") {
                continue;
            }
            match (Section::find(name), value.get_ref()) {
                (Some(section), DeValue::Table(table)) => self.section(section, None, span, table),
                (Some(_), _) if self.is_damaged(span) => {}
                (Some(section), other) => self.report.say(
                    Severity::Error,
                    span,
                    format!("'{name}' must be a section, not {}", described(other)),
                    Some(format!("write [{section}] on a line of its own and the keys below it")),
                ),
                // Behind a heading that cannot be read, keys and sections are not what they seem.
                (None, _) if self.is_damaged(span) || self.is_displaced(name) => {}
                (None, DeValue::Table(_)) => {
                    let suggestion = Section::nearest(name).map(|near| format!("did you mean [{near}]?"));
                    let message = format!("unknown section [{name}], ignoring");
                    self.report.say(Severity::Warning, span, message, suggestion);
                }
                (None, _) => {
                    let suggestion = keys::find(Section::Container, name)
                        .map(|_| format!("write [{}] on a line above it", Section::Container));
                    let message = format!("key '{name}' stands outside of any section, ignoring");
                    self.report.say(Severity::Warning, span, message, suggestion);
                }
            }
        }
    }

    fn section(&mut self, section: Section, socket: Option<Cow<'a, str>>, span: Span, table: &DeTable<'a>) {
        self.settings.headers.push(Header {
            section,
            socket: socket.clone(),
            span,
        });
        for (key, value) in in_order(table) {
            let key_span = at(self.file, key.span());
            if let (Section::Socket, None, DeValue::Table(inner)) = (section, &socket, value.get_ref()) {
                self.section(section, Some(key.get_ref().clone()), key_span, inner);
                continue;
            }
            if self.is_damaged(key_span) || key.get_ref().starts_with("X-") {
                continue;
            }
            let Some(value) = self.value(value) else { continue };
            self.settings.settings.push(Setting {
                section,
                socket: socket.clone(),
                key: key.get_ref().clone(),
                key_span,
                value,
            });
        }
    }

    fn is_damaged(&self, span: Span) -> bool {
        !self.damaged_lines.is_empty() && self.damaged_lines.contains(&self.report.line_of(span))
    }

    fn is_displaced(&self, name: &str) -> bool {
        !self.damaged_lines.is_empty() && keys::all().any(|key| key.name == name)
    }

    /// The value in the form that all front ends share; the parser bounds how deep it can be nested.
    fn value(&mut self, value: &Spanned<DeValue<'a>>) -> Option<Value<'a>> {
        let span = at(self.file, value.span());
        if self.is_damaged(span) {
            return None;
        }
        let data = match value.get_ref() {
            DeValue::String(text) => Data::Text(text.clone()),
            DeValue::Integer(integer) => match i128::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(integer) => Data::Integer(integer),
                Err(_) => {
                    self.report.error(span, "the number is too large".to_owned());
                    return None;
                }
            },
            DeValue::Float(float) => Data::Float(Cow::Owned(float.as_str().to_owned())),
            DeValue::Boolean(boolean) => Data::Boolean(*boolean),
            DeValue::Datetime(_) => Data::Date,
            DeValue::Array(array) => Data::List(array.iter().filter_map(|item| self.value(item)).collect()),
            DeValue::Table(table) => {
                let mut entries = Vec::new();
                for (key, value) in in_order(table) {
                    if let Some(value) = self.value(value) {
                        entries.push((key.get_ref().clone(), at(self.file, key.span()), value));
                    }
                }
                Data::Map(entries)
            }
        };
        Some(Value { data, span })
    }
}

/// A TOML value's type with its article.
fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests;
