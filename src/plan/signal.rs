//! Signals by name or number, as image configs write them.

use anyhow::{Result, anyhow};
use nix::sys::signal::Signal;

/// `SIGQUIT`, `QUIT`, `3`, `SIGRTMIN+3` → 3 …
///
/// # Errors
/// A name or number that signal(7) does not have.
pub fn parse(text: &str) -> Result<i32> {
    let unknown = || anyhow!("'{text}' is not a signal: write a name such as 'SIGTERM' or a number from 1 to 64");
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) {
            Ok(number)
        } else {
            Err(unknown())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") {
        upper
    } else {
        format!("SIG{upper}")
    };
    if let Some(offset) = name.strip_prefix("SIGRTMIN") {
        let offset = if offset.is_empty() {
            0
        } else {
            offset
                .strip_prefix('+')
                .ok_or_else(unknown)?
                .parse()
                .map_err(|_| unknown())?
        };
        return if (0..=30).contains(&offset) {
            Ok(34 + offset)
        } else {
            Err(unknown())
        };
    }
    Ok(name.parse::<Signal>().map_err(|_| unknown())? as i32)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers() {
        for (text, signal) in [
            ("SIGQUIT", 3),
            ("quit", 3),
            ("15", 15),
            ("SIGRTMIN+3", 37),
            ("RTMIN", 34),
        ] {
            assert_eq!(parse(text).expect(text), signal);
        }
        for text in ["", "0", "65", "-1", "SIGNOPE", "RTMIN+31", "RTMIN-1", "15 "] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
