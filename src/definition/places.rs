//! Finds and reads the definition files: which directories count, which file wins, what is masked.

use std::path::{Path, PathBuf};

use crate::definition::Definition;
use crate::definition::diagnostic::{Diagnostic, Severity};

/// The directories with definitions, strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Prefixed with the root that tests inject.
    pub directories: Vec<PathBuf>,
}

/// A definition with everything that is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// As much as could be understood. It is only to be started if nothing [`is_broken`](Self::is_broken).
    pub definition: Definition,
    /// All mistakes, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Whether any diagnostic is an error.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

impl Places {
    /// `/etc/coracle`, `/run/coracle`, `/usr/lib/coracle` below `root`.
    #[must_use]
    pub fn system(root: &Path) -> Self {
        let directories = ["etc/coracle", "run/coracle", "usr/lib/coracle"]
            .map(|place| root.join(place))
            .into();
        Self { directories }
    }
}
