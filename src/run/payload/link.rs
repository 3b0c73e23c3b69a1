//! What a payload that waits and whoever starts it say to each other, over a pair of sockets.
//!
//! The child says that it is ready, and gives away the listener of its filter; it is told to go on; and after that nothing comes if the exec
//! succeeded, since its end is closed by it, or the reason why it did not come to it.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;

use crate::sys::process::adopt;
use crate::sys::socket;

/// One end.
#[derive(Debug)]
pub struct Link(OwnedFd);

/// What is said.
#[derive(Debug)]
pub enum Word {
    /// The child has done what it can, with the listener of its filter, if that has one.
    Ready(Option<OwnedFd>),
    /// The root has been entered, and this is the payload's terminal.
    Enter {
        /// If it is to have one.
        terminal: Option<OwnedFd>,
    },
    /// The child is about to execute this, and cannot say more.
    Executing {
        /// The program.
        path: PathBuf,
        /// Its first bytes.
        head: Vec<u8>,
    },
    /// The child ends.
    Failed {
        /// With this status.
        status: i32,
        /// Why.
        why: String,
    },
}

/// The longest word; longer reasons are cut off.
const LONGEST: usize = 8 << 10;

impl Link {
    /// Both ends.
    ///
    /// # Errors
    /// What socketpair(2) says.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = socket::pair()?;
        Ok((Self(one), Self(other)))
    }

    /// Moves it to a number that is at least `least`.
    ///
    /// # Errors
    /// What fcntl(2) says.
    pub fn move_above(&mut self, least: RawFd) -> io::Result<()> {
        self.0 = adopt(fcntl(&self.0, FcntlArg::F_DUPFD_CLOEXEC(least))?)?;
        Ok(())
    }

    /// The descriptor's number, for who closes all others.
    #[must_use]
    pub fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Says a word. Whether the other end is gone is found out by who waits for its answer.
    pub fn tell(&self, word: &Word) {
        let (kind, number, text, descriptor) = word.parts();
        let mut bytes = vec![kind];
        bytes.extend(number.to_le_bytes());
        bytes.extend(text);
        bytes.truncate(LONGEST);
        let _ = socket::send(self.0.as_fd(), &bytes, descriptor.map(OwnedFd::as_fd).as_slice());
    }

    /// Whether there is something to hear by then, be it the end.
    #[must_use]
    pub fn hears_by(&self, deadline: Instant) -> bool {
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let rest = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], rest) {
                Err(Errno::EINTR) => {}
                heard => return heard.is_ok_and(|count| count > 0),
            }
        }
    }

    /// Waits for a word; nothing if the other end is closed and all that was said has been heard.
    ///
    /// # Errors
    /// What recvmsg(2) says, or it is no word.
    pub fn hear(&self) -> Result<Option<Word>> {
        let mut bytes = [0; LONGEST];
        let (length, mut descriptors) = socket::receive(self.0.as_fd(), &mut bytes, 1, MsgFlags::empty())?;
        match bytes[..length].split_first() {
            None => Ok(None),
            Some((kind, rest)) => Word::from_parts(*kind, rest, descriptors.pop()).map(Some),
        }
    }
}

impl Word {
    /// Kind, number, text and descriptor.
    fn parts(&self) -> (u8, i32, Vec<u8>, Option<&OwnedFd>) {
        match self {
            Self::Ready(listener) => (b'r', 0, Vec::new(), listener.as_ref()),
            Self::Enter { terminal } => (b'e', 0, Vec::new(), terminal.as_ref()),
            Self::Executing { path, head } => {
                let length = i32::try_from(head.len()).unwrap_or(0);
                (b'x', length, [head, path.as_os_str().as_bytes()].concat(), None)
            }
            Self::Failed { status, why } => (b'f', *status, why.clone().into_bytes(), None),
        }
    }

    fn from_parts(kind: u8, rest: &[u8], descriptor: Option<OwnedFd>) -> Result<Self> {
        let Some((number, text)) = rest.split_first_chunk::<4>() else {
            bail!("the other end speaks another language");
        };
        let number = i32::from_le_bytes(*number);
        Ok(match kind {
            b'r' => Self::Ready(descriptor),
            b'e' => Self::Enter { terminal: descriptor },
            b'x' => {
                let (head, path) = text.split_at(usize::try_from(number)?.min(text.len()));
                Self::Executing {
                    path: Path::new(std::ffi::OsStr::from_bytes(path)).to_owned(),
                    head: head.to_vec(),
                }
            }
            b'f' => Self::Failed {
                status: number,
                why: String::from_utf8_lossy(text).into_owned(),
            },
            _ => bail!("the other end speaks another language"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Link, Word};
    use std::fs::File;

    #[test]
    fn words_are_heard_as_they_were_said() {
        let (one, other) = Link::pair().expect("a pair");
        let file = File::open("/dev/null").expect("a file").into();
        one.tell(&Word::Ready(Some(file)));
        one.tell(&Word::Executing {
            path: "/bin/sh".into(),
            head: b"#!".to_vec(),
        });
        one.tell(&Word::Failed {
            status: 203,
            why: "x".repeat(2 * LONGEST),
        });
        drop(one);
        assert!(matches!(other.hear(), Ok(Some(Word::Ready(Some(_))))));
        let executing = other.hear().expect("a word");
        assert!(
            matches!(executing, Some(Word::Executing { path, head }) if path.as_os_str() == "/bin/sh" && head == b"#!")
        );
        assert!(matches!(other.hear(), Ok(Some(Word::Failed { status: 203, why })) if why.len() > LONGEST / 2));
        assert!(matches!(other.hear(), Ok(None)));
    }

    #[test]
    fn what_was_said_is_heard_though_the_other_end_never_listened() {
        let (one, other) = Link::pair().expect("a pair");
        other.tell(&Word::Enter { terminal: None });
        one.tell(&Word::Ready(None));
        drop(one);
        assert!(matches!(other.hear(), Ok(Some(Word::Ready(None)))));
        assert!(matches!(other.hear(), Ok(None)));
    }
}
