//! Which keys of `[Unit]` and `[Service]` are not passed on, why, and what to write instead.
//!
//! These sections belong to systemd and go through, but a few keys would act on the shim instead of the container, or take the sockets
//! from the payload, or let systemd kill the socket unit: it closes a socket for good when a connection starts a service whose
//! `Requires=` fails, or that fails too often. What a container would lack if such a key were left out is an error; the rest is a
//! warning. The key table ([`crate::definition::keys`]) refuses those that every unit needs for itself; here are those that systemd
//! has more of with each version, by their families, and those that only sockets forbid.

use std::borrow::Cow;

use crate::definition::Socket;
use crate::definition::keys::Section;

/// Why a line is not passed on as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which part of the line is to blame.
    pub culprit: Culprit,
    /// A predicate: "would act on …".
    pub why: Cow<'static, str>,
    /// What becomes of the line.
    pub outcome: Outcome,
    /// What to do instead.
    pub instead: Option<&'static str>,
}

/// A part of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// The key, whatever its value.
    Key,
    /// The value.
    Value,
}

/// What becomes of a line that is not passed on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The container is not started: it would lack something.
    Refused,
    /// It is left out.
    LeftOut,
    /// It is passed on under this key.
    TakenAs(&'static str),
}

const SHIM: &str = "would act on coracle-shim and not on the container";
const OWN: &str = "is not needed: the container has its own";
const FAILURES: &str = "would let systemd close the socket for good after a few failures";

impl Refusal {
    const fn new(outcome: Outcome, why: &'static str) -> Self {
        Self {
            culprit: Culprit::Key,
            why: Cow::Borrowed(why),
            outcome,
            instead: None,
        }
    }

    const fn instead(mut self, instead: &'static str) -> Self {
        self.instead = Some(instead);
        self
    }

    fn of_value(outcome: Outcome, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            culprit: Culprit::Value,
            why: why.into(),
            outcome,
            instead: None,
        }
    }
}

/// Why a line of a section is not passed on as it is, in a definition with these sockets. Nothing if it is.
#[must_use]
pub fn find(section: Section, key: &str, value: &str, sockets: &[Socket]) -> Option<Refusal> {
    let is_woken = !sockets.is_empty();
    match section {
        Section::Unit if is_woken => in_unit(key, value).or_else(|| in_woken_unit(key, value)),
        Section::Unit => in_unit(key, value),
        Section::Service if is_woken => in_service(key).or_else(|| in_woken_service(key, value)),
        Section::Service => in_service(key),
        Section::Container
        | Section::Network
        | Section::Volume
        | Section::Socket
        | Section::Timer
        | Section::Install => None,
    }
}

fn in_unit(key: &str, value: &str) -> Option<Refusal> {
    match key {
        "JoinsNamespaceOf" => Some(Refusal::new(Outcome::LeftOut, SHIM)),
        _ if has_relative_path(key, value) => Some(Refusal::of_value(
            Outcome::LeftOut,
            "has no absolute path, and systemd does not ask it",
        )),
        _ => None,
    }
}

/// Whether this is a condition or an assertion about a path that says no path. An empty one takes back those before it.
fn has_relative_path(key: &str, value: &str) -> bool {
    let name = key.strip_prefix("Condition").or_else(|| key.strip_prefix("Assert"));
    let is_about_path = name.is_some_and(|name| {
        name.starts_with("Path") || matches!(name, "DirectoryNotEmpty" | "FileNotEmpty" | "FileIsExecutable")
    });
    let path = value.trim().trim_start_matches(['|', '!', ' ']);
    is_about_path && !path.is_empty() && !path.starts_with(['/', '%'])
}

/// Dependencies with which systemd would kill the socket.
fn in_woken_unit(key: &str, value: &str) -> Option<Refusal> {
    match key {
        "Requires" | "BindsTo" => Some(Refusal::of_value(
            Outcome::TakenAs("Wants"),
            format!("would let systemd close the socket for good when '{value}' fails"),
        )),
        "Requisite" => Some(Refusal::of_value(
            Outcome::LeftOut,
            format!("would let systemd close the socket for good when '{value}' is not running"),
        )),
        _ => start_limit(key),
    }
}

/// Keys that no container's service can have.
fn in_service(key: &str) -> Option<Refusal> {
    let error = |why, instead| Some(Refusal::new(Outcome::Refused, why).instead(instead));
    let warning = |why, instead| Some(Refusal::new(Outcome::LeftOut, why).instead(instead));
    match key {
        "SupplementaryGroups" => error(SHIM, "use 'GroupAdd=' in [Container]"),
        "Environment" => error(SHIM, "use 'Environment=' in [Container]"),
        "EnvironmentFile" => error(SHIM, "use 'EnvironmentFile=' in [Container]"),
        "PassEnvironment" | "UnsetEnvironment" => error(SHIM, "use 'Environment=' in [Container]"),
        "AmbientCapabilities" | "CapabilityBoundingSet" => {
            error(SHIM, "use 'AddCapability=' and 'DropCapability=' in [Container]")
        }
        "SystemCallFilter" | "SystemCallErrorNumber" | "SystemCallArchitectures" | "SystemCallLog" => {
            error(SHIM, "use 'SeccompProfile=' in [Container]")
        }
        "RestrictAddressFamilies"
        | "RestrictNamespaces"
        | "RestrictRealtime"
        | "RestrictSUIDSGID"
        | "LockPersonality"
        | "MemoryDenyWriteExecute" => error(SHIM, "use 'SeccompProfile=' in [Container]"),
        "AppArmorProfile" => error(SHIM, "use 'AppArmor=' in [Container]"),
        "SELinuxContext" => error(SHIM, "use 'SecurityLabelType=' and its kind in [Container]"),
        "SmackProcessLabel" | "RestrictFileSystems" | "Personality" | "SecureBits" | "PAMName" => {
            Some(Refusal::new(Outcome::Refused, SHIM))
        }
        "BindPaths" | "BindReadOnlyPaths" | "MountImages" | "ExtensionImages" | "ExtensionDirectories" => {
            error(SHIM, "use 'Volume=' in [Container]")
        }
        "TemporaryFileSystem" => error(SHIM, "use 'Tmpfs=' in [Container]"),
        "NetworkNamespacePath" | "IPCNamespacePath" | "UserNamespacePath" => {
            error(SHIM, "use 'Network=' in [Container]")
        }
        "Sockets" => error(
            "would hand over sockets that the container does not know",
            "use [Socket.NAME]",
        ),
        "ExecPaths" | "NoExecPaths" | "ReadWritePaths" | "ReadOnlyPaths" | "InaccessiblePaths" => {
            error(SHIM, "use 'Volume=', 'Mask=' and 'ReadOnly=' in [Container]")
        }
        _ if key.starts_with("Root") => error(SHIM, "use 'Rootfs=' or 'Image=' in [Container]"),
        "PrivateNetwork" => warning(OWN, "use 'Network=' in [Container]"),
        "NoNewPrivileges" => warning(OWN, "use 'NoNewPrivileges=' in [Container]"),
        "MountAPIVFS" | "BindLogSockets" | "ProcSubset" => Some(Refusal::new(Outcome::LeftOut, OWN)),
        _ if key.starts_with("Private") || key.starts_with("Protect") => Some(Refusal::new(Outcome::LeftOut, OWN)),
        "ExecStop" => warning(
            "is not needed: init stops the payload",
            "use 'StopSignal=' in [Container]",
        ),
        _ => None,
    }
}

/// Keys with which systemd would kill the socket, or never start the service again.
fn in_woken_service(key: &str, value: &str) -> Option<Refusal> {
    match key {
        "ExecCondition" => Some(Refusal::new(
            Outcome::LeftOut,
            "would let systemd close the socket for good when it says no",
        )),
        "Restart" if !matches!(value.trim(), "on-failure" | "always") => {
            Some(Refusal::of_value(Outcome::LeftOut, FAILURES))
        }
        "RestartPreventExitStatus" => Some(Refusal::new(Outcome::LeftOut, FAILURES)),
        "RemainAfterExit" if !is_no(value) => Some(Refusal::of_value(
            Outcome::LeftOut,
            "would leave clients waiting: an exited container could not be started by its socket",
        )),
        _ => start_limit(key),
    }
}

/// Keys of `[Unit]` that older versions of systemd had in `[Service]`, where they are still read.
fn start_limit(key: &str) -> Option<Refusal> {
    let limits = [
        "StartLimitInterval",
        "StartLimitIntervalSec",
        "StartLimitBurst",
        "StartLimitAction",
    ];
    limits.contains(&key).then(|| Refusal::new(Outcome::LeftOut, FAILURES))
}

/// systemd's words for no.
fn is_no(value: &str) -> bool {
    ["0", "no", "n", "false", "f", "off"]
        .iter()
        .any(|no| value.trim().eq_ignore_ascii_case(no))
}
