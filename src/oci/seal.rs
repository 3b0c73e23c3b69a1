//! Seals this program before it comes near a container's processes.
//!
//! The payload of a bundle is often the host's own root, without a user namespace, and a process on its way to a program is a copy of this one.
//! It cannot be looked into (`PR_SET_DUMPABLE`); but a path that leads to a program one moment and to `/proc/self/exe` the next may have it
//! executed inside as a program of the container, and whoever finds it there by `/proc/PID/exe` could write to it (CVE-2019-5736). So it is executed
//! anew through a read-only mount of its file wherever others are already in its PID namespace to be.

use std::ffi::{OsStr, OsString};

use anyhow::{Context as _, Result};

use crate::sys::mount::execute_read_only;

/// By this name it knows that it is sealed.
const SEALED: &str = "coracle-oci-sealed";

/// Goes on only if this program is sealed, and begins anew as such if not.
///
/// # Errors
/// What the kernel says of the mount.
pub fn seal() -> Result<()> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.first_mut() {
        Some(name) if name.as_os_str() != OsStr::new(SEALED) => *name = SEALED.into(),
        _ => return Ok(()),
    }
    Err(execute_read_only(&arguments)).context("executing coracle-oci through a read-only mount")
}
