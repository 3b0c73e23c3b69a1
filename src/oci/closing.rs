//! Hides what a bundle wants hidden, and makes read-only what is to be read only, where it exists (`maskedPaths`, `readonlyPaths`).
//!
//! What lies in `/proc` and `/sys` is looked up from there and through no link; other paths may lead through links of the image, inside its root.
//! They are covered by the same code as in every other container ([`crate::run::rootfs`]).

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::fcntl::OFlag;

use crate::run::rootfs::{Cover, below, existing, make_read_only};
use crate::sys::path::{Links, open_in_root};

/// The kernel's own.
const TOPS: [&str; 2] = ["/proc", "/sys"];

/// Closes the paths of `root`.
///
/// # Errors
/// What the kernel says of a mount, with the path it was for.
pub fn close_paths(root: BorrowedFd<'_>, masked: &[String], read_only: &[String], cover: &Cover) -> Result<()> {
    for top in TOPS {
        let mut hidden = masked.iter().filter_map(|path| below(top, path)).peekable();
        let mut fixed = read_only.iter().filter_map(|path| below(top, path)).peekable();
        if hidden.peek().is_none() && fixed.peek().is_none() {
            continue;
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let directory = open_in_root(root, Path::new(top), flags, Links::Refuse);
        let directory = directory.with_context(|| format!("opening '{top}'"))?;
        for path in hidden {
            hide(directory.as_fd(), path, Links::Refuse, cover).with_context(|| format!("masking '{top}/{path}'"))?;
        }
        for path in fixed {
            make_read_only(directory.as_fd(), Path::new(path), Links::Refuse)
                .with_context(|| format!("making '{top}/{path}' read-only"))?;
        }
    }
    let is_elsewhere = |path: &&String| TOPS.iter().all(|top| below(top, path).is_none());
    for path in masked.iter().filter(is_elsewhere) {
        hide(root, path, Links::Inside, cover).with_context(|| format!("masking '{path}'"))?;
    }
    for path in read_only.iter().filter(is_elsewhere) {
        make_read_only(root, Path::new(path), Links::Inside).with_context(|| format!("making '{path}' read-only"))?;
    }
    Ok(())
}

fn hide(root: BorrowedFd<'_>, path: &str, links: Links, cover: &Cover) -> Result<()> {
    existing(root, Path::new(path), links).and_then(|target| cover.hide(target))
}
