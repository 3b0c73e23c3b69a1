//! What passes between the command that makes a container, or a process in one, and that process.
//!
//! It is a pair of sockets. Most descriptors need not be sent: the process has them from its birth. An end that reads nothing is the other's end:
//! a process whose maker is killed before all is done ends too, and a maker learns of the process's death.

use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recv, recvmsg, send, sendmsg,
    socketpair,
};

use crate::sys::process::adopt;

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
                    let lent: Vec<RawFd> = lent.iter().map(OwnedFd::as_raw_fd).collect();
                    let rights = [ControlMessage::ScmRights(&lent)];
                    let words = [IoSlice::new(&[LENT])];
                    sendmsg::<()>(self.0.as_raw_fd(), &words, &rights, MsgFlags::MSG_NOSIGNAL, None)
                        .context("lending to the container's process")?;
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
        let mut byte = [0];
        let mut room = nix::cmsg_space!([RawFd; AT_ONCE]);
        let mut words = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = loop {
            match recvmsg::<()>(self.0.as_raw_fd(), &mut words, Some(&mut room), flags) {
                Err(Errno::EINTR) => {}
                message => break message.context("waiting for the maker")?,
            }
        };
        let mut lent = Vec::with_capacity(mounts.len());
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = part {
                let adopted: io::Result<Vec<OwnedFd>> = descriptors.into_iter().map(adopt).collect();
                lent.extend(adopted?);
            }
        }
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
