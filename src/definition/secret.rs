//! `Secret=`: credentials of the service that the program gets, as files or as variables (systemd.exec(5), "Credentials").
//!
//! Only names stand in a definition. The content is systemd's to find, decrypt and keep, and the shim's to hand over at the start.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One `Secret=NAME[,OPTION=VALUE]…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The credential's name.
    pub name: String,
    /// How the program gets it.
    pub form: Form,
}

/// How a program gets a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// `type=mount`: a file in memory.
    File {
        /// `target=`: where, absolute.
        target: PathBuf,
        /// `uid=`: its owner, the program's user where it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<u32>,
        /// `gid=`: its group, likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<u32>,
        /// `mode=`.
        mode: u32,
    },
    /// `type=env`: a variable of this name.
    Variable(String),
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.form {
            Form::File { target, .. } => write!(f, "{} at {}", self.name, target.display()),
            Form::Variable(variable) => write!(f, "{} in ${variable}", self.name),
        }
    }
}

/// Where secrets are, unless `target=` says something else.
pub const DIRECTORY: &str = "/run/secrets";

/// Whether a credential can have this name and its file this name too.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.len() <= 200 && !name.starts_with('.') && !name.is_empty() && name.bytes().all(is_plain)
}
