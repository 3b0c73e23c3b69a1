//! Both ends of readiness: what init tells systemd, and what it lets the payload tell.
//!
//! A payload whose root is the host's could name any process of the host as its main process, and `systemctl stop` would kill that one. So
//! the payload never reaches systemd's socket: it gets one of its own, and init passes on what concerns nobody but the payload.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::definition::renewal::DescriptorStore;
use crate::plan::process::NOTIFY_SOCKET;
use crate::run::failure::NAMESPACE;
use crate::run::handover::Taker;
use crate::run::stored::{self, Wish};
use crate::sys::mount::open_place;
use crate::sys::path::{Links, make_directory_in_root};
use crate::sys::process::exit;
use crate::sys::socket;

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

/// Sends systemd `lines`, which it must not miss: waits while its queue is full.
pub fn send_surely(socket: &UnixDatagram, lines: &str) {
    for _ in 0..8 {
        match socket.send(lines.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], PATIENCE);
            }
            _ => return,
        }
    }
}

/// systemd, as the container speaks to it. It listens to nobody but the main process, so the first word waits until this is it; and if the
/// shim was killed before it has said so, the container is nobody's, and ends.
#[derive(Debug)]
pub struct Systemd {
    socket: Option<UnixDatagram>,
    shim: Taker,
    /// The two parts of the status text that systemd shows: how the container is called, where that is known, and what else there is to say.
    texts: RefCell<[String; 2]>,
}

impl Systemd {
    /// systemd behind its connected notify socket, if there is one, and the shim that introduces this process.
    #[must_use]
    pub fn new(socket: Option<UnixDatagram>, shim: Taker) -> Self {
        let texts = RefCell::default();
        Self { socket, shim, texts }
    }

    /// Makes this the main process.
    pub fn introduce(&self) {
        if !self.shim.become_main() {
            exit(NAMESPACE)
        }
    }

    /// Tells `lines`. One that is lost is no reason to stop.
    pub fn tell(&self, lines: &str) {
        self.introduce();
        if let Some(socket) = &self.socket {
            // systemd reads its socket all the time.
            let _ = socket.send(lines.as_bytes());
        }
    }

    /// Tells `lines`, which must not be lost.
    pub fn tell_surely(&self, lines: &str) {
        self.introduce();
        if let Some(socket) = &self.socket {
            send_surely(socket, lines);
        }
    }

    /// What the container's health is called from now on, before all that is said of it otherwise.
    pub fn name(&self, health: &str) {
        health.clone_into(&mut self.texts.borrow_mut()[0]);
    }

    /// The same, and systemd is told.
    pub fn call(&self, health: &str) {
        self.name(health);
        let line = self.text();
        self.tell(&line);
    }

    /// The line that sets the status text to `text`, behind what the container is called.
    #[must_use]
    pub fn status(&self, text: &str) -> String {
        text.clone_into(&mut self.texts.borrow_mut()[1]);
        self.text()
    }

    fn text(&self) -> String {
        let texts = self.texts.borrow();
        let said: Vec<&str> = texts
            .iter()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
            .collect();
        format!("STATUS={}\n", said.join("; "))
    }

    /// `lines` of the payload's, with its own status text behind what the container is called.
    #[must_use]
    pub fn qualify(&self, lines: String) -> String {
        if self.texts.borrow()[0].is_empty() {
            return lines;
        }
        let line = |line: &str| match line.strip_prefix("STATUS=") {
            Some(text) => self.status(text),
            None => format!("{line}\n"),
        };
        lines.lines().map(line).collect()
    }

    /// Carries out what the payload wants of the store of descriptors. Returns why not, if it cannot be.
    pub fn grant(&self, wish: Wish) -> Option<&'static str> {
        match wish {
            Wish::Keep(lines, descriptors) => {
                self.introduce();
                if let Some(socket) = &self.socket {
                    stored::send(socket, &lines, &descriptors);
                }
            }
            Wish::GiveUp(lines) => self.tell(&lines),
            Wish::Refused(why) => return Some(why),
        }
        None
    }

    /// Waits until systemd has read all that was sent to it before, so that it knows its main process before that one ends.
    pub fn settle(&self) {
        self.introduce();
        if let Some(socket) = &self.socket {
            settle(socket);
        }
    }
}

/// Waits until systemd has come to what is sent now, and is done with what it did before: `BARRIER=1`, sd_notify_barrier(3).
pub fn settle(systemd: &UnixDatagram) {
    let Ok((ours, theirs)) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC) else {
        return;
    };
    if socket::send(systemd.as_fd(), b"BARRIER=1", &[theirs.as_fd()]).is_ok() {
        drop(theirs);
        // It reads as closed when systemd has closed its copy.
        let _ = poll(&mut [PollFd::new(ours.as_fd(), PollFlags::POLLIN)], PATIENCE);
    }
}

/// How long one answer of systemd is waited for, in milliseconds.
const PATIENCE: u16 = 1000;

/// The payload's notify socket, inside the container.
#[derive(Debug)]
pub struct Relay {
    socket: UnixDatagram,
    store: DescriptorStore,
}

/// What of a message is passed on.
#[derive(Debug, Default)]
pub struct Relayed {
    /// The lines for systemd, each with its end.
    pub lines: String,
    /// `READY=1` was among them.
    pub ready: bool,
    /// What it wants of systemd's store of descriptors.
    pub wish: Option<Wish>,
}

impl Relay {
    /// Makes the socket. Every process of the container may send to it.
    ///
    /// # Errors
    /// The directory or the socket cannot be made.
    pub fn create(store: DescriptorStore) -> Result<Self> {
        let path = Path::new(NOTIFY_SOCKET);
        let (parent, name) = path
            .parent()
            .zip(path.file_name())
            .context("a socket has a directory")?;
        // By descriptor, and not through links of procfs: the path is the image's, which could make it lead to what init has open.
        let root = open_place(Path::new("/"))?;
        let directory = make_directory_in_root(root.as_fd(), parent, Links::Inside)
            .with_context(|| format!("creating '{}'", parent.display()))?;
        // A volume keeps the socket of an earlier run.
        match unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno).with_context(|| format!("removing an old '{NOTIFY_SOCKET}'")),
        }
        let place = Path::new("/proc/self/fd")
            .join(directory.as_raw_fd().to_string())
            .join(name);
        // init's umask is empty, so that every user may write to it.
        let socket = UnixDatagram::bind(place).with_context(|| format!("binding '{NOTIFY_SOCKET}'"))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, store })
    }

    /// The next message, filtered; `None` if there is none.
    #[must_use]
    pub fn receive(&self) -> Option<Relayed> {
        let mut buffer = [0_u8; 4096];
        // Without the store, the kernel closes what comes along.
        let (length, descriptors) = match self.store {
            DescriptorStore::Closed => (self.socket.recv(&mut buffer).ok()?, Vec::new()),
            DescriptorStore::Open => stored::receive(self.socket.as_fd(), &mut buffer)?,
        };
        let message = String::from_utf8_lossy(buffer.get(..length)?);
        let wish = match self.store {
            DescriptorStore::Closed => None,
            DescriptorStore::Open => stored::wish(&message, descriptors),
        };
        Some(Relayed {
            wish,
            ..filter(&message)
        })
    }
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Fields of sd_notify(3) that only speak of the payload's own state. `MAINPID=` and all others are not passed on; `FDSTORE=` has rules of its own ([`stored`]).
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
    use super::{Systemd, filter};
    use crate::run::handover::pair;

    #[test]
    fn a_payload_cannot_call_itself_healthy() {
        let systemd = Systemd::new(None, pair().expect("a pair").1);
        let lines = || "READY=1\nSTATUS=healthy\n".to_owned();
        assert_eq!(systemd.qualify(lines()), lines());
        systemd.name("starting");
        assert_eq!(systemd.qualify(lines()), "READY=1\nSTATUS=starting; healthy\n");
        assert_eq!(systemd.status("idle"), "STATUS=starting; idle\n");
        assert_eq!(systemd.status(""), "STATUS=starting\n");
    }

    #[test]
    fn a_payload_cannot_name_another_main_process() {
        let relayed = filter("MAINPID=1\nREADY=1\nFDSTORE=1\nSTATUS=up\nMAINPIDFDID=3\nBUSERROR=x\nREADY\n");
        assert_eq!(relayed.lines, "READY=1\nSTATUS=up\n");
        assert!(relayed.ready);
        assert!(!filter("READY=0\n").ready);
    }
}
