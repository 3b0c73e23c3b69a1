//! The keys of `[Volume]` in `NAME.volume.toml`: all of Quadlet's, sorted by name.

use crate::definition::diagnostic::Severity;
use crate::definition::keys::Kind::{Boolean, Command, Map, Path, Text};
use crate::definition::keys::Repeat::{Many, Once};
use crate::definition::keys::{Key, Kind, Repeat, Section};

const fn key(name: &'static str, kind: Kind, repeat: Repeat, meaning: &'static str) -> Key {
    Key::new(Section::Volume, name, kind, repeat, meaning)
}

const NO_PODMAN: &str = "Podman is not run";

/// Sorted by name, so that it can be searched.
pub(super) const KEYS: &[Key] = &[
    key(
        "ContainersConfModule",
        Path,
        Many,
        "Loads a containers.conf(5) module in Podman.",
    )
    .never(Severity::Warning, "Podman's configuration is not read", ""),
    key(
        "Copy",
        Boolean,
        Once,
        "Whether a new volume gets the files that the image has in its place; true where it is not said.",
    ),
    key(
        "Device",
        Text,
        Once,
        "What is mounted as the volume, by a mount unit: a block device, or a directory with Options = \"bind\".",
    ),
    key("Driver", Text, Once, "What makes the volume; only 'local'."),
    key(
        "GID",
        Text,
        Once,
        "The number of the volume's group, as containers see it.",
    ),
    key(
        "GlobalArgs",
        Command,
        Many,
        "Passes arguments between 'podman' and its subcommand.",
    )
    .never(Severity::Warning, NO_PODMAN, ""),
    key(
        "Group",
        Text,
        Once,
        "The number of the volume's group, as containers see it.",
    ),
    key("Image", Text, Once, "The image that the volume shows.")
        .refused("use Mount = \"type=image,source=IMAGE,target=PATH\" in the container"),
    key("Label", Map, Many, "Attaches labels, for people and tools."),
    key(
        "Options",
        Text,
        Once,
        "With Device or Type, the options of the mount, as in mount(8); nosuid and nodev always are among them.",
    ),
    key(
        "PodmanArgs",
        Command,
        Many,
        "Passes arguments to 'podman volume create'.",
    )
    .never(Severity::Error, NO_PODMAN, "use the keys that do what they did"),
    key(
        "ServiceName",
        Text,
        Once,
        "Names the service that makes the volume in Quadlet.",
    )
    .never(
        Severity::Warning,
        "there is no such service, a volume is made at the first start of a container that needs it",
        "",
    ),
    key(
        "Type",
        Text,
        Once,
        "The type of the file system on Device; tmpfs needs no device.",
    ),
    key(
        "UID",
        Text,
        Once,
        "The number of the volume's owner, as containers see it.",
    ),
    key(
        "User",
        Text,
        Once,
        "The number of the volume's owner, as containers see it.",
    ),
    key(
        "VolumeName",
        Text,
        Once,
        "The volume's name; the file's where it is not said.",
    ),
];
