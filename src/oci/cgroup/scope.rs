//! A container's scope, when systemd owns its control group (systemd.scope(5)).
//!
//! systemd makes the group and knows it: it is stopped with its slice, shown by systemctl(1), and its limits are properties that survive a
//! reload. What is below the group is ours (`Delegate=`).

use anyhow::Result;
use nix::unistd::Pid;

use crate::oci::config::Resources;

/// Makes the scope `unit` in `slice` around process `pid`.
///
/// # Errors
/// systemd cannot be reached, or refuses it.
pub fn start(_slice: &str, _unit: &str, _pid: Pid, _resources: &Resources) -> Result<()> {
    anyhow::bail!("to come")
}

/// Lets systemd forget a scope that has failed, or stops one that is left.
pub fn forget(_unit: &str) {}

/// Changes its limits.
///
/// # Errors
/// systemd cannot be reached, or refuses them.
pub fn update(_unit: &str, _resources: &Resources) -> Result<()> {
    anyhow::bail!("to come")
}
