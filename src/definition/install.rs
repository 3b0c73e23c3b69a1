//! `[Install]`: what starts a container's units, and how else they are called.

use crate::definition::diagnostic::Diagnostic;

/// The section, understood. All names are units', with their types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Install {
    /// `WantedBy=`: nothing where it is not said, so that the default holds; empty where it is said that there is none.
    pub wanted_by: Option<Vec<String>>,
    /// `RequiredBy=`, as above.
    pub required_by: Option<Vec<String>>,
    /// `UpheldBy=`, as above.
    pub upheld_by: Option<Vec<String>>,
    /// What is to be said of `UpheldBy=` where systemd is older than [`Self::UPHELD_SINCE`].
    pub not_upheld: Vec<Diagnostic>,
    /// `Alias=`: each name with the unit that it is another name of.
    pub aliases: Vec<(String, String)>,
    /// Where each of them stands.
    pub places: Vec<(String, Diagnostic)>,
    /// `DefaultInstance=`: makes a name of each of the units that are templates.
    pub default_instance: Option<String>,
}

impl Install {
    /// The first version of systemd that knows `UpheldBy=`.
    pub const UPHELD_SINCE: u32 = 254;
}
