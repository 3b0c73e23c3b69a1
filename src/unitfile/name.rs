//! Unit names: which are valid, what they are made of, and how anything else becomes one.
//!
//! systemd.unit(5): a prefix, then `@` and perhaps an instance, then a dot and a type; letters, digits and `:-_.\` may be in it, and
//! no more than 255 bytes. A file of that name is also a file of ours, so a valid name never has a slash and is never `.` or `..`.

use std::borrow::Cow;
use std::fmt::Write;

/// The longest unit name, and the longest file name.
pub const NAME_MAX: usize = 255;

const TYPES: [&str; 11] = [
    "service",
    "socket",
    "target",
    "device",
    "mount",
    "automount",
    "swap",
    "timer",
    "path",
    "slice",
    "scope",
];

/// Whether systemd takes it for a unit's name, with its type: `web.service`, `web@.socket`, `web@a.timer`.
#[must_use]
pub fn is_valid(name: &str) -> bool {
    let Some((stem, kind)) = name.rsplit_once('.') else {
        return false;
    };
    // Whatever follows the first '@' is the instance, which may have more of them.
    let prefix = stem.split('@').next().unwrap_or_default();
    name.len() <= NAME_MAX
        && TYPES.contains(&kind)
        && !prefix.is_empty()
        && stem.chars().all(|c| is_valid_character(c) || c == '@')
}

/// `web@` of a template's stem, as opposed to `web` and `web@a`.
#[must_use]
pub fn is_template(stem: &str) -> bool {
    stem.ends_with('@') && stem.find('@') == Some(stem.len() - 1)
}

/// The stem of a template's instance: `web@` and `a` give `web@a`, anything else stays.
#[must_use]
pub fn instantiate<'s>(stem: &'s str, instance: &str) -> Cow<'s, str> {
    if is_template(stem) {
        Cow::Owned(format!("{stem}{instance}"))
    } else {
        Cow::Borrowed(stem)
    }
}

/// What systemd-escape(1) makes of any bytes: a part of a unit name. Different bytes without a slash give different names.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for (index, byte) in bytes.iter().enumerate() {
        match char::from(*byte) {
            '/' => out.push('-'),
            c if c != '-' && c != '\\' && is_valid_character(c) && (c != '.' || index > 0) => out.push(c),
            _ => _ = write!(out, "\\x{byte:02x}"),
        }
    }
    out
}

/// What `systemd-escape --path` makes of an absolute path without `..`: the stem of its mount unit.
#[must_use]
pub fn escape_path(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.is_empty() {
        "-".to_owned()
    } else {
        escape(parts.join("/").as_bytes())
    }
}

/// Whether a prefix or an instance may hold it.
#[must_use]
pub fn is_valid_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\')
}

#[cfg(test)]
mod tests {
    use super::{escape, escape_path, instantiate, is_template, is_valid};

    #[test]
    fn names_are_judged_as_systemd_does() {
        for name in [
            "web.service",
            "a-b_c:d.e.socket",
            "web@.service",
            "web@a@b.timer",
            r"my\x20app.service",
        ] {
            assert!(is_valid(name), "{name}");
        }
        let long = format!("{}.service", "x".repeat(248));
        for name in [
            "web",
            ".service",
            "@a.service",
            "a b.service",
            "a/b.service",
            "ü.service",
            "web.conf",
            &long,
        ] {
            assert!(!is_valid(name), "{name}");
        }
    }

    #[test]
    fn templates_are_told_from_instances() {
        assert!(is_template("web@") && !is_template("web") && !is_template("web@a") && !is_template("web@@"));
        assert_eq!(instantiate("web@", "a"), "web@a");
        assert_eq!(instantiate("web", "a"), "web");
    }

    /// Expected values are what systemd-escape of systemd 252 printed.
    #[test]
    fn escaped_as_systemd_escape_does() {
        assert_eq!(
            escape("Hallöchen, Meister".as_bytes()),
            r"Hall\xc3\xb6chen\x2c\x20Meister"
        );
        assert_eq!(escape(b".a-b/c\\"), r"\x2ea\x2db-c\x5c");
        assert_eq!(escape_path("/tmp//waldi/foobar/"), "tmp-waldi-foobar");
        assert_eq!(escape_path("/.hidden/a-b"), r"\x2ehidden-a\x2db");
        assert_eq!(escape_path("/"), "-");
    }
}
