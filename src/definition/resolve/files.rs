//! `Mask=`, `Unmask=`, `Timezone=` and `EnvironmentFile=`: which files the container does not see, and which of the host's it does.

use std::path::{Component, Path};

use crate::definition::EnvironmentFile;
use crate::definition::keys::Key;
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::resolve::values::is_absolute;
use crate::definition::setting::Value;

impl Resolver<'_, '_> {
    /// Paths with colons between them.
    pub(super) fn masks(&mut self, key: &Key, value: &Value<'_>) -> Vec<String> {
        let Some(text) = self.text(key, value) else {
            return Vec::new();
        };
        let mut masks = Vec::new();
        for path in text.split(':') {
            if let ("Unmask", "ALL" | "all") = (key.name, path) {
                masks.push("ALL".to_owned());
                continue;
            }
            // Without /proc of its own, a program could not be told from the one that starts containers.
            let is_whole = matches!(path.trim_end_matches('/'), "" | "/proc");
            if !path.starts_with('/') || is_whole || has_parent(path) {
                let why =
                    format!("'{path}' cannot be hidden or shown: write paths from '/' on, with colons between them");
                self.impossible(key, value.span, why);
                continue;
            }
            let path: std::path::PathBuf = Path::new(path).components().collect();
            masks.push(path.to_string_lossy().into_owned());
        }
        masks
    }

    /// `local`, or a zone below /usr/share/zoneinfo.
    pub(super) fn time_zone(&mut self, key: &Key, value: &Value<'_>) -> Option<String> {
        let text = self.text(key, value)?;
        let is_part = |part: &str| {
            !part.is_empty()
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-_.".contains(&b))
        };
        if text.len() <= 255 && text.split('/').all(is_part) {
            return Some(text.into_owned());
        }
        let why = format!("'{text}' is no time zone, write 'local' or for example Europe/Berlin");
        self.impossible(key, value.span, why);
        None
    }

    /// A file of the host, which need not be there if a `-` stands before it.
    pub(super) fn environment_file(&mut self, key: &Key, text: &str, span: Span) -> Option<EnvironmentFile> {
        let (path, optional) = match text.strip_prefix('-') {
            Some(path) => (path, true),
            None => (text, false),
        };
        if path.is_empty() {
            self.impossible(key, span, "there is no path after '-'");
            return None;
        }
        let path = if is_absolute(path) {
            path.into()
        } else {
            self.directory.join(path)
        };
        Some(EnvironmentFile { path, optional })
    }
}

fn has_parent(path: &str) -> bool {
    Path::new(path).components().any(|part| part == Component::ParentDir)
}
