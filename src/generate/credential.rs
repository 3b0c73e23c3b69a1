//! `Secret=` as lines of `[Service]`: systemd finds and decrypts what the program gets.
//!
//! A line of the user's own for a credential of that name stays the only one. Else the credential is looked for in systemd's own places,
//! `/etc/credstore` and its kind: with `ImportCredential=` (systemd 254) encrypted ones too. Neither fails where nothing is found; that is
//! said by the shim, inside the start.

use std::collections::BTreeSet;

use crate::definition::Definition;
use crate::generate::Context;
use crate::generate::service::Lines;
use crate::unitfile::line::Line;

/// The first version of systemd that has `ImportCredential=`.
const IMPORT_SINCE: u32 = 254;

/// The lines that `definition` needs.
#[must_use]
pub fn lines<'a>(definition: &'a Definition, context: &Context) -> Lines<'a> {
    let key = if context.systemd_version >= IMPORT_SINCE {
        "ImportCredential"
    } else {
        "LoadCredential"
    };
    let given = &definition.passthrough.service;
    let names: BTreeSet<&str> = definition
        .container
        .secrets
        .iter()
        .map(|secret| secret.name.as_str())
        .collect();
    let missing = names
        .into_iter()
        .filter(|name| !given.iter().any(|line| gives(line, name)));
    missing.map(|name| (key, name.into())).collect()
}

/// Whether this line of the user's is about the credential `name`.
fn gives(line: &Line, name: &str) -> bool {
    let id = line.value().split(':').next().unwrap_or_default();
    match line.key() {
        "SetCredential" | "SetCredentialEncrypted" | "LoadCredential" | "LoadCredentialEncrypted" => id.trim() == name,
        "ImportCredential" => match id.trim().strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => id.trim() == name,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::gives;
    use crate::unitfile::line::Line;

    #[test]
    fn the_users_own_lines_are_seen() {
        for (key, value, is_given) in [
            ("SetCredential", "db:secret:word", true),
            ("LoadCredentialEncrypted", "db", true),
            ("LoadCredential", "db2:/etc/db", false),
            ("ImportCredential", "d*", true),
            ("ImportCredential", "db:renamed", true),
            ("ImportCredential", "e*", false),
            ("Environment", "db", false),
        ] {
            let line = Line::new(key, value.to_owned()).expect("a line");
            assert_eq!(gives(&line, "db"), is_given, "{key}={value}");
        }
    }
}
