//! This command's own terminal, made raw while a container has another one: every key goes to the container, whose terminal makes of it what
//! its programs want. It is what it was before when this is dropped.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Context as _, Result};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// A terminal in raw mode.
#[derive(Debug)]
pub(in crate::cli) struct Raw {
    before: Termios,
}

impl Raw {
    /// Makes standard input raw; nothing if it is no terminal.
    pub(in crate::cli) fn enter() -> Result<Option<Self>> {
        let input = io::stdin();
        let Ok(before) = tcgetattr(&input) else {
            return Ok(None);
        };
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&input, SetArg::TCSADRAIN, &raw).context("making the terminal raw")?;
        Ok(Some(Self { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Whether a descriptor is a terminal.
pub(in crate::cli) fn is_terminal(descriptor: BorrowedFd<'_>) -> bool {
    nix::unistd::isatty(descriptor.as_fd()).unwrap_or(false)
}
