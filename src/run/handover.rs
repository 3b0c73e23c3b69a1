//! What passes between the two halves of a start.
//!
//! The shim makes the container's first process as soon as it knows what is to be started, and from then on both are at work, each on
//! a processor of its own where there are two. The container reads the image, decides and mounts. The shim does for it what takes the
//! kernel long and needs nothing of that: the directories of the writable layer, and the network namespace, which alone takes as long
//! as most of the mounts together.
//!
//! systemd hears of its new main process only when that one has something to say, or after a moment ([`PATIENCE`]): it is then busy for
//! as long as a quarter of the start, and until the payload listens a client waits.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};

use anyhow::{Result, bail};
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

/// The messages, a byte each.
const LAYER: u8 = b'l';
const NETWORK: u8 = b'n';
const ASK: u8 = b'?';
const MAIN: u8 = b'!';

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
    /// The directories of the writable layer are there.
    pub fn give_layer(&self) {
        send(&self.0, LAYER, None);
    }

    /// The network namespace is there, if the container is to have one of its own.
    pub fn give_network(&self, network: Option<OwnedFd>) {
        send(&self.0, NETWORK, network.as_ref());
    }

    /// Waits until the container wants to speak to systemd, is gone, or has been quiet for long enough.
    pub fn await_wish(&self) {
        let _ = poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PATIENCE);
    }

    /// systemd has been told who the main process is. A container that is gone does not matter.
    pub fn hand_over(self) {
        send(&self.0, MAIN, None);
    }
}

impl Taker {
    /// Waits for the directories of the writable layer.
    ///
    /// # Errors
    /// The shim is gone: it has failed, and has said why, or was killed.
    pub fn await_layer(&self) -> Result<()> {
        self.await_message(LAYER).map(drop)
    }

    /// Waits for the container's own network namespace; `None` if it is to have none.
    ///
    /// # Errors
    /// The shim is gone.
    pub fn await_network(&self) -> Result<Option<OwnedFd>> {
        self.await_message(NETWORK)
    }

    /// Makes this process the service's main process, if it is not yet. False if it never will be, since the shim is gone.
    pub fn become_main(&self) -> bool {
        if !self.is_main.get() {
            send(&self.socket, ASK, None);
            self.is_main.set(self.await_message(MAIN).is_ok());
        }
        self.is_main.get()
    }

    fn await_message(&self, wanted: u8) -> Result<Option<OwnedFd>> {
        loop {
            let (message, descriptor) = receive(&self.socket)?;
            if message == wanted {
                return Ok(descriptor);
            }
        }
    }
}

fn send(to: &OwnedFd, message: u8, descriptor: Option<&OwnedFd>) {
    let descriptor = descriptor.map(AsRawFd::as_raw_fd);
    let rights = descriptor
        .as_ref()
        .map(|fd| ControlMessage::ScmRights(std::slice::from_ref(fd)));
    let text = [io::IoSlice::new(std::slice::from_ref(&message))];
    // An end that is gone is found out by who waits for its answer.
    let _ = sendmsg::<()>(to.as_raw_fd(), &text, rights.as_slice(), MsgFlags::MSG_NOSIGNAL, None);
}

fn receive(from: &OwnedFd) -> Result<(u8, Option<OwnedFd>)> {
    let mut message = [0];
    let mut text = [io::IoSliceMut::new(&mut message)];
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
    Ok((message[0], descriptor))
}

#[cfg(test)]
mod tests {
    use super::pair;
    use std::os::fd::OwnedFd;

    fn any_descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("a file").into()
    }

    #[test]
    fn gifts_come_in_order_and_what_is_not_wanted_is_skipped() {
        let (giver, taker) = pair().expect("a pair");
        giver.give_layer();
        giver.give_network(Some(any_descriptor()));
        taker.await_layer().expect("the layer");
        assert!(taker.await_network().expect("the network").is_some());

        let (giver, taker) = pair().expect("a pair");
        giver.give_layer();
        giver.give_network(Some(any_descriptor()));
        giver.hand_over();
        assert!(taker.become_main() && taker.become_main());
    }

    #[test]
    fn a_question_that_comes_too_late_has_its_answer_already() {
        let (giver, taker) = pair().expect("a pair");
        super::send(&taker.socket, super::ASK, None);
        giver.hand_over();
        assert!(taker.become_main());
    }

    #[test]
    fn without_the_shim_nobody_becomes_the_main_process() {
        let (giver, taker) = pair().expect("a pair");
        giver.give_layer();
        drop(giver);
        taker.await_layer().expect("the layer");
        assert!(taker.await_network().is_err() && !taker.become_main());
    }
}
