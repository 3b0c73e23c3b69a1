//! Whose definitions a verb is about: the system's or the calling user's, or those below a directory.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueHint};

use crate::definition::places::{self, Contents, Loaded, Places};
use crate::generate::run::SHIM;
use crate::generate::{Context, version};
use crate::run::subordinate;
use crate::store::Store;
use crate::systemd::Manager;

/// Whose definitions.
#[derive(Debug, Clone, Args)]
pub struct Scope {
    /// The calling user's definitions and service manager instead of the system's
    #[arg(long)]
    pub user: bool,
    /// Read definitions below DIR instead of /; systemd is not asked
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
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
        self.root.is_none().then(|| self.service_manager())
    }

    /// Whose units the containers are, where it is this system that is meant.
    #[must_use]
    pub fn service_manager(&self) -> Manager {
        if self.user { Manager::User } else { Manager::System }
    }

    /// What the generator would be told.
    #[must_use]
    pub fn context(&self) -> Context {
        let (scope, output_directory) = match self.user {
            true => (places::Scope::User, runtime_directory().join("systemd/generator")),
            false => (places::Scope::System, PathBuf::from("/run/systemd/generator")),
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

    /// The store's directory. Nobody but root can do anything with the system's, so everybody else means their own.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        let is_own = self.user || (self.root.is_none() && !nix::unistd::geteuid().is_root());
        let directory = match is_own {
            true => data_directory().join("coracle"),
            false => Store::system_root().to_path_buf(),
        };
        self.below().join(directory.strip_prefix("/").unwrap_or(&directory))
    }

    /// Prepares this process for changing the store: without root, in a user namespace in which files can have all the owners that images
    /// name. What depends on who the user is must be done before.
    ///
    /// # Errors
    /// Nothing was lent to the user, or the host does not let users have namespaces.
    pub fn enter_store(&self) -> Result<()> {
        match nix::unistd::geteuid().is_root() {
            true => Ok(()),
            false => subordinate::enter().with_context(|| format!("opening the store '{}'", self.store().display())),
        }
    }

    /// Where what lasts until the next boot lies.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        match self.user {
            true => runtime_directory(),
            false => self.below().join("run"),
        }
    }

    fn below(&self) -> &Path {
        self.root.as_deref().unwrap_or(Path::new("/"))
    }

    /// Where they lie.
    #[must_use]
    pub fn places(&self) -> Places {
        if self.user {
            Places::user(self.below(), &configuration_directory(), nix::unistd::getuid().as_raw())
        } else {
            Places::system(self.below())
        }
    }
}

/// `$XDG_CONFIG_HOME`, or where it is by default.
fn configuration_directory() -> PathBuf {
    directory("XDG_CONFIG_HOME").unwrap_or_else(|| home().join(".config"))
}

/// `$XDG_DATA_HOME`, or where it is by default.
fn data_directory() -> PathBuf {
    directory("XDG_DATA_HOME").unwrap_or_else(|| home().join(".local/share"))
}

/// `$XDG_RUNTIME_DIR`, or where it is by default.
fn runtime_directory() -> PathBuf {
    directory("XDG_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", nix::unistd::getuid())))
}

fn home() -> PathBuf {
    directory("HOME").unwrap_or_else(|| PathBuf::from("/"))
}

/// The directory that a variable names; a relative one is to be ignored (XDG base directory specification).
fn directory(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}
