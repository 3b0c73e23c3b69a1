//! Runs hooks: programs that the bundle names for a moment of the container's life (runtime-spec config.md, "POSIX-platform Hooks").
//!
//! Each gets the container's state on its standard input and has the time that its `timeout` says. They run one after the other, and the first
//! that fails ends it. One that names no environment has that of its surroundings, as the engines' hooks expect.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use serde_json::Value;

use crate::oci::config::Hook;
use crate::sys::process::{pidfd_open, send_signal};

/// Where a hook's environment comes from if it has none of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings<'a> {
    /// Whoever called the runtime.
    Caller,
    /// The payload.
    Payload(&'a [String]),
}

/// Runs `hooks`, which are of the kind `name`.
///
/// # Errors
/// One cannot be executed, fails, or takes too long.
pub fn run(hooks: Option<&[Hook]>, name: &str, state: &Value) -> Result<()> {
    run_in(Surroundings::Caller, hooks, name, state)
}

/// The same in other surroundings.
///
/// # Errors
/// The same.
pub fn run_in(surroundings: Surroundings<'_>, hooks: Option<&[Hook]>, name: &str, state: &Value) -> Result<()> {
    for hook in hooks.unwrap_or_default() {
        let done = one(hook, surroundings, state);
        done.with_context(|| format!("running the {name} hook '{}'", hook.path.display()))?;
    }
    Ok(())
}

/// The same where nothing can be done about a failure: each runs, and the failures are returned.
#[must_use]
pub fn run_all(hooks: Option<&[Hook]>, name: &str, state: &Value) -> Vec<anyhow::Error> {
    let run = |hook: &Hook| run(Some(std::slice::from_ref(hook)), name, state).err();
    hooks.unwrap_or_default().iter().filter_map(run).collect()
}

fn one(hook: &Hook, surroundings: Surroundings<'_>, state: &Value) -> Result<()> {
    let mut command = Command::new(&hook.path);
    // The first of the arguments is the name that the program is called by.
    if let Some((name, arguments)) = hook.args.as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(arguments);
    }
    let variables = match (&hook.env, surroundings) {
        (Some(own), _) => Some(own.as_slice()),
        (None, Surroundings::Payload(payloads)) => Some(payloads),
        (None, Surroundings::Caller) => None,
    };
    if let Some(variables) = variables {
        let variables = variables.iter().filter_map(|variable| variable.split_once('='));
        command.env_clear().envs(variables);
    }
    command.stdin(Stdio::piped());
    // A group of its own, which can be ended as a whole.
    command.process_group(0);
    let mut child = command.spawn().context("executing it")?;
    if let Some(mut input) = child.stdin.take() {
        // A hook need not read it.
        let _ = input.write_all(state.to_string().as_bytes());
    }
    let limit = hook
        .timeout
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs);
    let status = match limit {
        None => child.wait()?,
        Some(limit) => wait(&mut child, limit)?,
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => bail!("it exited with status {code}"),
        (None, signal) => bail!("signal {} killed it", signal.unwrap_or_default()),
    }
}

/// Waits as long as `limit`, and kills it then.
fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let end = Instant::now() + limit;
    let process = pidfd_open(Pid::from_raw(child.id().cast_signed()))?;
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        let patience = PollTimeout::try_from(rest + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], patience);
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= end {
            send_signal(Pid::from_raw(-child.id().cast_signed()), libc::SIGKILL);
            let _ = child.wait();
            ensure!(false, "it took longer than its timeout of {} s", limit.as_secs());
        }
    }
}
