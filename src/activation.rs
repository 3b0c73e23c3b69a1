//! Takes the sockets that systemd passed, and matches them with those that the definition declares.
//!
//! systemd leaves a service's sockets open as descriptors 3, 4, 5 … and describes them in `$LISTEN_FDS`, `$LISTEN_FDNAMES` and
//! `$LISTEN_PID` (sd_listen_fds(3)). Descriptors of several socket units come in an order that is not defined, so they are found by
//! name; those of one unit come in the order of its `Listen…=` lines.
//!
//! Nothing here opens, accepts on or closes a socket.

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Result, ensure};
use listenfd::ListenFd;
use nix::sys::stat::{SFlag, fstat};

use crate::definition::Socket;
use crate::sys::path::file_type;
use crate::sys::process::adopt;

/// A descriptor that systemd passed, with its name.
#[derive(Debug)]
pub struct Passed {
    /// From `$LISTEN_FDNAMES`.
    pub name: String,
    /// Close-on-exec, as listenfd leaves it; whoever hands it on undoes that knowingly.
    pub socket: OwnedFd,
}

/// Takes what systemd passed to this process. To be called once: afterwards the descriptors are somebody's own.
///
/// # Errors
/// `$LISTEN_FDNAMES` that do not fit `$LISTEN_FDS`, or a descriptor that is not open.
pub fn take(environment: &[(String, String)]) -> Result<Vec<Passed>> {
    let mut listen = ListenFd::from_env();
    let names = environment
        .iter()
        .find(|(name, _)| name == "LISTEN_FDNAMES")
        .map_or("", |(_, value)| value);
    let names: Vec<&str> = names.split(':').collect();
    ensure!(
        listen.len() == 0 || names.len() == listen.len(),
        "systemd passed {} sockets but {} names",
        listen.len(),
        names.len()
    );
    let mut passed = Vec::with_capacity(listen.len());
    for (index, name) in (0..listen.len()).zip(names) {
        if let Some(descriptor) = listen.take_raw_fd(index)? {
            passed.push(Passed {
                name: name.to_owned(),
                socket: adopt(descriptor)?,
            });
        }
    }
    Ok(passed)
}

/// What the names of descriptors begin with that the payload has left to this run: it has chosen the rest, and could choose a socket's.
pub const STORED: &str = "stored/";

/// Takes out what the payload has left: those that are sockets of units, and the others, under the payload's own names.
#[must_use]
pub fn without_stored(passed: Vec<Passed>) -> (Vec<Passed>, Vec<Passed>) {
    let mut stored = Vec::new();
    let mut sockets = Vec::new();
    for Passed { name, socket } in passed {
        match name.strip_prefix(STORED) {
            Some(own) => stored.push(Passed {
                name: own.to_owned(),
                socket,
            }),
            None => sockets.push(Passed { name, socket }),
        }
    }
    (sockets, stored)
}

/// Puts the passed sockets into the order of the definition.
///
/// # Errors
/// A declared socket that was not passed: the service was started without its socket unit, or the unit has other addresses by now.
pub fn in_order(declared: &[Socket], mut passed: Vec<Passed>) -> Result<Vec<OwnedFd>> {
    let mut ordered = Vec::with_capacity(passed.len());
    for socket in declared {
        let (mine, others): (Vec<_>, Vec<_>) = passed.into_iter().partition(|passed| passed.name == socket.name);
        passed = others;
        ensure!(
            mine.len() == socket.listen.len(),
            "systemd passed {} of the {} sockets of '{}.socket': run 'systemctl daemon-reload' and 'systemctl restart {}.socket'",
            mine.len(),
            socket.listen.len(),
            socket.unit,
            socket.unit
        );
        ordered.extend(mine.into_iter().map(|passed| passed.socket));
    }
    Ok(ordered)
}

/// The connection that an instance was started for, unless it is the standard input.
///
/// # Errors
/// There is none: somebody else has started the service.
pub fn connection(passed: Vec<Passed>, standard_input: BorrowedFd<'_>) -> Result<Vec<OwnedFd>> {
    ensure!(
        passed.len() == 1 || (passed.is_empty() && is_socket(standard_input)),
        "there is no connection to serve: this container is started by its socket alone"
    );
    Ok(passed.into_iter().map(|passed| passed.socket).collect())
}

fn is_socket(file: BorrowedFd<'_>) -> bool {
    fstat(file).is_ok_and(|status| file_type(&status) == SFlag::S_IFSOCK)
}
