//! Shows a payload's terminal on the caller's own, as long as both are there.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::MsgFlags;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::sys::socket;
use crate::sys::terminal::{resize, window_size};

/// A terminal that is shown.
#[derive(Debug)]
pub struct Relay {
    terminal: OwnedFd,
    /// What the caller's was like before.
    before: Option<Termios>,
    input: Input,
}

/// Whether there is more to read of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    Ended,
}

impl Relay {
    /// Takes the terminal that comes over `console`; the caller's own, if it is one, passes every key on from now on.
    ///
    /// # Errors
    /// None came.
    pub fn receive(console: BorrowedFd<'_>) -> Result<Self> {
        let (_, mut descriptors) = socket::receive(console, &mut [0; 64], 1, MsgFlags::empty())?;
        let terminal = descriptors.pop().context("no terminal came")?;
        let input = io::stdin();
        let before = input.is_terminal().then(|| tcgetattr(&input)).transpose()?;
        if let Some(before) = &before {
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            tcsetattr(&input, SetArg::TCSANOW, &raw)?;
        }
        let relay = Self {
            terminal,
            before,
            input: Input::Open,
        };
        relay.resize();
        Ok(relay)
    }

    /// Makes it as large as the caller's.
    pub fn resize(&self) {
        if let Some(size) = window_size(io::stdin().as_fd()) {
            let _ = resize(&self.terminal, size);
        }
    }

    /// Shows what is left, when the payload has ended.
    pub fn finish(&mut self) {
        while self.show() {}
    }

    /// Passes on what there is to be seen; false if nothing is, or will be.
    fn show(&mut self) -> bool {
        let mut polled = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
        let is_ready = poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        let mut bytes = [0; 8192];
        match nix::unistd::read(&self.terminal, &mut bytes) {
            Ok(length @ 1..) if is_ready => {
                let mut output = io::stdout();
                let shown = output.write_all(bytes.get(..length).unwrap_or_default());
                shown.and_then(|()| output.flush()).is_ok()
            }
            _ => false,
        }
    }

    /// Passes on what is typed.
    fn take(&mut self) {
        let mut bytes = [0; 4096];
        match nix::unistd::read(io::stdin(), &mut bytes) {
            Ok(length @ 1..) => {
                let mut rest = bytes.get(..length).unwrap_or_default();
                while let Ok(written @ 1..) = nix::unistd::write(&self.terminal, rest) {
                    rest = rest.get(written..).unwrap_or_default();
                }
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // Its end is Control-D to a terminal.
            _ => {
                let _ = nix::unistd::write(&self.terminal, &[4]);
                self.input = Input::Ended;
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

/// Waits for signals, and passes on what comes in between.
///
/// # Errors
/// What poll(2) says.
pub fn wait(signals: &SignalFd, relay: Option<&mut Relay>) -> Result<()> {
    let Some(relay) = relay else {
        return match poll(
            &mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)],
            PollTimeout::NONE,
        ) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        };
    };
    let input = io::stdin();
    let wanted = match relay.input {
        Input::Open => PollFlags::POLLIN,
        Input::Ended => PollFlags::empty(),
    };
    let (typed, seen) = {
        let mut polled = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(relay.terminal.as_fd(), PollFlags::POLLIN),
            PollFd::new(input.as_fd(), wanted),
        ];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let happened = |polled: &PollFd<'_>| polled.revents().is_some_and(|events| !events.is_empty());
        (happened(&polled[2]), happened(&polled[1]))
    };
    if typed && relay.input == Input::Open {
        relay.take();
    }
    if seen {
        relay.show();
    }
    Ok(())
}
