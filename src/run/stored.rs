//! Descriptors that a payload leaves to its next run (`FDSTORE=1`, sd_notify(3)): which of them are passed on to systemd, and under which names.
//!
//! systemd keeps them over the end of the unit and hands them to the next shim, among the sockets. Both are the host's root, and what they get is the
//! choice of whoever is in the container. So init, which has no rights, looks at it first:
//!
//! * Only sockets and memory that has no name on a file system (memfd_create(2)) are passed on. systemd asks what it keeps for its type, and whether it was hung
//!   up on; a file of a file system that the payload itself serves (FUSE) could let PID 1 wait for that answer for ever. What init asks
//!   here is answered by the kernel alone, for whatever descriptor.
//! * Names get a prefix, so that none can be taken for that of a socket ([`crate::activation`]).
//! * What comes back is neither read nor asked by the shim, but handed on; it is what the payload had, and leads to nothing else.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::sys::stat::fstat;

use crate::activation::STORED;
use crate::sys::process::adopt;
use crate::sys::socket;

/// How many descriptors come with one message at most (unix(7), `SCM_RIGHTS`).
const MOST: usize = 253;

/// The longest name (sd_pid_notify_with_fds(3)).
const LONGEST_NAME: usize = 255;

/// What a payload wants of the store.
#[derive(Debug)]
pub enum Wish {
    /// To keep these, whose message begins so.
    Keep(String, Vec<OwnedFd>),
    /// To give up what has this name.
    GiveUp(String),
    /// Nothing that can be done, and why.
    Refused(&'static str),
}

/// The next message and what came with it; nothing if there is none.
#[must_use]
pub fn receive(from: BorrowedFd<'_>, buffer: &mut [u8]) -> Option<(usize, Vec<OwnedFd>)> {
    let mut text = [IoSliceMut::new(buffer)];
    let mut space = nix::cmsg_space!([RawFd; MOST]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(from.as_raw_fd(), &mut text, Some(&mut space), flags).ok()?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs().ok()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            descriptors.extend(numbers.into_iter().filter_map(|number| adopt(number).ok()));
        }
    }
    Some((message.bytes, descriptors))
}

/// What a message wants of the store, if it speaks of that.
#[must_use]
pub fn wish(message: &str, descriptors: Vec<OwnedFd>) -> Option<Wish> {
    let has = |line: &str| message.lines().any(|other| other == line);
    let (keeps, gives_up) = (has("FDSTORE=1"), has("FDSTOREREMOVE=1"));
    if !keeps && !gives_up {
        return None;
    }
    let name = message.lines().rev().find_map(|line| line.strip_prefix("FDNAME="));
    let name = name.unwrap_or("stored");
    let is_valid = |name: &str| name.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b':');
    if !is_valid(name) || name.len() + STORED.len() > LONGEST_NAME {
        return Some(Wish::Refused(
            "its name is none: letters, digits and signs of ASCII, without ':', and not too many",
        ));
    }
    if gives_up {
        return Some(Wish::GiveUp(format!("FDSTOREREMOVE=1\nFDNAME={STORED}{name}\n")));
    }
    if descriptors.is_empty() {
        return Some(Wish::Refused("there is none in the message"));
    }
    if !descriptors.iter().all(|descriptor| is_harmless(descriptor.as_fd())) {
        return Some(Wish::Refused("only sockets and memory (memfd_create(2)) can be left"));
    }
    let poll = if has("FDPOLL=0") { "FDPOLL=0\n" } else { "" };
    Some(Wish::Keep(
        format!("FDSTORE=1\nFDNAME={STORED}{name}\n{poll}"),
        descriptors,
    ))
}

/// Whether nobody but the kernel answers what is asked of it. The questions are in this order, since each is harmless only after the one before.
fn is_harmless(descriptor: BorrowedFd<'_>) -> bool {
    if socket::kind(descriptor).is_ok() {
        return true;
    }
    // Only files in memory have seals; one that has a name lies on a file system of the container.
    fcntl(descriptor, FcntlArg::F_GET_SEALS).is_ok() && fstat(descriptor).is_ok_and(|file| file.st_nlink == 0)
}

/// Sends a message with descriptors. One that does not fit now is lost, as any payload's would be.
pub fn send(to: &UnixDatagram, text: &str, descriptors: &[OwnedFd]) {
    let numbers: Vec<RawFd> = descriptors.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let text = [IoSlice::new(text.as_bytes())];
    let _ = sendmsg::<()>(to.as_raw_fd(), &text, &rights, MsgFlags::MSG_NOSIGNAL, None);
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsFd as _, OwnedFd};
    use std::os::unix::net::UnixDatagram;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::{Wish, receive, send, wish};

    fn memory() -> OwnedFd {
        memfd_create(c"test", MFdFlags::MFD_CLOEXEC).expect("a memfd")
    }

    #[test]
    fn names_never_look_like_a_sockets() {
        let kept = |message: &str| match wish(message, vec![memory()]) {
            Some(Wish::Keep(text, _)) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(kept("FDSTORE=1\nFDNAME=web"), "FDSTORE=1\nFDNAME=stored/web\n");
        assert_eq!(
            kept("READY=1\nFDSTORE=1\nFDPOLL=0\n"),
            "FDSTORE=1\nFDNAME=stored/stored\nFDPOLL=0\n"
        );
        for name in ["a:b", "a\tb", "ä", &"x".repeat(250)] {
            assert!(
                kept(&format!("FDSTORE=1\nFDNAME={name}")).starts_with("Some(Refused"),
                "{name}"
            );
        }
        let gone = wish("FDSTOREREMOVE=1\nFDNAME=web", Vec::new());
        assert!(matches!(gone, Some(Wish::GiveUp(text)) if text == "FDSTOREREMOVE=1\nFDNAME=stored/web\n"));
        assert!(wish("READY=1\nFDNAME=web", vec![memory()]).is_none());
    }

    #[test]
    fn only_sockets_and_memory_are_passed_on() {
        let (one, other) = UnixDatagram::pair().expect("a pair");
        assert!(matches!(wish("FDSTORE=1", vec![one.into(), memory()]), Some(Wish::Keep(_, kept)) if kept.len() == 2));
        let directory = tempfile::tempdir().expect("a directory");
        let (read, _write) = nix::unistd::pipe().expect("a pipe");
        let refused: [OwnedFd; 4] = [
            File::open(directory.path()).expect("a directory").into(),
            File::create(directory.path().join("file")).expect("a file").into(),
            File::open("/proc/self/ns/net").expect("a namespace").into(),
            read,
        ];
        for descriptor in refused {
            let wish = wish("FDSTORE=1", vec![memory(), descriptor]);
            assert!(matches!(wish, Some(Wish::Refused(_))), "{wish:?}");
        }
        assert!(matches!(wish("FDSTORE=1", Vec::new()), Some(Wish::Refused(_))));
        drop(other);
    }

    #[test]
    fn what_is_sent_is_received() {
        let (one, other) = UnixDatagram::pair().expect("a pair");
        send(&one, "FDSTORE=1", &[memory(), memory()]);
        let mut buffer = [0; 64];
        let (length, descriptors) = receive(other.as_fd(), &mut buffer).expect("a message");
        assert_eq!((&buffer[..length], descriptors.len()), (b"FDSTORE=1".as_slice(), 2));
        assert!(receive(other.as_fd(), &mut buffer).is_none());
    }
}
