//! One run of the generator: look, decide, write, tell. systemd.generator(7).
//!
//! It touches nothing but the first of its three directories, needs neither network nor D-Bus nor `/var`, and one bad definition never
//! makes it fail.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::definition::places::{self, Places, Scope};
use crate::generate::report::Destination;
use crate::generate::{Context, Report, generate, report, version, volume, write};

/// Where the shim is installed.
pub const SHIM: &str = "/usr/libexec/coracle/coracle-shim";

/// What a run is told by its arguments and its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The directory whose units come after `/etc` and before `/usr`: the first of systemd's three.
    pub normal: PathBuf,
    /// `/`, or what tests take for it: definitions are read below it.
    pub root: PathBuf,
    /// Whose units are wanted.
    pub scope: Scope,
    /// The user whose manager calls.
    pub user: User,
    /// Where the diagnostics go.
    pub destination: Destination,
}

/// What a user's definitions are found by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// `$XDG_CONFIG_HOME`, or `~/.config`; nothing where the environment names neither.
    pub config: Option<PathBuf>,
    /// The user's number.
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
    let contents = places::load_all(&places(invocation));
    let mut output = generate(&contents.definitions, &context);
    volume::add(&contents.volumes, &context, &mut output);
    let written = write::write(&output, &invocation.normal);
    let strays = contents.strays.into_iter().map(|diagnostic| Report {
        unit: String::new(),
        diagnostic,
    });
    let reports: Vec<Report> = output.diagnostics.into_iter().chain(strays).collect();
    report::send(&reports, invocation.scope, invocation.destination);
    // The process ends here and gives all back at once. Piece by piece it takes longer than a millisecond, and systemd waits.
    std::mem::forget((contents.definitions, output.files, output.links, reports));
    written
}

/// The path as a process sees it for which `root` is `/`.
fn seen_from(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root)
        .map_or_else(|_| path.to_owned(), |rest| Path::new("/").join(rest))
}

fn places(invocation: &Invocation) -> Places {
    let (root, user) = (&invocation.root, &invocation.user);
    match (invocation.scope, &user.config) {
        (Scope::System, _) => Places::system(root),
        (Scope::User, Some(config)) => Places::user(root, config, user.uid),
        (Scope::User, None) => {
            let mut places = Places::user(root, Path::new("/"), user.uid);
            places.directories.remove(0);
            places
        }
    }
}
