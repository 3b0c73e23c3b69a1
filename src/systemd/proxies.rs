//! The parts of systemd's D-Bus interface that are used, as org.freedesktop.systemd1(5) describes them.
//!
//! Declarations only: what is asked, and how often, is decided in [`crate::systemd`].

use serde::{Deserialize, Serialize};
use zbus::{OwnedObjectPath, Type};

/// One entry of what `ListUnitsByNames()` and `ListUnitsByPatterns()` return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ListedUnit {
    /// The unit's name with its suffix.
    pub name: String,
    /// `Description=`.
    pub description: String,
    /// `LoadState`.
    pub load: String,
    /// `ActiveState`.
    pub active: String,
    /// `SubState`.
    pub sub: String,
    /// The unit that this one follows in its state, or nothing.
    pub following: String,
    /// The unit's object.
    pub path: OwnedObjectPath,
    /// The job queued for it, or 0.
    pub job: u32,
    /// That job's type.
    pub job_type: String,
    /// That job's object.
    pub job_path: OwnedObjectPath,
}

/// systemd's manager object.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub trait Manager {
    /// The units of these names, loaded for the question where they are not; one that has no file comes back as `not-found`.
    fn list_units_by_names(&self, names: &[&str]) -> zbus::Result<Vec<ListedUnit>>;

    /// The loaded units in one of these states (all, if there are none) whose name matches one of the patterns.
    fn list_units_by_patterns(&self, states: &[&str], patterns: &[&str]) -> zbus::Result<Vec<ListedUnit>>;
}

/// A service unit's object.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1"
)]
pub trait Service {
    /// `MainPID`, 0 where there is none.
    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> zbus::Result<u32>;
}
