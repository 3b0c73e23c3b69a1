//! Whose definitions a verb is about: the system's or the calling user's, or those below a directory.

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::definition::places::{self, Contents, Loaded, Places};
use crate::generate::run::SHIM;
use crate::generate::{self, Context, version};
use crate::systemd::Manager;

/// Whose definitions.
#[derive(Debug, Clone, Args)]
pub struct Scope {
    /// The calling user's definitions and service manager instead of the system's
    #[arg(long)]
    pub user: bool,
    /// Read definitions below DIR instead of /; systemd is not asked
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

impl Scope {
    /// All definitions, and what is to be said of files that are none.
    #[must_use]
    pub fn contents(&self) -> Contents {
        places::load_all(&self.places())
    }

    /// The definitions.
    #[must_use]
    pub fn load(&self) -> Vec<Loaded> {
        self.contents().definitions
    }

    /// Whom to ask for the state of units: nobody where definitions of another system are read.
    #[must_use]
    pub fn manager(&self) -> Option<Manager> {
        match (&self.root, self.user) {
            (Some(_), _) => None,
            (None, true) => Some(Manager::User),
            (None, false) => Some(Manager::System),
        }
    }

    /// What the generator would be told.
    #[must_use]
    pub fn context(&self) -> Context {
        let (scope, output_directory) = match self.user {
            true => (generate::Scope::User, runtime_directory().join("systemd/generator")),
            false => (generate::Scope::System, PathBuf::from("/run/systemd/generator")),
        };
        Context {
            scope,
            output_directory,
            shim: PathBuf::from(SHIM),
            systemd_version: version::find(self.below()),
        }
    }

    /// The directories' names, for messages.
    #[must_use]
    pub fn describe_places(&self) -> String {
        let directories: Vec<_> = self
            .places()
            .directories
            .iter()
            .map(|one| format!("'{}'", one.display()))
            .collect();
        directories.join(", ")
    }

    fn below(&self) -> &Path {
        self.root.as_deref().unwrap_or(Path::new("/"))
    }

    fn places(&self) -> Places {
        if self.user {
            Places::user(self.below(), &configuration_directory(), nix::unistd::getuid().as_raw())
        } else {
            Places::system(self.below())
        }
    }
}

/// `$XDG_CONFIG_HOME`, or where it is by default.
fn configuration_directory() -> PathBuf {
    let given = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    given.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".config"))
}

/// `$XDG_RUNTIME_DIR`, or where it is by default.
fn runtime_directory() -> PathBuf {
    let given = env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    given.unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", nix::unistd::getuid())))
}
