//! Makes systemd read back exactly the text that was meant.
//!
//! A value goes through up to three readers in systemd: the splitter (quotes and backslashes), the specifiers (`%i`) and, on command
//! lines, the variables (`$HOME`). Each has its own escape, and which readers a key has is written in its manual page.

use std::borrow::Cow;
use std::fmt::Write;

/// Text for a key that has specifiers but no words, such as `Description=` and `SourcePath=`.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    if text.contains('%') {
        Cow::Owned(text.replace('%', "%%"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Text in which the user's specifiers stay, and a percent sign that starts none is doubled, since systemd refuses those.
#[must_use]
pub fn specifiers(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c != '%' {
            continue;
        }
        match chars.peek() {
            Some('%') => out.extend(chars.next()),
            Some(letter) if SPECIFIERS.contains(*letter) => {}
            _ => out.push('%'),
        }
    }
    Cow::Owned(out)
}

/// Those of systemd 252 that every kind of unit has.
const SPECIFIERS: &str = "aAbBCdEfgGhHiIjJlLmMnNopPqsStTuUvVwWyY";

/// One word of a command line (`ExecStart=`).
#[must_use]
pub fn command_word(word: &str) -> Cow<'_, str> {
    quoted(dollars(text(word)))
}

/// One word of a command line in which the user's specifiers stay.
#[must_use]
pub fn expanded_command_word(word: &str) -> Cow<'_, str> {
    quoted(dollars(specifiers(word)))
}

/// Without variables, which systemd would replace in a command line.
fn dollars(word: Cow<'_, str>) -> Cow<'_, str> {
    if word.contains('$') {
        Cow::Owned(word.replace('$', "$$"))
    } else {
        word
    }
}

/// One word of a list of paths or names that has specifiers, such as `RequiresMountsFor=`; the user's specifiers stay.
#[must_use]
pub fn list_word(word: &str) -> Cow<'_, str> {
    quoted(specifiers(word))
}

/// In quotes, if the splitter would not read it as one word otherwise.
fn quoted(word: Cow<'_, str>) -> Cow<'_, str> {
    if word != ";" && !word.is_empty() && word.chars().all(is_plain) {
        return word;
    }
    let mut out = String::with_capacity(word.len() + 2);
    out.push('"');
    for c in word.chars() {
        match c {
            '\\' | '"' => out.extend(['\\', c]),
            // Each byte below 0x80 on its own; U+0080 to U+009F are two bytes, but need the escape for characters.
            c if c.is_ascii_control() => _ = write!(out, "\\x{:02x}", u32::from(c)),
            c if c.is_control() => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    Cow::Owned(out)
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(
            c,
            '%' | '$' | '+' | ',' | '-' | '.' | '/' | ':' | '=' | '@' | '_' | '^' | '~'
        )
}

#[cfg(test)]
mod tests {
    use super::{command_word, expanded_command_word, list_word, specifiers, text};
    use crate::unitfile::words::split;

    #[test]
    fn each_reader_has_its_escape() {
        assert_eq!(text("100 % $A"), "100 %% $A");
        assert_eq!(command_word("/usr/bin/x"), "/usr/bin/x");
        assert_eq!(command_word(""), r#""""#);
        assert_eq!(command_word(";"), r#"";""#);
        assert_eq!(
            command_word("a b%$'\"\\\n\u{7f}\u{85}ü"),
            "\"a b%%$$'\\\"\\\\\\x0a\\x7f\\u0085ü\""
        );
        assert_eq!(specifiers("%i %% 5% %z%"), "%i %% 5%% %%z%%");
        assert_eq!(expanded_command_word("@%i 5% $a"), "\"@%i 5%% $$a\"");
        assert_eq!(list_word("/srv/%i/a b"), r#""/srv/%i/a b""#);
    }

    proptest::proptest! {
        /// systemd's splitter reads back the word, save for the doubled signs that later readers halve.
        #[test]
        fn a_word_is_read_back(word in "[\\PC\\\\\"'%$;\n\t\u{1}\u{7f}\u{85} ]{0,20}") {
            let line = command_word(&word);
            proptest::prop_assert!(!line.contains(['\n', '\r', '\0']));
            let words = split(&line).unwrap();
            proptest::prop_assert_eq!(words, vec![word.replace('%', "%%").replace('$', "$$")]);
        }
    }
}
