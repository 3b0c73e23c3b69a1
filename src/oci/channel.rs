//! What passes between the command that makes a container, or a process in one, and that process.
//!
//! It is a pair of sockets. Most descriptors need not be sent: the process has them from its birth. An end that reads nothing is the other's end:
//! a process whose maker is killed before all is done ends too, and a maker learns of the process's death.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::socket::MsgFlags;

use crate::sys::socket;

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
    let (one, other) = socket::pair()?;
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
        self.await_one_lending(wanted, &mut |_| bail!("the other side said what nobody asked for"))
    }

    /// The same for the maker, who meanwhile lends what the process asks for.
    ///
    /// # Errors
    /// Besides, what `lend` says.
    pub fn await_one_lending(&self, wanted: Message, lend: &mut Lender<'_>) -> Result<()> {
        loop {
            let bytes = hear(self.0.as_fd())?;
            match bytes.as_slice() {
                [] => bail!("the other side is gone"),
                [byte] if *byte == code(wanted) => return Ok(()),
                [FAILED, text @ ..] => bail!("{}", String::from_utf8_lossy(text)),
                [WANTED, rest @ ..] => {
                    let (first, count) = numbers(rest).context("the other side wants what is none")?;
                    let lent = lend(first..first.saturating_add(count))?;
                    let lent: Vec<BorrowedFd<'_>> = lent.iter().map(OwnedFd::as_fd).collect();
                    socket::send(self.0.as_fd(), &[LENT], &lent).context("lending to the container's process")?;
                }
                _ => bail!("the other side said what nobody asked for"),
            }
        }
    }

    /// Asks the maker for what the plan's mounts of these numbers are made of, [`AT_ONCE`] at most.
    ///
    /// # Errors
    /// The maker is gone.
    pub fn ask_for(&self, mounts: Range<usize>) -> Result<Vec<OwnedFd>> {
        let number = |number: usize| u32::try_from(number).map(u32::to_le_bytes);
        say(
            self.0.as_fd(),
            &[&[WANTED], &number(mounts.start)?[..], &number(mounts.len())?[..]].concat(),
        );
        let (_, lent) = socket::receive(self.0.as_fd(), &mut [0; 1], mounts.len(), MsgFlags::empty())
            .context("waiting for the maker")?;
        ensure!(lent.len() == mounts.len(), "the maker is gone");
        Ok(lent)
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

/// What lends: the mounts of the plan of these numbers become descriptors.
pub type Lender<'a> = dyn FnMut(Range<usize>) -> Result<Vec<OwnedFd>> + 'a;

/// How many descriptors go with one message; the kernel's own bound is 253.
pub const AT_ONCE: usize = 64;

const FAILED: u8 = b'x';
const WANTED: u8 = b'w';
const LENT: u8 = b'l';

/// The two numbers of a wish.
fn numbers(bytes: &[u8]) -> Option<(usize, usize)> {
    let (first, count) = (bytes.first_chunk()?, bytes.get(4..)?.first_chunk()?);
    let number = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
    Some((number(first)?, number(count)?))
}

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
    let _ = socket::send(to, bytes, &[]);
}

fn hear(from: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 1 << 14];
    let received = socket::receive(from, &mut bytes, 0, MsgFlags::empty());
    let (length, _) = received.context("waiting for the other side")?;
    bytes.truncate(length);
    Ok(bytes)
}
