//! `start`: lets a container's process become its program.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, bail};

use crate::oci::channel;
use crate::oci::config::{Config, Hooks};
use crate::oci::container::{Directory, Record, Status};
use crate::oci::hook;

/// Starts the container. Returns what went wrong afterwards.
///
/// # Errors
/// It does not wait to be started, or its program cannot be executed.
pub fn start(directory: &Directory) -> Result<Vec<anyhow::Error>> {
    let locked = directory.lock()?;
    let record = directory.read()?;
    match directory.status(&record) {
        Status::Created => {}
        status => bail!(
            "container '{}' is {}, and only one that is created can be started",
            directory.id,
            status.name()
        ),
    }
    let config: Config = serde_json::from_slice(&directory.config()?).context("reading its config.json")?;
    let hooks = config.hooks.unwrap_or_default();
    if config.process.is_none() {
        bail!("container '{}' has no 'process' in its config.json", directory.id);
    }
    let connection = connect(directory).context("reaching the container's process")?;
    // From now on it counts as running.
    fs::remove_file(directory.start()).context("removing the socket")?;
    channel::await_execution(connection.as_fd())?;
    drop(locked);
    Ok(after(&hooks, directory, &record))
}

/// The hooks that follow; a failure of theirs changes nothing.
#[must_use]
pub fn after(hooks: &Hooks, directory: &Directory, record: &Record) -> Vec<anyhow::Error> {
    let state = directory.state(record, Status::Running);
    hook::run_all(hooks.poststart.as_deref(), "poststart", &state)
}

fn connect(directory: &Directory) -> Result<OwnedFd> {
    let opened = File::open(&directory.path)?;
    let path = format!("/proc/self/fd/{}/start", opened.as_raw_fd());
    Ok(UnixStream::connect(path)?.into())
}
