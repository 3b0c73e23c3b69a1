//! What systemd says of a unit, asked by systemctl(1): a start and the cleaning up after one have no D-Bus of their own, and seldom ask.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use nix::unistd::geteuid;

/// Properties of `unit` as systemctl(1) shows them, all of one moment, of the manager of the user that this process runs as; root's is the
/// system's. One that the unit does not have is empty.
///
/// # Errors
/// systemctl(1) cannot be run.
pub fn properties<const N: usize>(unit: &str, names: [&str; N]) -> Result<[String; N]> {
    let manager = if geteuid().is_root() { "--system" } else { "--user" };
    let output = Command::new("systemctl")
        .args([manager, "show", "--property", &names.join(","), "--", unit])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("running 'systemctl'")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |name| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Ok(names.map(|name| value(name).unwrap_or_default().to_owned()))
}
