//! Which keys of `[Unit]`, `[Service]` and `[Socket]` a definition must not set, why, and what to write instead.
//!
//! `[Service]` belongs to systemd and goes through, but a few keys would act on the shim instead of the container, or take the sockets
//! from the payload, or let systemd kill the socket unit. What a container would lack if such a key were ignored is an error; the
//! rest is a warning. The key table ([`crate::definition::keys`]) refuses those that every unit needs for itself; here are those that
//! systemd has more of with each version, by their families.

use crate::definition::diagnostic::Severity;

/// Why a key is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Whether the container can be started without it.
    pub severity: Severity,
    /// A predicate: "would act on …".
    pub why: &'static str,
    /// What to do instead.
    pub instead: Option<&'static str>,
}

impl Refusal {
    /// The end of the message.
    #[must_use]
    pub fn what_next(self) -> &'static str {
        match self.severity {
            Severity::Warning => ", ignoring",
            Severity::Error => "",
        }
    }
}

/// Keys that no container's service can have.
#[must_use]
pub fn refuse_in_service(key: &str) -> Option<Refusal> {
    let error = |why, instead| {
        Some(Refusal {
            severity: Severity::Error,
            why,
            instead,
        })
    };
    let warning = |why, instead| {
        Some(Refusal {
            severity: Severity::Warning,
            why,
            instead,
        })
    };
    const SHIM: &str = "would act on coracle-shim and not on the container";
    const OWN: &str = "is not needed: the container has its own";
    match key {
        "SupplementaryGroups" => error(SHIM, Some("use 'GroupAdd=' in [Container]")),
        "Environment" => error(SHIM, Some("use 'Environment=' in [Container]")),
        "EnvironmentFile" => error(SHIM, Some("use 'EnvironmentFile=' in [Container]")),
        "PassEnvironment" | "UnsetEnvironment" => error(SHIM, Some("use 'Environment=' in [Container]")),
        "AmbientCapabilities" | "CapabilityBoundingSet" => {
            error(SHIM, Some("use 'AddCapability=' and 'DropCapability=' in [Container]"))
        }
        "SystemCallFilter" | "SystemCallErrorNumber" | "SystemCallArchitectures" | "SystemCallLog" => {
            error(SHIM, Some("use 'SeccompProfile=' in [Container]"))
        }
        "RestrictAddressFamilies"
        | "RestrictNamespaces"
        | "RestrictRealtime"
        | "RestrictSUIDSGID"
        | "LockPersonality"
        | "MemoryDenyWriteExecute" => error(SHIM, Some("use 'SeccompProfile=' in [Container]")),
        "RestrictFileSystems" | "Personality" | "SecureBits" | "PAMName" => error(SHIM, None),
        "BindPaths" | "BindReadOnlyPaths" | "MountImages" | "ExtensionImages" | "ExtensionDirectories" => {
            error(SHIM, Some("use 'Volume=' in [Container]"))
        }
        "TemporaryFileSystem" => error(SHIM, Some("use 'Tmpfs=' in [Container]")),
        "NetworkNamespacePath" | "IPCNamespacePath" | "UserNamespacePath" => {
            error(SHIM, Some("use 'Network=' in [Container]"))
        }
        "Sockets" => error(
            "would hand over sockets that the container does not know",
            Some("use [Socket.NAME]"),
        ),
        "ExecPaths" | "NoExecPaths" | "ReadWritePaths" | "ReadOnlyPaths" | "InaccessiblePaths" => {
            error(SHIM, Some("use 'Volume=', 'Mask=' and 'ReadOnly=' in [Container]"))
        }
        _ if key.starts_with("Root") => error(SHIM, Some("use 'Rootfs=' or 'Image=' in [Container]")),
        "PrivateNetwork" => warning(OWN, Some("use 'Network=' in [Container]")),
        "NoNewPrivileges" => warning(OWN, Some("use 'NoNewPrivileges=' in [Container]")),
        "MountAPIVFS" | "BindLogSockets" | "ProcSubset" => warning(OWN, None),
        _ if key.starts_with("Private") || key.starts_with("Protect") => warning(OWN, None),
        "ExecStop" => warning(
            "is not needed: init stops the payload",
            Some("use 'StopSignal=' in [Container]"),
        ),
        _ => None,
    }
}

/// Keys with which systemd would kill the socket, or never start the service again.
#[must_use]
pub fn refuse_with_sockets(key: &str, value: &str) -> Option<Refusal> {
    let why = match key {
        "ExecCondition" => "would let systemd close the socket for good when it says no",
        "Restart" if !matches!(value.trim(), "on-failure" | "always") => {
            "would let systemd close the socket for good after a few failures"
        }
        "RestartPreventExitStatus" => "would let systemd close the socket for good after a few failures",
        "RemainAfterExit" if !is_no(value) => {
            "would leave clients waiting: an exited container could not be started by its socket"
        }
        "StartLimitInterval" | "StartLimitIntervalSec" | "StartLimitBurst" | "StartLimitAction" => {
            "would let systemd close the socket for good after a few failures"
        }
        _ => return None,
    };
    Some(Refusal {
        severity: Severity::Warning,
        why,
        instead: None,
    })
}

/// Keys of `[Socket]` that Coracle sets itself or cannot serve.
#[must_use]
pub fn refuse_in_socket(key: &str, value: &str) -> Option<Refusal> {
    let warning = |why, instead| {
        Some(Refusal {
            severity: Severity::Warning,
            why,
            instead,
        })
    };
    match key {
        "Service" => warning("is always the container's service", None),
        "FileDescriptorName" => warning("is the socket's name", Some("name the section: [Socket.NAME]")),
        "Accept" if !is_no(value) => Some(Refusal {
            severity: Severity::Error,
            why: "with one container per connection is not supported yet",
            instead: Some("leave it out"),
        }),
        "ListenSequentialPacket" => Some(Refusal {
            severity: Severity::Error,
            why: "is not supported yet",
            instead: Some("use 'ListenStream=' or 'ListenDatagram='"),
        }),
        "ListenFIFO" | "ListenSpecial" | "ListenNetlink" | "ListenMessageQueue" | "ListenUSBFunction" => {
            Some(Refusal {
                severity: Severity::Error,
                why: "is no socket that a container can be given",
                instead: Some("use 'ListenStream=' or 'ListenDatagram='"),
            })
        }
        _ => None,
    }
}

/// systemd's words for no.
fn is_no(value: &str) -> bool {
    ["0", "no", "n", "false", "f", "off"]
        .iter()
        .any(|no| value.trim().eq_ignore_ascii_case(no))
}
