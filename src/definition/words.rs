//! Splits a string into words as systemd does for `ExecStart=` and `Environment=` (systemd.service(5), "Command lines";
//! systemd.syntax(7), "Quoting").
//!
//! Specifiers (`%i`) and variables (`$X`) are left as they are. Any input gives words or one reason why not.

use thiserror::Error;

/// Why a string has no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WordError {
    /// A quote that is not closed.
    #[error("a quote is not closed")]
    Unclosed,
    /// A backslash with nothing known behind it.
    #[error("a backslash is followed by something that is no escape, write '\\\\' for a backslash")]
    Escape,
    /// An escape that makes a NUL byte, which no argument can hold.
    #[error("an argument cannot hold a NUL byte")]
    Nul,
    /// Escapes that together are not UTF-8.
    #[error("the escapes do not make valid UTF-8")]
    Utf8,
}

/// The words of a string.
pub fn split(text: &str) -> Result<Vec<String>, WordError> {
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        index += 1;
        match (byte, quote) {
            (b'\\', _) => {
                let (length, unescaped) = unescape(&bytes[index..])?;
                index += length;
                word.get_or_insert_default().extend_from_slice(&unescaped);
            }
            (b'"' | b'\'', None) => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (_, Some(open)) if byte == open => quote = None,
            (b' ' | b'\t' | b'\n' | b'\r', None) => words.extend(word.take()),
            (0, _) => return Err(WordError::Nul),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    if quote.is_some() {
        return Err(WordError::Unclosed);
    }
    words.extend(word);
    words
        .into_iter()
        .map(|word| String::from_utf8(word).map_err(|_| WordError::Utf8))
        .collect()
}

/// What follows a backslash: how many bytes it takes, and which it makes.
fn unescape(rest: &[u8]) -> Result<(usize, Vec<u8>), WordError> {
    let simple = match rest.first().ok_or(WordError::Escape)? {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        b'"' => b'"',
        b'\'' => b'\'',
        b's' => b' ',
        b'x' => return number(rest, 1, 2, 16).and_then(byte),
        b'u' => return number(rest, 1, 4, 16).and_then(character),
        b'U' => return number(rest, 1, 8, 16).and_then(character),
        b'0'..=b'3' => return number(rest, 0, 3, 8).and_then(byte),
        _ => return Err(WordError::Escape),
    };
    Ok((1, vec![simple]))
}

/// A number of so many digits behind so many other bytes: the length of both, and the number.
fn number(rest: &[u8], skip: usize, digits: usize, radix: u32) -> Result<(usize, u32), WordError> {
    let digits = rest.get(skip..skip + digits).ok_or(WordError::Escape)?;
    let text = std::str::from_utf8(digits).map_err(|_| WordError::Escape)?;
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(WordError::Escape);
    }
    match u32::from_str_radix(text, radix).map_err(|_| WordError::Escape)? {
        0 => Err(WordError::Nul),
        number => Ok((skip + digits.len(), number)),
    }
}

fn byte((length, number): (usize, u32)) -> Result<(usize, Vec<u8>), WordError> {
    let byte = u8::try_from(number).map_err(|_| WordError::Escape)?;
    Ok((length, vec![byte]))
}

fn character((length, number): (usize, u32)) -> Result<(usize, Vec<u8>), WordError> {
    let character = char::from_u32(number).ok_or(WordError::Escape)?;
    Ok((length, character.to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_systemd_does() {
        let words = |text: &str| split(text).unwrap();
        assert_eq!(words(""), Vec::<String>::new());
        assert_eq!(words("  a  b\tc "), ["a", "b", "c"]);
        assert_eq!(words(r#"a "b c" 'd "e"' """#), ["a", "b c", "d \"e\"", ""]);
        assert_eq!(words(r#"x"y z"w"#), ["xy zw"]);
        assert_eq!(words(r"\x41\102\u00e4\U0001f600\s\t"), ["ABä😀 \t"]);
        assert_eq!(words(r"'\x41'"), ["A"]);
        assert_eq!(words(r"\xc3\xa4"), ["ä"]);
        assert_eq!(words("$X %i ;"), ["$X", "%i", ";"]);
    }

    #[test]
    fn refuses() {
        assert_eq!(split("'a"), Err(WordError::Unclosed));
        assert_eq!(split("a\\"), Err(WordError::Escape));
        assert_eq!(split(r"\q"), Err(WordError::Escape));
        assert_eq!(split(r"\x00"), Err(WordError::Nul));
        assert_eq!(split("a\0"), Err(WordError::Nul));
        assert_eq!(split(r"\x4"), Err(WordError::Escape));
        assert_eq!(split(r"\x+4"), Err(WordError::Escape));
        assert_eq!(split(r"\ud800"), Err(WordError::Escape));
        assert_eq!(split(r"\xff"), Err(WordError::Utf8));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = split(&text);
        }

        #[test]
        fn quoting_is_undone(words in prop::collection::vec("[ -~]{0,8}", 0..5)) {
            let quoted: Vec<_> = words
                .iter()
                .map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")))
                .collect();
            prop_assert_eq!(split(&quoted.join(" ")).unwrap(), words);
        }
    }
}
