//! Which systemd will read the units, found out without running anything.
//!
//! The version decides only between two spellings of the same wish, and the older is always safe. systemd's programs share a library
//! whose file name carries the version: `libsystemd-shared-257.so`, `libsystemd-shared-257.5-1.fc42.so`.

use std::fs;
use std::path::{Path, PathBuf};

/// The oldest that is supported, and what is assumed where nothing is found.
pub const OLDEST: u32 = 252;

/// The newest systemd installed below `root`.
#[must_use]
pub fn find(root: &Path) -> u32 {
    let newest = directories(root)
        .iter()
        .flat_map(|directory| names(directory))
        .filter_map(|name| parse(&name))
        .max();
    newest.unwrap_or(OLDEST)
}

fn directories(root: &Path) -> Vec<PathBuf> {
    let lib = root.join("usr/lib");
    let mut directories = vec![lib.join("systemd"), root.join("usr/lib64/systemd")];
    // Debian keeps one directory an architecture.
    let multiarch = names(&lib).into_iter().filter(|name| name.contains("-linux-"));
    directories.extend(multiarch.map(|name| lib.join(name).join("systemd")));
    directories
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn parse(name: &str) -> Option<u32> {
    let rest = name.strip_prefix("libsystemd-shared-")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    rest.contains(".so").then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_version_is_in_the_name() {
        assert_eq!(parse("libsystemd-shared-252.so"), Some(252));
        assert_eq!(parse("libsystemd-shared-257.5-1.fc42.so"), Some(257));
        assert_eq!(parse("libsystemd-shared-.so"), None);
        assert_eq!(parse("libsystemd-core-257.so"), None);
    }
}
