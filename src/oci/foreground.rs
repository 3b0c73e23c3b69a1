//! `run`: a container from its making to its removal, with this process in front of it.

use std::mem;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::oci::arguments::{self, Arguments};
use crate::oci::config::Hooks;
use crate::oci::create::{Request, Start, Terminal, create};
use crate::oci::end::{Force, delete, remove};
use crate::oci::{finish, relay, request, start};
use crate::sys::process::{Outcome, send_signal, wait_for};

/// Runs a container, and ends as it ended.
///
/// # Errors
/// It could not be made or started; nothing is left of it then.
pub fn run(arguments: &Arguments, options: &arguments::Run, warn: &dyn Fn(Vec<anyhow::Error>)) -> Result<u8> {
    let mut request: Request = request(arguments, &options.create, Start::Now)?;
    if !options.detach {
        request.terminal = Terminal::Caller;
    }
    let mut made = create(request)?;
    warn(mem::take(&mut made.warnings));
    finish(&made, options.create.pid_file.as_deref())?;
    if let Err(error) = made.channel.await_execution() {
        let _ = wait_for(made.pid);
        warn(delete(&made.directory, Force::Yes)?);
        return Err(error);
    }
    let hooks: &Hooks = &made.plan.hooks;
    warn(start::after(hooks, &made.directory, &made.record));
    if options.detach {
        return Ok(0);
    }
    let outcome = attend(made.pid, made.shown.as_ref())?;
    if !options.keep {
        warn(remove(&made.directory, &made.record, hooks.poststop.as_deref())?);
    }
    Ok(u8::try_from(outcome.status()).unwrap_or(u8::MAX))
}

/// Passes signals on, and the terminal if there is one, until `pid` has ended.
///
/// # Errors
/// What the kernel says of the waiting.
pub fn attend(pid: Pid, terminal: Option<&OwnedFd>) -> Result<Outcome> {
    let everything = SigSet::all();
    everything.thread_block().context("blocking signals")?;
    let signals = SignalFd::with_flags(&everything, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut relay = terminal
        .map(|socket| relay::Relay::receive(socket.as_fd()))
        .transpose()?;
    // It may have ended before its end could be signalled to us.
    let mut outcome = ended(pid)?;
    while outcome.is_none() {
        relay::wait(&signals, relay.as_mut())?;
        while let Ok(Some(information)) = signals.read_signal() {
            match information.ssi_signo.cast_signed() {
                libc::SIGCHLD if outcome.is_none() => outcome = ended(pid)?,
                libc::SIGCHLD => {}
                libc::SIGWINCH => relay.iter().for_each(relay::Relay::resize),
                // Of the terminal's own the payload hears by itself.
                libc::SIGTTIN | libc::SIGTTOU | libc::SIGPIPE => {}
                number if outcome.is_none() => send_signal(pid, number),
                _ => {}
            }
        }
    }
    if let Some(relay) = &mut relay {
        relay.finish();
    }
    outcome.context("the container's end was missed")
}

/// How `pid` has ended, if it has.
fn ended(pid: Pid) -> Result<Option<Outcome>> {
    Ok(crate::sys::process::has_ended(pid)?)
}
