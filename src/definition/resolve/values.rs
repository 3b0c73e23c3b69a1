//! Takes values as the type that a key wants, and says so where they are of another.

use std::borrow::Cow;

use crate::definition::diagnostic::Severity;
use crate::definition::keys::{self, Key};
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::setting::{Data, Value};
use crate::unitfile::words;

/// Units of time, what they are called in systemd.time(7), and how many microseconds they have.
const TIME_UNITS: &[(&[&str], f64)] = &[
    (&["us", "usec", "µs", "μs"], 1.0),
    (&["ms", "msec"], 1e3),
    (&["", "s", "sec", "second", "seconds"], 1e6),
    (&["m", "min", "minute", "minutes"], 60e6),
    (&["h", "hr", "hour", "hours"], 3_600e6),
    (&["d", "day", "days"], 86_400e6),
    (&["w", "week", "weeks"], 604_800e6),
    (&["M", "month", "months"], 2_629_800e6),
    (&["y", "year", "years"], 31_557_600e6),
];

impl Resolver<'_, '_> {
    /// Says that a value is of the wrong type.
    pub(super) fn wrong_type(&mut self, key: &Key, value: &Value<'_>) {
        let message = format!("'{}' takes {}, not {}", key.name, key.kind.wanted(), value.type_name());
        self.report.error(value.span, message);
    }

    /// Says that a value of the right type is none of those that make sense.
    pub(super) fn impossible(&mut self, key: &Key, span: Span, why: impl std::fmt::Display) {
        self.report.error(span, format!("'{}': {why}", key.name));
    }

    /// True or false; the default for an empty string, which takes back what was set.
    pub(super) fn boolean(&mut self, key: &Key, value: &Value<'_>) -> Option<bool> {
        match value.data {
            Data::Boolean(boolean) => Some(boolean),
            _ => {
                self.wrong_type(key, value);
                None
            }
        }
    }

    /// A text without control characters. Whole numbers are taken too, as in `User = 1000`.
    pub(super) fn text<'v>(&mut self, key: &Key, value: &'v Value<'_>) -> Option<Cow<'v, str>> {
        let text = match &value.data {
            Data::Text(text) => Cow::Borrowed(text.as_ref()),
            Data::Integer(integer) => Cow::Owned(integer.to_string()),
            _ => {
                self.wrong_type(key, value);
                return None;
            }
        };
        if let Some(control) = text.chars().find(|character| character.is_control()) {
            let control = control.escape_default();
            self.impossible(
                key,
                value.span,
                format_args!("the value cannot hold the control character '{control}'"),
            );
            return None;
        }
        Some(text)
    }

    /// The texts of a key that can be given several times: one, or an array.
    pub(super) fn texts<'v>(&mut self, key: &Key, value: &'v Value<'_>) -> Vec<(Cow<'v, str>, Span)> {
        match &value.data {
            Data::List(items) => items
                .iter()
                .filter_map(|item| Some((self.text(key, item)?, item.span)))
                .collect(),
            _ => self
                .text(key, value)
                .map(|text| (text, value.span))
                .into_iter()
                .collect(),
        }
    }

    /// An absolute path, or one that starts with a specifier.
    pub(super) fn absolute(&mut self, key: &Key, value: &Value<'_>) -> Option<String> {
        let text = self.text(key, value)?;
        if is_absolute(&text) {
            return Some(text.into_owned());
        }
        self.impossible(
            key,
            value.span,
            format_args!("'{text}' is not an absolute path, write it from '/' on"),
        );
        None
    }

    /// A command: an array is taken word for word, a string is split as systemd does.
    pub(super) fn command(&mut self, key: &Key, value: &Value<'_>) -> Option<Vec<String>> {
        match &value.data {
            Data::Text(text) => match words::split(text) {
                Ok(words) => Some(words),
                Err(why) => {
                    self.impossible(key, value.span, why);
                    None
                }
            },
            Data::List(items) => items.iter().map(|item| self.argument(key, item)).collect(),
            _ => {
                self.wrong_type(key, value);
                None
            }
        }
    }

    /// Any text but for NUL bytes; numbers and booleans as they are written.
    fn argument(&mut self, key: &Key, value: &Value<'_>) -> Option<String> {
        let text = match &value.data {
            Data::Text(text) => text.to_string(),
            Data::Integer(integer) => integer.to_string(),
            Data::Float(float) => float.to_string(),
            Data::Boolean(boolean) => boolean.to_string(),
            _ => {
                let message = format!("'{}' takes strings in its array, not {}", key.name, value.type_name());
                self.report.error(value.span, message);
                return None;
            }
        };
        if text.contains('\0') {
            self.impossible(key, value.span, "a value cannot hold a NUL byte");
            return None;
        }
        Some(text)
    }

    /// Pairs of name and value: a table, an array of `NAME=VALUE` taken word for word, or one string that is split as
    /// systemd does.
    pub(super) fn pairs(&mut self, key: &Key, value: &Value<'_>) -> Vec<(String, String)> {
        match &value.data {
            Data::Map(entries) => entries
                .iter()
                .filter_map(|(name, span, value)| {
                    let text = self.argument_of_table(key, name, value)?;
                    self.pair(key, *span, name.to_string(), text)
                })
                .collect(),
            Data::List(items) => {
                let mut pairs = Vec::new();
                for item in items {
                    let Some(text) = self.argument(key, item) else { continue };
                    pairs.extend(self.assignment(key, item.span, &text));
                }
                pairs
            }
            Data::Text(text) => match words::split(text) {
                Ok(words) => words
                    .iter()
                    .filter_map(|word| self.assignment(key, value.span, word))
                    .collect(),
                Err(why) => {
                    self.impossible(key, value.span, why);
                    Vec::new()
                }
            },
            _ => {
                self.wrong_type(key, value);
                Vec::new()
            }
        }
    }

    fn argument_of_table(&mut self, key: &Key, name: &str, value: &Value<'_>) -> Option<String> {
        if let Data::List(_) | Data::Map(_) | Data::Date = value.data {
            let message = format!("'{}': '{name}' takes a string, not {}", key.name, value.type_name());
            self.report.error(value.span, message);
            return None;
        }
        self.argument(key, value)
    }

    fn assignment(&mut self, key: &Key, span: Span, text: &str) -> Option<(String, String)> {
        match text.split_once('=') {
            Some((name, value)) => self.pair(key, span, name.to_owned(), value.to_owned()),
            None => {
                self.impossible(key, span, format_args!("'{text}' has no '=', write NAME=VALUE"));
                None
            }
        }
    }

    fn pair(&mut self, key: &Key, span: Span, name: String, value: String) -> Option<(String, String)> {
        if name.is_empty() || name.contains(['=', '\0']) || name.chars().any(char::is_control) {
            self.impossible(key, span, format_args!("'{name}' cannot be a name"));
            return None;
        }
        Some((name, value))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &Key, value: &Value<'_>, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(key, value)?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*choice);
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let suggestion = keys::nearest_of(&text, words.iter().copied()).map(|near| format!("did you mean '{near}'?"));
        let message = format!("'{}' cannot be '{text}', but one of: {}", key.name, words.join(", "));
        self.report.say(Severity::Error, value.span, message, suggestion);
        None
    }

    /// Bytes, in systemd's form: `268435456`, `256M`.
    pub(super) fn size(&mut self, key: &Key, value: &Value<'_>) -> Option<String> {
        let text = match &value.data {
            Data::Boolean(_) | Data::Float(_) => {
                self.wrong_type(key, value);
                return None;
            }
            _ => self.text(key, value)?,
        };
        let size = parse_size(&text);
        if size.is_none() {
            self.impossible(
                key,
                value.span,
                format_args!("'{text}' is no size, write for example \"256M\""),
            );
        }
        size
    }

    /// A time span in systemd's form.
    pub(super) fn time_span(&mut self, key: &Key, value: &Value<'_>) -> Option<String> {
        let text = match &value.data {
            Data::Float(float) => Cow::Borrowed(float.as_ref()),
            _ => self.text(key, value)?,
        };
        if is_time_span(&text) {
            return Some(text.into_owned());
        }
        self.impossible(
            key,
            value.span,
            format_args!("'{text}' is no time span, write seconds or for example \"1min 30s\""),
        );
        None
    }
}

/// Whether a path is absolute, or begins with a specifier that is.
pub(super) fn is_absolute(path: &str) -> bool {
    let mut characters = path.chars();
    match characters.next() {
        Some('/') => true,
        Some('%') => characters.next().is_some_and(|letter| letter.is_ascii_alphabetic()),
        _ => false,
    }
}

/// Podman's sizes (`512m`, `1g`, `100b`) and systemd's (`512M`, `1G`), as systemd's.
fn parse_size(text: &str) -> Option<String> {
    if text == "infinity" {
        return Some(text.to_owned());
    }
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().ok()?;
    let unit = unit.trim().to_ascii_uppercase();
    let (letter, power) = match unit
        .strip_suffix("IB")
        .or_else(|| unit.strip_suffix('B'))
        .unwrap_or(&unit)
    {
        "" => ("", 0),
        "K" => ("K", 1),
        "M" => ("M", 2),
        "G" => ("G", 3),
        "T" => ("T", 4),
        _ => return None,
    };
    number.checked_mul(1024_u64.checked_pow(power)?)?;
    (number > 0).then(|| format!("{number}{letter}"))
}

fn is_time_span(text: &str) -> bool {
    text == "infinity" || microseconds(text).is_some()
}

/// A time span in whole milliseconds; nothing for `infinity`, and for what is none.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let milliseconds = microseconds(text)? / 1e3;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // It is not negative, and `as` stops at the largest number.
    Some(milliseconds as u64)
}

fn microseconds(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        if !number.starts_with(|c: char| c.is_ascii_digit()) || number.len() > 15 {
            return None;
        }
        let number: f64 = number.parse().ok()?;
        let tail = tail.trim_start();
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c.is_whitespace())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, length) = TIME_UNITS.iter().find(|(names, _)| names.contains(&unit))?;
        sum += number * length;
        rest = tail.trim_start();
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, size) in [
            ("512m", "512M"),
            ("1g", "1G"),
            ("100b", "100"),
            ("4096", "4096"),
            ("1GiB", "1G"),
            ("2 kb", "2K"),
        ] {
            assert_eq!(parse_size(text).as_deref(), Some(size));
        }
        for text in ["", "m", "1x", "-1", "99999999999T", "0", "1.5G", "1GG"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn time_spans() {
        for text in ["0", "10", "1.5", "1min 30s", "1min30s", "2h", "infinity", "500 ms"] {
            assert!(is_time_span(text), "{text}");
        }
        for text in ["", " ", "s", "-1", "1 fortnight", "1.2.3", ".5", "1h banana"] {
            assert!(!is_time_span(text), "{text}");
        }
        for (text, expected) in [
            ("10", 10_000),
            ("1.5", 1_500),
            ("1min 30s", 90_000),
            ("2h5ms", 7_200_005),
            ("900us", 0),
        ] {
            assert_eq!(milliseconds(text), Some(expected), "{text}");
        }
        assert_eq!(milliseconds("infinity"), None);
    }
}
