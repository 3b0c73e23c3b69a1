//! How a container comes to what is new: another image, another configuration, and what one run leaves to the next.

use serde::{Deserialize, Serialize};

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Renewal {
    /// `AutoUpdate=`. Only the command line reads it.
    #[serde(skip)]
    pub auto_update: Option<AutoUpdate>,
    /// `ReloadSignal=` or `ReloadCmd=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reload>,
    /// Whether the program may leave descriptors to its next run.
    #[serde(skip_serializing_if = "DescriptorStore::is_closed")]
    pub descriptor_store: DescriptorStore,
}

impl Renewal {
    /// Whether nobody but the command line has anything of it.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.reload.is_none() && self.descriptor_store.is_closed()
    }
}

/// `AutoUpdate=`: from where `coracle update` takes a new image when it is called without names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutoUpdate {
    /// From the store: what the name leads to by then.
    Local,
    /// From the image's registry.
    Registry,
}

/// `ReloadSignal=` or `ReloadCmd=`: what `systemctl reload` does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reload {
    /// The program is sent this signal.
    Signal(i32),
    /// This command runs in the container, as the program's user.
    Command(Vec<String>),
}

/// Whether the program may leave descriptors to its next run (`FileDescriptorStoreMax=` in `[Service]`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DescriptorStore {
    /// It may not.
    #[default]
    Closed,
    /// It may, since it speaks to systemd (`Notify=yes`).
    Open,
}

impl DescriptorStore {
    /// Whether nothing is to be said of it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        *self == Self::Closed
    }
}
