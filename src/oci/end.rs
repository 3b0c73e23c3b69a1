//! `kill` and `delete`: the end of a container.

use std::os::fd::AsFd as _;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, poll};

use crate::oci::config::{Config, Hook};
use crate::oci::container::{Directory, Record, Status};
use crate::oci::{hook, unmounting};
use crate::plan::signal;
use crate::sys::process::{pidfd_open, send_signal};

/// Whom a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The container's process.
    First,
    /// All of its processes.
    All,
}

/// Sends a signal.
///
/// # Errors
/// The container has ended, or has no such signal.
pub fn kill(directory: &Directory, name: &str, whom: Whom) -> Result<()> {
    let number = signal::parse(name)?;
    let record = directory.read()?;
    if whom == Whom::All {
        // Others may be left where the first was not the first of a namespace.
        record.cgroup.signal(number);
        return Ok(());
    }
    let Some(pid) = record.process() else {
        bail!("container '{}' is not running", directory.id)
    };
    // Whoever kills goes on as if it were dead, and it is, a moment later. One that takes longer stands in the kernel.
    let process = (number == libc::SIGKILL).then(|| pidfd_open(pid).ok()).flatten();
    send_signal(pid, number);
    if let Some(process) = process {
        let _ = poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], DYING);
    }
    Ok(())
}

/// How long a container's process may take to die before `kill` returns, in milliseconds: much longer than it takes where all processors are busy.
const DYING: u16 = 1000;

/// How much is asked before a container is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// It must have stopped.
    No,
    /// It is killed, and need not be there.
    Yes,
}

/// Removes a container. Returns what went wrong with its hooks.
///
/// # Errors
/// It runs, or does not exist, unless it is forced; or it cannot be removed.
pub fn delete(directory: &Directory, force: Force) -> Result<Vec<anyhow::Error>> {
    if force == Force::Yes && !directory.path.exists() {
        // Its maker may have been killed between the directory of all and its own.
        return directory.remove().map(|()| Vec::new());
    }
    let _locked = directory.lock()?;
    let record = match directory.read() {
        Ok(record) => record,
        // Its maker was killed before it could write anything down.
        Err(_) if force == Force::Yes => return directory.remove().map(|()| Vec::new()),
        Err(error) => return Err(error),
    };
    let status = directory.status(&record);
    if status != Status::Stopped {
        ensure!(
            force == Force::Yes,
            "container '{}' is {}, and only one that has stopped can be deleted without --force",
            directory.id,
            status.name()
        );
        stop(&record);
    }
    let hooks = directory
        .config()
        .ok()
        .and_then(|text| serde_json::from_slice::<Config>(&text).ok()?.hooks);
    let hooks = hooks.and_then(|hooks| hooks.poststop);
    take_away(directory, &record, hooks.as_deref())
}

/// Removes a container whose process has ended, by who has made it and knows what is written of it. Returns what went wrong with its hooks.
///
/// # Errors
/// It cannot be removed.
pub fn remove(directory: &Directory, record: &Record, hooks: Option<&[Hook]>) -> Result<Vec<anyhow::Error>> {
    // Somebody else may have removed it already.
    let Ok(_locked) = directory.lock() else {
        return Ok(Vec::new());
    };
    take_away(directory, record, hooks)
}

fn take_away(directory: &Directory, record: &Record, hooks: Option<&[Hook]>) -> Result<Vec<anyhow::Error>> {
    record.cgroup.remove()?;
    if record.has_host_mounts {
        unmounting::unmount(&record.rootfs, &directory.id)?;
    }
    let state = directory.state(record, Status::Stopped);
    // The specification has it after everything else, and a hook may look.
    directory.remove()?;
    Ok(hook::run_all(hooks, "poststop", &state))
}

/// Kills it and waits for the end, which is not ours to take in.
fn stop(record: &Record) {
    for _ in 0..500 {
        let Some(pid) = record.process() else { return };
        send_signal(pid, libc::SIGKILL);
        if record.cgroup.is_frozen() {
            let _ = record.cgroup.set("cgroup.freeze", "0");
        }
        sleep(Duration::from_millis(2));
    }
}
