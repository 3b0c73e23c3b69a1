//! Names of definitions, which become names of units (systemd.unit(5)).
//!
//! A file whose name cannot name a unit is reported under a name that can: [`escape`].

use crate::unitfile::name::{self as unit, NAME_MAX};

/// What the longest suffix of a generated unit takes: `-image.service`.
const SUFFIX_MAX: usize = "-image.service".len();

/// Why a name cannot be a unit's; nothing if it can.
#[must_use]
pub fn mistake(name: &str) -> Option<String> {
    let (prefix, instance) = match name.split_once('@') {
        Some((prefix, instance)) => (prefix, Some(instance)),
        None => (name, None),
    };
    if prefix.is_empty() {
        return Some("the name is empty".to_owned());
    }
    if name.len() + SUFFIX_MAX > NAME_MAX {
        let limit = NAME_MAX - SUFFIX_MAX;
        return Some(format!(
            "the name is longer than {limit} bytes, which a unit's cannot be"
        ));
    }
    if instance.is_some_and(|instance| instance.contains('@')) {
        return Some("the name holds '@' more than once".to_owned());
    }
    let odd = name
        .chars()
        .find(|character| !unit::is_valid_character(*character) && *character != '@')?;
    Some(format!(
        "the name holds {}, but a unit's name is made of ASCII letters, digits and ':-_.\\@'",
        match odd {
            ' ' => "a space".to_owned(),
            odd => format!("'{}'", odd.escape_debug()),
        }
    ))
}

/// What systemd-escape(1) makes of a file's name, and where that is too long or nothing at all another name that a unit can have.
/// Different names give different ones.
#[must_use]
pub fn escape(name: &[u8]) -> String {
    let mut escaped = unit::escape(name);
    if escaped.is_empty() {
        // As of a lonely '@': no file has an empty name.
        escaped.push_str("\\x40");
    }
    if escaped.len() + SUFFIX_MAX > NAME_MAX {
        // Cut, but told apart by a checksum (FNV-1a) of the whole.
        let sum = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        escaped.truncate(200);
        escaped.push_str(&format!("_{sum:016x}"));
    }
    escaped
}

/// `web-admin`, `web-admin@` or `web-admin@x` for `admin` and `web`, `web@` or `web@x`.
#[must_use]
pub fn with_suffix(name: &str, suffix: &str) -> String {
    match name.split_once('@') {
        Some((prefix, instance)) => format!("{prefix}-{suffix}@{instance}"),
        None => format!("{name}-{suffix}"),
    }
}

/// The name without `@` and instance.
#[must_use]
pub fn prefix(name: &str) -> &str {
    name.split_once('@').map_or(name, |(prefix, _)| prefix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_names() {
        for name in ["web", "web@", "web@x", "a.b-c_d:e", "a\\x20b", &"a".repeat(241)] {
            assert_eq!(mistake(name), None, "{name}");
        }
    }

    #[test]
    fn bad_names() {
        for name in ["", "@", "@x", "a b", "a/b", "a\nb", "ä", "a@b@c", &"a".repeat(242)] {
            assert!(mistake(name).is_some(), "{name}");
        }
    }

    #[test]
    fn units_of_sockets() {
        assert_eq!(with_suffix("web", "x"), "web-x");
        assert_eq!(with_suffix("web@", "x"), "web-x@");
        assert_eq!(with_suffix("web@1", "x"), "web-x@1");
        assert_eq!(escape(b"a b\xff"), "a\\x20b\\xff");
    }

    proptest! {
        #[test]
        fn escaped_names_are_good(name in prop::collection::vec(any::<u8>(), 0..300)) {
            let escaped = escape(&name);
            prop_assert_eq!(mistake(&escaped), None);
        }
    }
}
