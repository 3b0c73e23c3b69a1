//! Both ends of readiness: what init tells systemd, and what it lets the payload tell.
//!
//! A payload whose root is the host's could name any process of the host as its main process, and `systemctl stop` would kill that one. So
//! the payload never reaches systemd's socket: it gets one of its own, and init passes on what concerns nobody but the payload.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::plan::process::NOTIFY_SOCKET;

/// Connects to the socket in `$NOTIFY_SOCKET`, if there is one.
///
/// # Errors
/// What connect(2) says.
pub fn connect(environment: &[(String, String)]) -> io::Result<Option<UnixDatagram>> {
    let Some((_, path)) = environment.iter().find(|(name, _)| name == "NOTIFY_SOCKET") else {
        return Ok(None);
    };
    let socket = UnixDatagram::unbound()?;
    match path.strip_prefix('@') {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(path)?,
    }
    socket.set_nonblocking(true)?;
    Ok(Some(socket))
}

/// The payload's notify socket, inside the container.
#[derive(Debug)]
pub struct Relay(UnixDatagram);

/// What of a message is passed on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// The lines for systemd, each with its end.
    pub lines: String,
    /// `READY=1` was among them.
    pub ready: bool,
}

impl Relay {
    /// Makes the socket. Every process of the container may send to it.
    ///
    /// # Errors
    /// The directory or the socket cannot be made.
    pub fn create() -> Result<Self> {
        let directory = Path::new(NOTIFY_SOCKET).parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory).with_context(|| format!("creating '{}'", directory.display()))?;
        let socket = UnixDatagram::bind(NOTIFY_SOCKET).with_context(|| format!("binding '{NOTIFY_SOCKET}'"))?;
        fs::set_permissions(NOTIFY_SOCKET, fs::Permissions::from_mode(0o666))?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// The next message, filtered; `None` if there is none.
    #[must_use]
    pub fn receive(&self) -> Option<Relayed> {
        let mut buffer = [0_u8; 4096];
        let length = self.0.recv(&mut buffer).ok()?;
        Some(filter(&String::from_utf8_lossy(buffer.get(..length)?)))
    }
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Fields of sd_notify(3) that only speak of the payload's own state. `MAINPID=`, `FDSTORE=` and all others are not passed on.
const ALLOWED: [&str; 9] = [
    "READY",
    "RELOADING",
    "STOPPING",
    "MONOTONIC_USEC",
    "STATUS",
    "ERRNO",
    "WATCHDOG",
    "WATCHDOG_USEC",
    "EXTEND_TIMEOUT_USEC",
];

fn filter(message: &str) -> Relayed {
    let mut relayed = Relayed::default();
    for line in message.lines() {
        let Some((field, value)) = line.split_once('=') else {
            continue;
        };
        if ALLOWED.contains(&field) {
            relayed.ready |= field == "READY" && value == "1";
            relayed.lines.push_str(line);
            relayed.lines.push('\n');
        }
    }
    relayed
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_payload_cannot_name_another_main_process() {
        let relayed = filter("MAINPID=1\nREADY=1\nFDSTORE=1\nSTATUS=up\nMAINPIDFDID=3\nBUSERROR=x\nREADY\n");
        assert_eq!(relayed.lines, "READY=1\nSTATUS=up\n");
        assert!(relayed.ready);
        assert!(!filter("READY=0\n").ready);
    }
}
