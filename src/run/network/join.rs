//! Joins a network namespace that is another's: `Network = "NAME.container"` and `Network = "ns:PATH"`.
//!
//! The shim joins it before it makes the container's first process, which is born into it: that one has no rights over a namespace that
//! another user namespace owns. So the two share their interfaces, addresses and ports, and neither identities nor anything else.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};
use nix::unistd::Pid;

use crate::definition::network::Network;
use crate::run::systemctl::properties;
use crate::sys::process::pidfd_open;

/// From which port on programs need no rights over a network namespace (ip(7)): in a container's own they have them all.
const PORTS: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// Moves this process into the network namespace that is named; nothing is done where none is.
///
/// # Errors
/// The container does not run, or there is no such namespace.
pub fn join(network: &Network) -> Result<()> {
    match network {
        Network::None | Network::Host | Network::Pasta | Network::Bridges(_) => Ok(()),
        Network::Container(joined) => {
            let process = main_process(&joined.unit)?;
            setns(process.as_fd(), CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("joining the network namespace of '{}'", joined.unit))?;
            fs::write(PORTS, "0").with_context(|| format!("writing '{PORTS}'"))
        }
        Network::Path(path) => {
            join_path(path).with_context(|| format!("joining the network namespace '{}'", path.display()))
        }
    }
}

fn join_path(path: &Path) -> Result<()> {
    let namespace = File::open(path)?;
    setns(namespace, CloneFlags::CLONE_NEWNET).context("it is no network namespace")?;
    Ok(())
}

/// The main process of a service, as systemd knows it. It has not ended when this returns, or it is of no use any more.
fn main_process(unit: &str) -> Result<OwnedFd> {
    let [pid] = properties(unit, ["MainPID"])?;
    let pid: i32 = pid.parse().unwrap_or(0);
    if pid <= 0 {
        bail!("'{unit}', whose network this container shares, does not run: see 'systemctl status {unit}'");
    }
    let process = pidfd_open(Pid::from_raw(pid)).with_context(|| format!("opening the main process of '{unit}'"))?;
    // The number may have become another's in the meantime; what is open now stays what it is.
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let is_of_unit = groups.lines().any(|line| line.split('/').any(|part| part == unit));
    ensure!(
        is_of_unit,
        "'{unit}', whose network this container shares, has just ended"
    );
    Ok(process)
}
