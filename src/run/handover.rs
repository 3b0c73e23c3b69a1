//! What passes between the two halves of a start.
//!
//! The shim has the rights of the host, the container has none of them: it is in a user namespace of its own from its first
//! instruction on, unless that is the host's. Both are at work at the same time, each on a processor of its own where there are two. The
//! container makes its network namespace, which takes the kernel as long as most of the mounts together; the shim makes what takes the
//! host's rights, and gives it over as descriptors: the root, `/dev`, what is mounted from the host. Everything that looks up a path in
//! the image is the container's.
//!
//! systemd hears of its new main process only when that one has something to say, or after a moment ([`PATIENCE`]): it is then busy for
//! as long as a quarter of the start, and until the payload listens a client waits.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};

use crate::sys::process::adopt;

/// How long the shim waits to be asked to introduce the container to systemd, in milliseconds.
const PATIENCE: u16 = 20;

/// The shim's end.
#[derive(Debug)]
pub struct Giver(OwnedFd);

/// The container's end.
#[derive(Debug)]
pub struct Taker {
    socket: OwnedFd,
    is_main: Cell<bool>,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The root, mounted in the container's mount namespace; the container's identities are mapped, and its network leads wherever it leads.
    Root,
    /// An empty directory to hide others under.
    EmptyDirectory,
    /// An empty file, likewise.
    EmptyFile,
    /// What the plan's mount of this number is made of. Without a descriptor the host does not have it, and need not.
    Mount(u16),
    /// The container asks to be made the main process.
    Ask,
    /// systemd knows that the container is the main process.
    Main,
}

/// Both ends.
///
/// # Errors
/// What socketpair(2) says.
pub fn pair() -> io::Result<(Giver, Taker)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    let taker = Taker {
        socket: theirs,
        is_main: Cell::new(false),
    };
    Ok((Giver(ours), taker))
}

impl Giver {
    /// Gives something to the container. If that one is gone, it has failed and said why, or was killed.
    pub fn give(&self, what: Message, descriptor: Option<&OwnedFd>) {
        send(&self.0, what, descriptor);
    }

    /// Waits until the container wants to speak to systemd, is gone, or has been quiet for long enough.
    pub fn await_wish(&self) {
        let _ = poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PATIENCE);
    }
}

impl Taker {
    /// Waits for something that the shim has to give; what comes in between is not needed.
    ///
    /// # Errors
    /// The shim is gone: it has failed, and has said why, or was killed.
    pub fn await_maybe(&self, wanted: Message) -> Result<Option<OwnedFd>> {
        loop {
            let (message, descriptor) = receive(&self.socket)?;
            if message == Some(wanted) {
                return Ok(descriptor);
            }
        }
    }

    /// The same, for what is always there.
    ///
    /// # Errors
    /// The shim is gone.
    pub fn await_one(&self, wanted: Message) -> Result<OwnedFd> {
        self.await_maybe(wanted)?
            .context("the shim gave a message without its descriptor")
    }

    /// Makes this process the service's main process, if it is not yet. False if it never will be, since the shim is gone.
    pub fn become_main(&self) -> bool {
        if !self.is_main.get() {
            send(&self.socket, Message::Ask, None);
            self.is_main.set(self.await_maybe(Message::Main).is_ok());
        }
        self.is_main.get()
    }
}

/// How long a message is: what it is, and a number.
const LENGTH: usize = 3;

fn encode(message: Message) -> [u8; LENGTH] {
    let (kind, number) = match message {
        Message::Root => (b'r', 0),
        Message::EmptyDirectory => (b'd', 0),
        Message::EmptyFile => (b'f', 0),
        Message::Mount(number) => (b'm', number),
        Message::Ask => (b'?', 0),
        Message::Main => (b'!', 0),
    };
    let [low, high] = number.to_le_bytes();
    [kind, low, high]
}

fn decode([kind, low, high]: [u8; LENGTH]) -> Option<Message> {
    Some(match kind {
        b'r' => Message::Root,
        b'd' => Message::EmptyDirectory,
        b'f' => Message::EmptyFile,
        b'm' => Message::Mount(u16::from_le_bytes([low, high])),
        b'?' => Message::Ask,
        b'!' => Message::Main,
        _ => return None,
    })
}

fn send(to: &OwnedFd, message: Message, descriptor: Option<&OwnedFd>) {
    let descriptor = descriptor.map(AsRawFd::as_raw_fd);
    let rights = descriptor
        .as_ref()
        .map(|fd| ControlMessage::ScmRights(std::slice::from_ref(fd)));
    let bytes = encode(message);
    let text = [io::IoSlice::new(&bytes)];
    // An end that is gone is found out by who waits for its answer.
    let _ = sendmsg::<()>(to.as_raw_fd(), &text, rights.as_slice(), MsgFlags::MSG_NOSIGNAL, None);
}

fn receive(from: &OwnedFd) -> Result<(Option<Message>, Option<OwnedFd>)> {
    let mut bytes = [0; LENGTH];
    let mut text = [io::IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!(RawFd);
    let received = match recvmsg::<()>(
        from.as_raw_fd(),
        &mut text,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    ) {
        // The shim went without reading what it was asked; what it has sent before is still there.
        Err(Errno::ECONNRESET) => return receive(from),
        received => received?,
    };
    let is_end = received.bytes == 0;
    let mut descriptor = None;
    for control in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            descriptor = descriptors.first().copied().map(adopt).transpose()?;
        }
    }
    if is_end {
        bail!("the shim is gone");
    }
    Ok((decode(bytes), descriptor))
}

#[cfg(test)]
mod tests {
    use super::{Message, decode, encode, pair, send};
    use std::os::fd::OwnedFd;

    fn any_descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("a file").into()
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        for message in [Message::Root, Message::EmptyFile, Message::Mount(0x1234), Message::Main] {
            assert_eq!(decode(encode(message)), Some(message));
        }
        assert_eq!(decode([0, 0, 0]), None);
    }

    #[test]
    fn gifts_come_in_order_and_what_is_not_wanted_is_skipped() {
        let (giver, taker) = pair().expect("a pair");
        giver.give(Message::Root, Some(&any_descriptor()));
        giver.give(Message::Mount(1), None);
        giver.give(Message::Mount(2), Some(&any_descriptor()));
        giver.give(Message::Main, None);
        taker.await_one(Message::Root).expect("the root");
        taker.await_one(Message::Mount(2)).expect("a mount");
        assert!(taker.become_main() && taker.become_main());
    }

    #[test]
    fn a_question_that_comes_too_late_has_its_answer_already() {
        let (giver, taker) = pair().expect("a pair");
        send(&taker.socket, Message::Ask, None);
        giver.give(Message::Main, None);
        drop(giver);
        assert!(taker.become_main());
    }

    #[test]
    fn without_the_shim_nobody_becomes_the_main_process() {
        let (giver, taker) = pair().expect("a pair");
        giver.give(Message::Root, Some(&any_descriptor()));
        drop(giver);
        taker.await_one(Message::Root).expect("the root");
        assert!(taker.await_one(Message::EmptyFile).is_err() && !taker.become_main());
    }
}
