//! The parts of systemd's D-Bus interface that are used, as org.freedesktop.systemd1(5) describes them.
//!
//! Declarations only: what is asked, and how often, is decided in [`crate::systemd`].

use serde::{Deserialize, Serialize};
use zbus::{OwnedObjectPath, Type, Variant};

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

/// One entry of `ExecStart`, `a(sasbttttuii)`.
pub type Command = (String, Vec<String>, bool, u64, u64, u64, u64, u32, i32, i32);

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

    /// The object of a unit, which is loaded where it is not.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;

    /// Has signals sent to this connection.
    fn subscribe(&self) -> zbus::Result<()>;

    /// Makes a unit that has no file, with others that it needs, and queues its start. Returns the job.
    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: &[(&str, &Variant<'_>)],
        auxiliary: &[(&str, Vec<(&str, &Variant<'_>)>)],
    ) -> zbus::Result<OwnedObjectPath>;

    /// Queues a start. Returns the job.
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    /// Queues a stop and a start. Returns the job.
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    /// Has all unit files read anew, after the generators have run; answers when that is done.
    fn reload(&self) -> zbus::Result<()>;

    /// Queues a stop. Returns the job.
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    /// Sends a signal to the processes of a unit.
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;

    /// Changes a unit that is loaded, until the next boot (`runtime`) or for good.
    fn set_unit_properties(&self, name: &str, runtime: bool, properties: &[(&str, &Variant<'_>)]) -> zbus::Result<()>;
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

    /// `ExecStart`: of each command the program, its arguments from the zeroth on, whether its failure is to be ignored, and how it went.
    #[zbus(property)]
    fn exec_start(&self) -> zbus::Result<Vec<Command>>;

    /// `UMask`.
    #[zbus(property, name = "UMask")]
    fn umask(&self) -> zbus::Result<u32>;

    /// `SystemCallFilter`: whether it lists what is allowed, and the calls.
    #[zbus(property)]
    fn system_call_filter(&self) -> zbus::Result<(bool, Vec<String>)>;

    /// `RestrictAddressFamilies`, likewise.
    #[zbus(property)]
    fn restrict_address_families(&self) -> zbus::Result<(bool, Vec<String>)>;

    /// `SystemCallArchitectures`.
    #[zbus(property)]
    fn system_call_architectures(&self) -> zbus::Result<Vec<String>>;

    /// `LockPersonality`.
    #[zbus(property)]
    fn lock_personality(&self) -> zbus::Result<bool>;

    /// `MemoryDenyWriteExecute`.
    #[zbus(property)]
    fn memory_deny_write_execute(&self) -> zbus::Result<bool>;

    /// `RestrictRealtime`.
    #[zbus(property)]
    fn restrict_realtime(&self) -> zbus::Result<bool>;

    /// `RestrictSUIDSGID`.
    #[zbus(property, name = "RestrictSUIDSGID")]
    fn restrict_set_ids(&self) -> zbus::Result<bool>;

    /// `ControlGroup`: its path below the mount point; empty while there is none.
    #[zbus(property)]
    fn control_group(&self) -> zbus::Result<String>;

    /// `NRestarts`: how often systemd has started it again by itself.
    #[zbus(property, name = "NRestarts")]
    fn restarts(&self) -> zbus::Result<u32>;

    /// `Result`: `success`, `exit-code`, `signal` …
    #[zbus(property, name = "Result")]
    fn outcome(&self) -> zbus::Result<String>;

    /// `ExecMainCode`: `CLD_EXITED` and its kind, 0 before the end.
    #[zbus(property)]
    fn exec_main_code(&self) -> zbus::Result<i32>;

    /// `ExecMainStatus`: the exit status, or the signal.
    #[zbus(property)]
    fn exec_main_status(&self) -> zbus::Result<i32>;

    /// `StatusText`: what the service has said of itself.
    #[zbus(property)]
    fn status_text(&self) -> zbus::Result<String>;
}

/// A socket unit's object.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Socket",
    default_service = "org.freedesktop.systemd1"
)]
pub trait Socket {
    /// `Listen`: of each address the type (`Stream`, `Datagram` …) and the text.
    #[zbus(property)]
    fn listen(&self) -> zbus::Result<Vec<(String, String)>>;

    /// `Result`: `success`, `resources`, `service-start-limit-hit` …
    #[zbus(property, name = "Result")]
    fn outcome(&self) -> zbus::Result<String>;
}

/// The bus itself.
#[zbus::proxy(
    interface = "org.freedesktop.DBus",
    default_service = "org.freedesktop.DBus",
    default_path = "/org/freedesktop/DBus"
)]
pub trait Bus {
    /// The process behind a name.
    #[zbus(name = "GetConnectionUnixProcessID")]
    fn process_of(&self, name: &str) -> zbus::Result<u32>;
}

/// What every unit's object has.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1"
)]
pub trait Unit {
    /// `ActiveState`.
    #[zbus(property)]
    fn active_state(&self) -> zbus::Result<String>;

    /// The job queued for it, 0 where there is none, and that job's object.
    #[zbus(property)]
    fn job(&self) -> zbus::Result<(u32, OwnedObjectPath)>;

    /// `ActiveEnterTimestamp`, in microseconds; 0 where it has never been active since it was loaded.
    #[zbus(property)]
    fn active_enter_timestamp(&self) -> zbus::Result<u64>;

    /// `InactiveEnterTimestamp`, likewise.
    #[zbus(property)]
    fn inactive_enter_timestamp(&self) -> zbus::Result<u64>;

    /// `InvocationID`: 16 bytes, or none where it does not run.
    #[zbus(property, name = "InvocationID")]
    fn invocation_id(&self) -> zbus::Result<Vec<u8>>;

    /// `LoadState`.
    #[zbus(property)]
    fn load_state(&self) -> zbus::Result<String>;
}
