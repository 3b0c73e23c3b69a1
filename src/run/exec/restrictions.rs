//! What the unit of a container has taken from all its processes before the shim was one of them: filters of system calls.
//!
//! A definition cannot ask systemd for such things ([`crate::definition::keys::refused`]), but a drop-in of the unit can, or one for all services
//! (systemd.unit(5)). The payload inherits them. A program of `coracle exec` is not born of the unit, and no process can be given another one's
//! filters; so it is not started where it would have more rights than the payload. Of capabilities there is nothing to be said: a payload
//! that cannot have those that its definition gives it does not start.

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;

use crate::run::entrance::Status;

/// Makes sure that the container's init, a process of `unit`, is under no filter but those of the service manager that has started it.
///
/// # Errors
/// It is under another one, or has just ended.
pub fn refuse(init: Pid, unit: &str) -> Result<()> {
    let status = Status::of(init).context("looking at the container's init")?;
    let manager = status.field("PPid:").and_then(|pid| pid.parse().ok());
    let manager = manager.context("the container's init has no parent")?;
    let manager = Status::of(Pid::from_raw(manager)).context("looking at the service manager")?;
    ensure!(
        filters(&status) <= filters(&manager),
        "'{unit}' was started under a filter of system calls of its own (SystemCallFilter= and its kind, see 'systemctl cat {unit}'), which no \
         other program can be put under: say it by 'SeccompProfile' in [Container] instead, and start the container anew"
    );
    Ok(())
}

/// How many filters of system calls a process is under.
fn filters(status: &Status) -> u32 {
    let filters = status.field("Seccomp_filters:");
    filters.and_then(|filters| filters.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::refuse;

    #[test]
    fn what_a_process_has_from_its_parent_is_not_its_own() {
        // This very process has no filter that its parent does not have.
        refuse(nix::unistd::getpid(), "test.service").expect("no filter");
    }
}
