//! systemd's `%` specifiers in values that no unit file carries (systemd.unit(5), "Specifiers").
//!
//! Only those are known here that follow from the unit's name, and from the variables that a user's manager sets for every unit. What
//! depends on the machine belongs into `[Service]`, where systemd resolves it.

use anyhow::{Result, bail};

/// A unit's name and its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specifiers<'a> {
    unit: &'a str,
    without_suffix: &'a str,
    prefix: &'a str,
    instance: &'a str,
    home: &'a str,
    runtime: &'a str,
}

impl<'a> Specifiers<'a> {
    /// `web@a.service` → `%n` web@a.service, `%N` web@a, `%p` web, `%i` a.
    #[must_use]
    pub fn of_unit(unit: &'a str) -> Self {
        let without_suffix = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
        let (prefix, instance) = without_suffix.split_once('@').unwrap_or((without_suffix, ""));
        Self {
            unit,
            without_suffix,
            prefix,
            instance,
            home: "/root",
            runtime: "/run",
        }
    }

    /// The same where the manager has set this environment: `%h` is the user's home, `%t` the directory for what lasts until the next boot.
    #[must_use]
    pub fn in_environment(self, environment: &'a [(String, String)]) -> Self {
        let variable = |name: &str| {
            let mut all = environment.iter();
            let found = all.find(|(variable, value)| variable == name && value.starts_with('/'));
            found.map(|(_, value)| value.as_str())
        };
        // Only a user's manager has both; a service of the system may be given a home of its own.
        match (variable("HOME"), variable("XDG_RUNTIME_DIR")) {
            (Some(home), Some(runtime)) => Self { home, runtime, ..self },
            _ => self,
        }
    }

    /// Replaces the specifiers in `text`.
    ///
    /// # Errors
    /// A specifier that is not known here.
    pub fn expand(&self, text: &str) -> Result<String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            let mut characters = after.chars();
            match characters.next() {
                Some('%') => expanded.push('%'),
                Some('n') => expanded.push_str(self.unit),
                Some('N') => expanded.push_str(self.without_suffix),
                Some('p') => expanded.push_str(self.prefix),
                Some('P') => expanded.push_str(&unescape(self.prefix)),
                Some('i') => expanded.push_str(self.instance),
                Some('I') => expanded.push_str(&unescape(self.instance)),
                Some('j') => expanded.push_str(last_part(self.prefix)),
                Some('h') => expanded.push_str(self.home),
                Some('t') => expanded.push_str(self.runtime),
                Some('J') => expanded.push_str(&unescape(last_part(self.prefix))),
                other => {
                    let specifier = other.map(String::from).unwrap_or_default();
                    bail!(
                        "'%{specifier}' in '{text}' is not a specifier that is known here: write '%%' for a percent sign"
                    );
                }
            }
            rest = characters.as_str();
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

fn last_part(prefix: &str) -> &str {
    prefix.rsplit_once('-').map_or(prefix, |(_, last)| last)
}

/// Undoes systemd-escape(1): `-` is a slash, `\xHH` a byte.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = match tail {
            [b'x', high, low, ..] if first == b'\\' => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        (rest, _) = match (escaped, first) {
            (Some(byte), _) => (&tail[3..], bytes.push(byte)),
            (None, b'-') => (tail, bytes.push(b'/')),
            (None, byte) => (tail, bytes.push(byte)),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::Specifiers;

    #[test]
    fn a_template_instance() {
        let specifiers = Specifiers::of_unit(r"a-web@srv-x\x2dy.service");
        let expand = |text| specifiers.expand(text).expect("known specifiers");
        assert_eq!(
            expand("%n %N %p %i"),
            r"a-web@srv-x\x2dy.service a-web@srv-x\x2dy a-web srv-x\x2dy"
        );
        assert_eq!(expand("%I %P %j 100%%"), "srv/x-y a/web web 100%");
        assert_eq!(expand("%h %t"), "/root /run");
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let environment = [
            variable("HOME", "/home/anna"),
            variable("XDG_RUNTIME_DIR", "/run/user/1000"),
        ];
        let users = specifiers.clone().in_environment(&environment);
        assert_eq!(
            users.expand("%h/x %t").expect("known specifiers"),
            "/home/anna/x /run/user/1000"
        );
        assert!(specifiers.expand("%q").is_err());
        assert!(specifiers.expand("50%").is_err());
    }
}
