//! What a container is called to the kernel's security modules: AppArmor's profile, SELinux's type and level.

use serde::{Deserialize, Serialize};

/// Which module of the host confines programs by labels. Few hosts have more than one, and no kernel uses two of these at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecurityModule {
    /// None.
    #[default]
    None,
    /// AppArmor: a program runs under a profile.
    AppArmor,
    /// SELinux: a program and its files have contexts.
    Selinux,
}

impl SecurityModule {
    /// Whether there is none, which need not be written down.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// The keys that set labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Labels {
    /// `AppArmor=`.
    pub app_armor: AppArmor,
    /// `SecurityLabelType=`: the type of the processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux_type: Option<String>,
    /// `SecurityLabelLevel=`: the level, or range of levels, of processes and files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux_level: Option<String>,
    /// `SecurityLabelFileType=`: the type of the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux_file_type: Option<String>,
    /// `SecurityLabelDisable=`: the three above do not count.
    pub selinux_disabled: bool,
}

impl Labels {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `AppArmor=`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppArmor {
    /// The profile that Coracle brings, where it is loaded.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// The profile of this name, which must be loaded.
    Profile(String),
}

/// `AbstractSockets=`: whose abstract Unix sockets a program on the host's network reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AbstractSockets {
    /// The container's own.
    #[default]
    Own,
    /// Everybody's.
    Host,
}

impl AbstractSockets {
    /// Whether it is what holds where nothing is said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::Own
    }
}
