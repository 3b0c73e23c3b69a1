//! `ExecReload=`: has a container read its configuration again, by a signal or by a command in it.
//!
//! Both go to the main process that systemd names. A signal is passed on by init; a command goes into the container as `coracle exec` does.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

use crate::definition::renewal::Reload;
use crate::plan::specifier::Specifiers;
use crate::run::exec::begin;
use crate::run::exec::request::{Client, Request};
use crate::run::failure::{CONFIG, Failure, OrFail as _};
use crate::run::start::parse;
use crate::sys::process::{pidfd_open, send_signal};

/// Sends the signal `number` to the init `pid`.
///
/// # Errors
/// There is no such process.
pub fn signal(pid: &str, number: &str) -> Result<(), Failure> {
    let find = || -> Result<(Pid, i32)> {
        let pid = main(pid)?;
        let number = number.parse().context("reading the signal's number")?;
        Ok((pid, number))
    };
    let (pid, number) = find().or_fail(CONFIG)?;
    send_signal(pid, number);
    Ok(())
}

/// Runs `ReloadCmd=` of the definition `resolved` in the container of `unit`, whose init is `pid`. Returns its exit status.
///
/// # Errors
/// The container cannot be entered.
pub fn reload(resolved: &str, unit: &str, pid: &str) -> Result<i32, Failure> {
    let words = request(resolved, unit, pid).or_fail(CONFIG)?.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    begin(&words)
}

fn request(resolved: &str, unit: &str, pid: &str) -> Result<Request> {
    let path = Path::new(resolved);
    let text = fs::read_to_string(path).with_context(|| format!("reading '{resolved}'"))?;
    let Some(Reload::Command(command)) = parse(&text, path)?.container.renewal.reload else {
        bail!("the definition has no 'ReloadCmd' any more: reload systemd");
    };
    let specifiers = Specifiers::of_unit(unit);
    let command = command
        .iter()
        .map(|word| specifiers.expand(word).context("expanding 'ReloadCmd'"));
    let init = main(pid)?;
    let group = fs::read_to_string(format!("/proc/{init}/cgroup")).context("the container has just ended")?;
    let group = group.lines().find_map(|line| line.strip_prefix("0::"));
    let group = group.context("there is no control group")?.trim_start_matches('/');
    // Our own, which systemd has set as it did the container's.
    let mask = umask(Mode::empty());
    umask(mask);
    Ok(Request {
        unit: unit.to_owned(),
        resolved: path.to_owned(),
        init,
        group: Path::new("/sys/fs/cgroup").join(group),
        mask,
        client: Client::Waits,
        terminal: None,
        user: None,
        directory: None,
        environment: Vec::new(),
        command: command.collect::<Result<_>>()?,
    })
}

/// `$MAINPID`.
fn main(pid: &str) -> Result<Pid> {
    let number = pid.parse().ok().filter(|pid| *pid > 1);
    let pid = Pid::from_raw(number.context("systemd names no main process")?);
    pidfd_open(pid).context("the container has just ended")?;
    Ok(pid)
}
