//! What passes between the command that makes a container, or a process in one, and that process.
//!
//! It is a pair of sockets. Descriptors need not be sent: the process has them from its birth. An end that reads nothing is the other's end:
//! a process whose maker is killed before all is done ends too, and a maker learns of the process's death.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

/// One end.
#[derive(Debug)]
pub struct End(OwnedFd);

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Maker: identities and control group are set.
    Go,
    /// Process: the namespaces and the root are made, and not entered yet.
    Built,
    /// Maker: its hooks have run.
    Hooked,
    /// Process: all is done but the execution.
    Ready,
    /// Maker: the container is written down; it may outlive the maker.
    Kept,
}

/// Both ends.
///
/// # Errors
/// What socketpair(2) says.
pub fn pair() -> io::Result<(End, End)> {
    let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((End(one), End(other)))
}

impl End {
    /// Sends a message; an end that is gone is found out by who waits for its answer.
    pub fn tell(&self, message: Message) {
        say(self.0.as_fd(), &[code(message)]);
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// The other end is gone, or has failed and says why.
    pub fn await_one(&self, wanted: Message) -> Result<()> {
        let bytes = hear(self.0.as_fd())?;
        match bytes.as_slice() {
            [] => bail!("the other side is gone"),
            [byte] if *byte == code(wanted) => Ok(()),
            [FAILED, text @ ..] => bail!("{}", String::from_utf8_lossy(text)),
            _ => bail!("the other side said what nobody asked for"),
        }
    }

    /// Waits until the process has executed its program.
    ///
    /// # Errors
    /// It has failed, and says why.
    pub fn await_execution(&self) -> Result<()> {
        await_execution(self.0.as_fd())
    }
}

/// Waits until whoever holds the other end of `report` has executed a program, which closes it.
///
/// # Errors
/// It has failed, and says why.
pub fn await_execution(report: BorrowedFd<'_>) -> Result<()> {
    match hear(report)?.as_slice() {
        [] => Ok(()),
        [FAILED, text @ ..] => bail!("{}", String::from_utf8_lossy(text)),
        _ => bail!("the container said what nobody asked for"),
    }
}

/// Says through `report` that the process has failed.
pub fn fail(report: BorrowedFd<'_>, error: &anyhow::Error) {
    say(report, &[&[FAILED], format!("{error:#}").as_bytes()].concat());
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<End> for OwnedFd {
    fn from(end: End) -> Self {
        end.0
    }
}

const FAILED: u8 = b'x';

const fn code(message: Message) -> u8 {
    match message {
        Message::Go => b'g',
        Message::Built => b'b',
        Message::Hooked => b'h',
        Message::Ready => b'r',
        Message::Kept => b'k',
    }
}

fn say(to: BorrowedFd<'_>, bytes: &[u8]) {
    let _ = send(to.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL);
}

fn hear(from: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 1 << 14];
    loop {
        match recv(from.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Ok(Vec::new()),
            length => {
                bytes.truncate(length.context("waiting for the other side")?);
                return Ok(bytes);
            }
        }
    }
}
