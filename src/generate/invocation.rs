//! Reads the generator's arguments and environment.
//!
//! systemd.generator(7): three directories, of which the first is ours, and `$SYSTEMD_SCOPE`. Older systemd does not set that for
//! user managers, but runs another directory's programs. `--root DIR` is for tests and for looking at another system's definitions: they
//! are read below DIR, paths in the units are as seen from inside it, and what is to be said goes to standard error.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use nix::unistd::getuid;

use crate::definition::places::Scope;
use crate::generate::report::Destination;
use crate::generate::run::{Invocation, User};

/// What is printed to somebody who calls it by hand.
pub const USAGE: &str = "usage: coracle-generator [--root DIR] NORMAL-DIR [EARLY-DIR LATE-DIR]
Writes units for all container definitions into NORMAL-DIR. systemd runs it at boot and at every
daemon-reload, see systemd.generator(7); to look at what it would write, use 'coracle show --units'.";

/// The command line, and what goes with it. `variable` looks a name up in the environment.
///
/// # Errors
/// Too few arguments, too many, or another option.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Invocation> {
    let mut arguments: VecDeque<OsString> = arguments.into_iter().collect();
    let program = arguments.pop_front().unwrap_or_default();
    let mut root = None;
    if arguments.front().is_some_and(|first| first == "--root") {
        root = arguments.drain(..2.min(arguments.len())).nth(1).map(PathBuf::from);
    }
    let is_option = |argument: &OsString| argument.as_encoded_bytes().starts_with(b"-");
    if !matches!(arguments.len(), 1 | 3) || arguments.iter().any(is_option) {
        bail!("{USAGE}");
    }
    let destination = match root {
        None if !stderr().is_terminal() => Destination::Log,
        _ => Destination::Stderr,
    };
    let config = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || variable("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    Ok(Invocation {
        normal: PathBuf::from(&arguments[0]),
        root: root.unwrap_or_else(|| PathBuf::from("/")),
        scope: scope(Path::new(&program), variable("SYSTEMD_SCOPE")),
        user: User {
            config: config.or_else(|| Some(home()?.join(".config"))),
            uid: getuid().as_raw(),
        },
        destination,
    })
}

fn scope(program: &Path, told: Option<OsString>) -> Scope {
    let directory = program.parent().and_then(Path::file_name);
    match told.as_ref().and_then(|scope| scope.to_str()) {
        Some("user") => Scope::User,
        Some("system") => Scope::System,
        _ if directory.is_some_and(|name| name == "user-generators") => Scope::User,
        _ => Scope::System,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::read;
    use crate::definition::places::Scope;
    use crate::generate::run::Invocation;

    fn invocation(line: &str, scope: Option<&str>) -> anyhow::Result<Invocation> {
        let variable = |name: &str| (name == "SYSTEMD_SCOPE").then(|| scope.map(Into::into))?;
        read(line.split(' ').map(Into::into), variable)
    }

    #[test]
    fn the_first_directory_is_ours() {
        let one = invocation("generator /run/a /run/b /run/c", None).unwrap();
        assert_eq!(
            (one.normal.as_path(), one.root.as_path()),
            (Path::new("/run/a"), Path::new("/"))
        );
        let other = invocation("generator --root /srv /run/a", None).unwrap();
        assert_eq!(other.root, Path::new("/srv"));
        for line in [
            "g",
            "g /a /b",
            "g --root",
            "g --root /srv",
            "g --help",
            "g /a /b /c /d",
            "g /a --root /b",
        ] {
            assert!(invocation(line, None).is_err(), "{line}");
        }
    }

    #[test]
    fn the_scope_is_told_or_seen() {
        let user = "/usr/lib/systemd/user-generators/coracle-generator /run/a";
        assert_eq!(invocation(user, None).unwrap().scope, Scope::User);
        assert_eq!(invocation(user, Some("system")).unwrap().scope, Scope::System);
        assert_eq!(invocation("/x/g /run/a", Some("user")).unwrap().scope, Scope::User);
        assert_eq!(invocation("/x/g /run/a", None).unwrap().scope, Scope::System);
    }
}
