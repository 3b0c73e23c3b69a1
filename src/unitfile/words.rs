//! Splits a quoted string into words, as systemd splits a command line.
//!
//! The rules are those of systemd.service(5) "Command lines" and systemd.syntax(7) "Quoting": words are separated by white space,
//! both kinds of quotes may stand anywhere in a word, and a backslash starts one of C's escapes, inside quotes as well. They are
//! systemd's `extract_first_word()` with `EXTRACT_UNQUOTE | EXTRACT_CUNESCAPE`, the flags it reads `ExecStart=` with.
//!
//! Specifiers (`%i`) and variables (`$HOME`) are left as they are.

use thiserror::Error;

/// Why a string is not a list of words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct WordError {
    /// Where it happened, in bytes from the start of the string.
    pub offset: usize,
    /// What is wrong.
    pub reason: WordErrorReason,
}

/// What is wrong with a string that is to be split.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WordErrorReason {
    /// A quote is opened and never closed.
    #[error("the quote {0} is not closed")]
    OpenQuote(char),
    /// The last character is a backslash.
    #[error("a backslash at the end, write '\\\\' for a backslash")]
    LoneBackslash,
    /// A backslash and something that is none of C's escapes.
    #[error("unknown escape '\\{0}', write '\\\\' for a backslash")]
    UnknownEscape(String),
    /// `\x`, `\u`, `\U` or octal digits that are too few, zero, or no character.
    #[error("'\\{0}' is not a character")]
    BadCode(String),
    /// Escapes that leave bytes which are not UTF-8.
    #[error("the escapes make text that is not UTF-8")]
    NotUtf8,
}

/// Splits `text` into words. White space alone gives none, `""` gives one empty word.
///
/// # Errors
/// The first thing in it that is not systemd's syntax.
pub fn split(text: &str) -> Result<Vec<String>, WordError> {
    let mut words = Vec::new();
    let mut rest = Rest { text, offset: 0 };
    loop {
        rest.skip_white_space();
        if rest.peek().is_none() {
            return Ok(words);
        }
        words.push(rest.word()?);
    }
}

/// What has not been read yet.
struct Rest<'a> {
    text: &'a str,
    offset: usize,
}

impl Rest<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.offset..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.offset += c.len_utf8();
        Some(c)
    }

    fn skip_white_space(&mut self) {
        while self.peek().is_some_and(is_white_space) {
            self.next();
        }
    }

    fn word(&mut self) -> Result<String, WordError> {
        let start = self.offset;
        let mut word = Vec::new();
        let mut quote: Option<(char, usize)> = None;
        while let Some(c) = self.peek() {
            let offset = self.offset;
            if quote.is_none() && is_white_space(c) {
                break;
            }
            self.next();
            match (c, quote) {
                ('\\', _) => self.escape(offset, &mut word)?,
                ('"' | '\'', None) => quote = Some((c, offset)),
                (c, Some((open, _))) if c == open => quote = None,
                (c, _) => word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if let Some((open, offset)) = quote {
            return Err(WordError {
                offset,
                reason: WordErrorReason::OpenQuote(open),
            });
        }
        String::from_utf8(word).map_err(|_| WordError {
            offset: start,
            reason: WordErrorReason::NotUtf8,
        })
    }

    /// Reads what follows a backslash that stands at `offset`.
    fn escape(&mut self, offset: usize, word: &mut Vec<u8>) -> Result<(), WordError> {
        let fail = |reason| Err(WordError { offset, reason });
        let Some(c) = self.next() else {
            return fail(WordErrorReason::LoneBackslash);
        };
        let byte = match c {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            's' => b' ',
            '\\' => b'\\',
            '"' => b'"',
            '\'' => b'\'',
            'x' => {
                return self.code(
                    offset,
                    word,
                    Code {
                        marker: "x",
                        digits: 2,
                        radix: 16,
                        raw: Raw::Byte,
                    },
                );
            }
            'u' => {
                return self.code(
                    offset,
                    word,
                    Code {
                        marker: "u",
                        digits: 4,
                        radix: 16,
                        raw: Raw::Character,
                    },
                );
            }
            'U' => {
                return self.code(
                    offset,
                    word,
                    Code {
                        marker: "U",
                        digits: 8,
                        radix: 16,
                        raw: Raw::Character,
                    },
                );
            }
            '0'..='7' => {
                self.offset = offset + 1;
                return self.code(
                    offset,
                    word,
                    Code {
                        marker: "",
                        digits: 3,
                        radix: 8,
                        raw: Raw::Byte,
                    },
                );
            }
            other => return fail(WordErrorReason::UnknownEscape(other.to_string())),
        };
        word.push(byte);
        Ok(())
    }

    fn code(&mut self, offset: usize, word: &mut Vec<u8>, code: Code) -> Result<(), WordError> {
        let mut value: u32 = 0;
        let mut digits = String::from(code.marker);
        let mut read = 0;
        while read < code.digits {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(code.radix)) else {
                break;
            };
            digits.extend(self.next());
            value = (value << code.radix.trailing_zeros()) | digit;
            read += 1;
        }
        let wrong = || WordError {
            offset,
            reason: WordErrorReason::BadCode(digits.clone()),
        };
        if read < code.digits || value == 0 {
            return Err(wrong());
        }
        match code.raw {
            Raw::Byte => word.push(u8::try_from(value).map_err(|_| wrong())?),
            Raw::Character => {
                let c = char::from_u32(value).ok_or_else(wrong)?;
                word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        Ok(())
    }
}

/// A numeric escape: so many digits after the marker.
struct Code {
    marker: &'static str,
    digits: usize,
    radix: u32,
    raw: Raw,
}

/// What the number of an escape stands for.
enum Raw {
    Byte,
    Character,
}

/// systemd's `WHITESPACE`, which has no form feed and nothing beyond ASCII.
fn is_white_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::{WordErrorReason, split};

    fn reason(text: &str) -> (usize, WordErrorReason) {
        let error = split(text).unwrap_err();
        (error.offset, error.reason)
    }

    #[test]
    fn words_as_systemd_splits_them() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" \t\r\n", &[]),
            ("a  b\tc", &["a", "b", "c"]),
            (r#"a"b c"d"#, &["ab cd"]),
            (r#"'a "b" c' "d 'e'""#, &[r#"a "b" c"#, "d 'e'"]),
            (r#""" ''"#, &["", ""]),
            (r"a\sb\x41\102\u00fc\U0001F6F6 '\n'", &["a bABü🛶", "\n"]),
            (r"\xc3\xbc", &["ü"]),
            (
                r#"sh -c "echo $HOME %i; sleep 1""#,
                &["sh", "-c", "echo $HOME %i; sleep 1"],
            ),
            ("a\u{a0}b\u{c}c", &["a\u{a0}b\u{c}c"]),
        ];
        for (text, expected) in cases {
            assert_eq!(split(text).unwrap(), *expected, "{text:?}");
        }
    }

    #[test]
    fn mistakes_have_a_place() {
        assert_eq!(reason("ab 'c"), (3, WordErrorReason::OpenQuote('\'')));
        assert_eq!(reason(r"ab\"), (2, WordErrorReason::LoneBackslash));
        assert_eq!(reason(r"a\;"), (1, WordErrorReason::UnknownEscape(";".into())));
        assert_eq!(reason(r"\x4"), (0, WordErrorReason::BadCode("x4".into())));
        assert_eq!(reason(r"\000"), (0, WordErrorReason::BadCode("000".into())));
        assert_eq!(reason(r"\777"), (0, WordErrorReason::BadCode("777".into())));
        assert_eq!(reason(r"\ud800"), (0, WordErrorReason::BadCode("ud800".into())));
        assert_eq!(reason(r"b \xff"), (2, WordErrorReason::NotUtf8));
    }

    proptest::proptest! {
        /// No text makes it panic, and every offset is inside the text and on a character.
        #[test]
        fn any_text_is_read(text in "[ -~\\\\\"'xuU0-9ü🛶\\t]{0,40}") {
            if let Err(error) = split(&text) {
                proptest::prop_assert!(text.get(error.offset..).is_some());
            }
        }
    }
}
