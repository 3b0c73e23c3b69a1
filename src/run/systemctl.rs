//! What systemd says of a unit, asked by systemctl(1): a start and the cleaning up after one have no D-Bus of their own, and seldom ask.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use nix::unistd::geteuid;

/// A property of `unit` as systemctl(1) shows it, of the manager of the user that this process runs as; root's is the system's.
///
/// # Errors
/// systemctl(1) cannot be run.
pub fn property(unit: &str, name: &str) -> Result<String> {
    let manager = if geteuid().is_root() { "--system" } else { "--user" };
    let output = Command::new("systemctl")
        .args([manager, "show", "--value", "--property", name, "--", unit])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("running 'systemctl'")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
