//! `/dev/stdout` and `/dev/stderr` for programs that open them by name.
//!
//! The payload's output is the journal's socket, and a socket cannot be opened by its name in `/proc/self/fd` (`ENXIO`), as images
//! do whose log files are links to `/dev/stdout`; nor can the pipe or terminal of a user whom the container does not have. So these two are
//! FIFOs, and init passes on what is written to them. Descriptors 1 and 2 of the payload are the stream itself all the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};

use crate::sys::path::file_type;
use crate::sys::socket::send_now;

/// One of the two.
#[derive(Debug)]
pub struct Pipe {
    fifo: File,
    /// Read, and not yet taken by the journal.
    pending: Vec<u8>,
}

/// How much is read at once, and kept at most.
const CHUNK: usize = 4096;

impl Pipe {
    /// Opens the FIFO at `path`; `None` if it is none, since the output needs no help then.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        // For writing too, so that it never reads as ended between two writers. A link leads to our own output, which may well be a
        // FIFO, but one that somebody else reads.
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY)
            .open(path);
        let fifo = match open {
            Ok(fifo) => fifo,
            // A link to descriptor 1, which is read by whoever is at its other end; or another /dev, which the administrator chose.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ELOOP | libc::ENOENT)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let is_fifo = file_type(&fstat(&fifo)?) == SFlag::S_IFIFO;
        Ok(is_fifo.then_some(Self {
            fifo,
            pending: Vec::new(),
        }))
    }

    /// Whether the journal must take something before more is read.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Passes on what is there, without waiting for either side.
    pub fn pump(&mut self, journal: BorrowedFd<'_>) {
        let mut buffer = [0; CHUNK];
        // A bound, so that a payload that writes without end cannot keep init from everything else.
        for _ in 0..16 {
            if self.pending.is_empty() {
                match self.fifo.read(&mut buffer) {
                    Ok(length) if length > 0 => self.pending.extend(buffer.iter().take(length)),
                    _ => return,
                }
            }
            match pass_on(journal, &self.pending) {
                Ok(length) => drop(self.pending.drain(..length.min(self.pending.len()))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The journal is gone; so are the lines.
                Err(_) => self.pending.clear(),
            }
        }
    }
}

/// Gives `bytes`, a [`CHUNK`] at most, to a socket, a pipe, a file or a terminal, without waiting.
fn pass_on(output: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    match send_now(output, bytes) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => {}
        result => return result,
    }
    // A pipe that can be written to takes a page, which a chunk is (pipe(7), PIPE_BUF). Its flags are others' too and stay as they are.
    let mut polled = [PollFd::new(output, PollFlags::POLLOUT)];
    match poll(&mut polled, PollTimeout::ZERO) {
        Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(nix::unistd::write(output, bytes)?),
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fifo.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Pipe, pass_on};
    use nix::sys::stat::Mode;
    use nix::unistd::{mkfifo, symlinkat};

    #[test]
    fn only_the_fifo_itself_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let (fifo, link, file) = (
            directory.path().join("fifo"),
            directory.path().join("link"),
            directory.path().join("file"),
        );
        mkfifo(&fifo, Mode::from_bits_truncate(0o600)).expect("a FIFO");
        symlinkat(&fifo, nix::fcntl::AT_FDCWD, &link).expect("a link");
        std::fs::write(&file, "").expect("a file");
        assert!(Pipe::open(&fifo).expect("opening").is_some());
        assert!(Pipe::open(&link).expect("opening").is_none());
        assert!(Pipe::open(&file).expect("opening").is_none());
    }

    #[test]
    fn a_full_pipe_is_not_waited_for() {
        use std::os::fd::AsFd as _;
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let mut written = 0;
        let error = loop {
            match pass_on(writer.as_fd(), &[b'x'; CHUNK]) {
                Ok(length) => written += length,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        assert!(written >= CHUNK);
        drop(reader);
    }
}
