//! What passes between the two halves of a start.
//!
//! The shim has the rights of the host, the container has none of them: it is in a user namespace of its own from its first
//! instruction on, unless that is the host's. Both are at work at the same time, each on a processor of its own where there are two. The
//! container makes the other namespaces, the network's alone taking the kernel as long as most of the mounts together, and what it mounts
//! for itself; the shim makes what takes the host's rights, and gives it over as descriptors: the root, `/dev`, what is mounted from
//! the host. Everything that looks up a path in the image is the container's.
//!
//! systemd hears of its new main process only when that one has something to say, or after a moment ([`PATIENCE`]): it is then busy for
//! as long as a quarter of the start, and until the payload listens a client waits.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;

use crate::run::processor::staying;
use crate::sys::socket;

/// How long the shim waits to be asked to introduce the container to systemd, in milliseconds.
const PATIENCE: u16 = 20;

/// The shim's end.
#[derive(Debug)]
pub struct Giver(OwnedFd);

/// The container's end.
#[derive(Debug)]
pub struct Taker {
    socket: OwnedFd,
    /// What has come and was not waited for yet.
    come: RefCell<VecDeque<Gift>>,
    is_main: Cell<bool>,
}

/// A message and what comes with it.
pub type Gift = (Message, Option<OwnedFd>);

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The container has a mount namespace of its own, which nothing reaches from the host or the other way round.
    Apart,
    /// The container's identities are mapped.
    Mapped,
    /// A lock that is to end with the container.
    Lock,
    /// The root, mounted in the container's mount namespace.
    Root,
    /// What the plan's mount of this number is made of. Without a descriptor the host does not have it, and need not.
    Mount(u16),
    /// The same, of a volume that is empty and is the container's to fill.
    Fresh(u16),
    /// The container has filled the volume of the plan's mount of this number.
    Filled(u16),
    /// Each volume that was filled has its name.
    Settled,
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
    let (ours, theirs) = socket::pair()?;
    let taker = Taker {
        socket: theirs,
        come: RefCell::default(),
        is_main: Cell::new(false),
    };
    Ok((Giver(ours), taker))
}

/// What the container wants of the shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing so far.
    None,
    /// The volume of this mount to become one.
    Filled(u16),
    /// To be the main process.
    Main,
    /// Nothing any more.
    Gone,
}

impl Giver {
    /// What the container wants, if it says so within `time`.
    ///
    /// # Errors
    /// What poll(2) says.
    pub fn glance(&self, time: Duration) -> Result<Wish> {
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);
        if poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout)? == 0 {
            return Ok(Wish::None);
        }
        // The container sends one at a time.
        Ok(match receive(&self.0).as_deref() {
            Ok([(Message::Filled(number), _)]) => Wish::Filled(*number),
            Ok([(Message::Ask, _)]) => Wish::Main,
            Ok(_) => Wish::None,
            Err(_) => Wish::Gone,
        })
    }

    /// Gives something to the container. If that one is gone, it has failed and said why, or was killed.
    pub fn give(&self, what: Message, descriptor: Option<OwnedFd>) {
        send(&self.0, &[(what, descriptor)]);
    }

    /// Gives all of `gifts`, so that the container is woken once: on a busy machine each time may take milliseconds.
    pub fn give_all(&self, gifts: &[Gift]) {
        gifts.chunks(MOST).for_each(|gifts| send(&self.0, gifts));
    }

    /// Waits until the container is apart from the host. False if it has failed.
    #[must_use]
    pub fn await_apart(&self) -> bool {
        staying(|| receive(&self.0)).is_ok_and(|come| matches!(come.as_slice(), [(Message::Apart, _)]))
    }

    /// Waits until the container wants to speak to systemd, is gone, or has been quiet for long enough.
    pub fn await_wish(&self) {
        let _ = poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PATIENCE);
    }
}

impl Taker {
    /// Tells the shim that this process is apart from the host.
    pub fn tell_apart(&self) {
        send(&self.socket, &[(Message::Apart, None)]);
    }

    /// Waits for the root, and takes the locks that come before it.
    ///
    /// # Errors
    /// The shim is gone.
    pub fn await_root(&self) -> Result<(OwnedFd, Vec<OwnedFd>)> {
        let mut come = self.come.borrow_mut();
        let mut locks = Vec::new();
        loop {
            while let Some(gift) = come.pop_front() {
                match gift {
                    (Message::Root, Some(root)) => return Ok((root, locks)),
                    (Message::Lock, lock) => locks.extend(lock),
                    _ => {}
                }
            }
            come.extend(receive(&self.socket)?);
        }
    }

    /// Waits for something else that the shim has to give; what comes in between is not needed.
    ///
    /// # Errors
    /// The shim is gone: it has failed, and has said why, or was killed.
    pub fn await_maybe(&self, wanted: Message) -> Result<Option<OwnedFd>> {
        Ok(self.await_either([wanted, wanted])?.1)
    }

    /// Waits for one of two messages.
    ///
    /// # Errors
    /// The shim is gone.
    pub fn await_either(&self, wanted: [Message; 2]) -> Result<Gift> {
        let mut come = self.come.borrow_mut();
        loop {
            while let Some(gift) = come.pop_front() {
                if wanted.contains(&gift.0) {
                    return Ok(gift);
                }
            }
            come.extend(receive(&self.socket)?);
        }
    }

    /// Tells the shim something.
    pub fn tell(&self, what: Message) {
        send(&self.socket, &[(what, None)]);
    }

    /// Makes this process the service's main process, if it is not yet. False if it never will be, since the shim is gone.
    pub fn become_main(&self) -> bool {
        if !self.is_main.get() {
            send(&self.socket, &[(Message::Ask, None)]);
            self.is_main.set(self.await_maybe(Message::Main).is_ok());
        }
        self.is_main.get()
    }
}

/// How many messages go together at most, each with its descriptor.
const MOST: usize = socket::DESCRIPTORS_MAX;

/// How long a message is: what it is, a number, and whether a descriptor comes with it.
const LENGTH: usize = 4;

fn encode((message, descriptor): &Gift) -> [u8; LENGTH] {
    let (kind, number) = match message {
        Message::Apart => (b'a', 0),
        Message::Mapped => (b'i', 0),
        Message::Lock => (b'l', 0),
        Message::Root => (b'r', 0),
        Message::Mount(number) => (b'm', *number),
        Message::Fresh(number) => (b'n', *number),
        Message::Filled(number) => (b'v', *number),
        Message::Settled => (b's', 0),
        Message::Ask => (b'?', 0),
        Message::Main => (b'!', 0),
    };
    let [low, high] = number.to_le_bytes();
    [kind, low, high, descriptor.is_some().into()]
}

fn decode([kind, low, high, _]: [u8; LENGTH]) -> Result<Message> {
    Ok(match kind {
        b'a' => Message::Apart,
        b'i' => Message::Mapped,
        b'l' => Message::Lock,
        b'r' => Message::Root,
        b'm' => Message::Mount(u16::from_le_bytes([low, high])),
        b'n' => Message::Fresh(u16::from_le_bytes([low, high])),
        b'v' => Message::Filled(u16::from_le_bytes([low, high])),
        b's' => Message::Settled,
        b'?' => Message::Ask,
        b'!' => Message::Main,
        _ => bail!("the other half of the start speaks another language"),
    })
}

fn send(to: &OwnedFd, gifts: &[Gift]) {
    let bytes: Vec<u8> = gifts.iter().flat_map(encode).collect();
    let descriptors: Vec<BorrowedFd<'_>> = gifts.iter().filter_map(|gift| Some(gift.1.as_ref()?.as_fd())).collect();
    // An end that is gone is found out by who waits for its answer.
    let _ = socket::send(to.as_fd(), &bytes, &descriptors);
}

fn receive(from: &OwnedFd) -> Result<Vec<Gift>> {
    let mut bytes = [0; LENGTH * MOST];
    let (length, descriptors) = socket::receive(from.as_fd(), &mut bytes, MOST, MsgFlags::empty())?;
    ensure!(length > 0, "the shim is gone");
    let mut descriptors = descriptors.into_iter();
    let (gifts, _) = bytes[..length].as_chunks::<LENGTH>();
    gifts
        .iter()
        .map(|&gift| Ok((decode(gift)?, if gift[3] == 0 { None } else { descriptors.next() })))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{MOST, Message, decode, encode, pair, send};
    use std::os::fd::OwnedFd;

    fn any_descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("a file").into()
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let all = [
            Message::Apart,
            Message::Mapped,
            Message::Lock,
            Message::Root,
            Message::Mount(0x1234),
            Message::Fresh(0xfffe),
            Message::Filled(7),
            Message::Settled,
            Message::Ask,
            Message::Main,
        ];
        for message in all {
            assert_eq!(decode(encode(&(message, None))).expect("a message"), message);
        }
        assert!(decode([0; 4]).is_err());
    }

    #[test]
    fn gifts_come_in_order_and_what_is_not_wanted_is_skipped() {
        let (giver, taker) = pair().expect("a pair");
        giver.give(Message::Mapped, None);
        giver.give_all(&[
            (Message::Lock, Some(any_descriptor())),
            (Message::Root, Some(any_descriptor())),
            (Message::Mount(1), None),
            (Message::Mount(2), Some(any_descriptor())),
        ]);
        giver.give(Message::Main, None);
        taker.await_maybe(Message::Mapped).expect("a word");
        let (_, locks) = taker.await_root().expect("the root");
        assert_eq!(locks.len(), 1);
        assert!(taker.await_maybe(Message::Mount(2)).expect("a mount").is_some());
        assert!(taker.become_main() && taker.become_main());
    }

    #[test]
    fn more_gifts_than_the_kernel_takes_at_once_all_come() {
        let (giver, taker) = pair().expect("a pair");
        let mount = |number: usize| Message::Mount(u16::try_from(number).expect("a small number"));
        let numbers = 0..2 * MOST + 1;
        let gifts: Vec<_> = numbers
            .clone()
            .map(|number| (mount(number), Some(any_descriptor())))
            .collect();
        giver.give_all(&gifts);
        for number in numbers {
            assert!(taker.await_maybe(mount(number)).expect("a mount").is_some());
        }
    }

    #[test]
    fn the_shim_hears_when_the_container_is_apart_and_when_it_has_failed() {
        let (giver, taker) = pair().expect("a pair");
        taker.tell_apart();
        assert!(giver.await_apart());
        send(&taker.socket, &[(Message::Ask, None)]);
        assert!(!giver.await_apart());
        drop(taker);
        assert!(!giver.await_apart());
    }

    #[test]
    fn a_question_that_comes_too_late_has_its_answer_already() {
        let (giver, taker) = pair().expect("a pair");
        send(&taker.socket, &[(Message::Ask, None)]);
        giver.give(Message::Main, None);
        drop(giver);
        assert!(taker.become_main());
    }

    #[test]
    fn without_the_shim_nobody_becomes_the_main_process() {
        let (giver, taker) = pair().expect("a pair");
        giver.give(Message::Root, Some(any_descriptor()));
        drop(giver);
        taker.await_root().expect("the root");
        assert!(taker.await_maybe(Message::Mount(0)).is_err() && !taker.become_main());
    }
}
