//! A seccomp agent: a program that answers the calls which a filter asks about (`SCMP_ACT_NOTIFY`; runtime-spec config-linux.md, "The Container
//! Process State").
//!
//! It is told which process it answers for, by the number that the caller knows it by. The process itself does not: it has another one inside. So it
//! looks itself up in the caller's own procfs, which it has open no longer than that takes.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::fcntl::readlinkat;
use serde_json::{Value, json};

use crate::oci::console;
use crate::oci::container::VERSION;
use crate::sys::socket;

/// The way to an agent.
#[derive(Debug)]
pub struct Agent {
    socket: OwnedFd,
    processes: Option<OwnedFd>,
    pid: i32,
}

impl Agent {
    /// Connects to the agent that listens at `path`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn reach(path: &Path) -> Result<Self> {
        let processes = File::open("/proc").context("opening '/proc'")?;
        Ok(Self {
            socket: console::connect(path).context("reaching the agent of 'linux.seccomp' ('listenerPath')")?,
            processes: Some(processes.into()),
            pid: 0,
        })
    }

    /// Takes this process for the one that the agent answers for.
    ///
    /// # Errors
    /// What readlink(2) says.
    pub fn take_up(&mut self) -> Result<()> {
        if let Some(processes) = self.processes.take() {
            let own = readlinkat(&processes, "self").context("looking up the process's number")?;
            self.pid = own
                .to_string_lossy()
                .parse()
                .context("looking up the process's number")?;
        }
        Ok(())
    }

    /// The process's number.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }
}

impl AsFd for Agent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Gives the `agent` the listener of the filter of process `pid`, in the container whose state is `state`.
///
/// # Errors
/// The agent is gone.
pub fn entrust(agent: BorrowedFd<'_>, listener: BorrowedFd<'_>, pid: i32, metadata: &str, state: &Value) -> Result<()> {
    let mut state = state.clone();
    // A container that is only just made has no other process.
    if let Some(number) = state.get_mut("pid").filter(|number| **number == 0) {
        *number = pid.into();
    }
    let told = json!({
        "ociVersion": VERSION,
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": metadata,
        "state": state,
    });
    socket::send(agent, told.to_string().as_bytes(), &[listener]).context("sending the filter's listener to its agent")
}
