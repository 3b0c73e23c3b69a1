//! A terminal for the payload: made in the container, its end sent to whoever shows it (runtime-spec config.md, "terminal").

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::pty::Winsize;
use nix::unistd::{Uid, fchown};

use crate::run::terminal::{self, Ends};
use crate::sys::socket;
use crate::sys::terminal::resize;

/// Makes a terminal in `root`, `(height, width)` large unless that is nothing, for the user `uid`.
///
/// # Errors
/// There is no devpts.
pub fn open(root: BorrowedFd<'_>, (height, width): (u16, u16), uid: u32) -> Result<Ends> {
    let ends =
        terminal::open(root).context("making a terminal, which takes a devpts on '/dev/pts' in the config.json")?;
    if (height, width) != (0, 0) {
        let size = Winsize {
            ws_row: height,
            ws_col: width,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        resize(&ends.inner, size)?;
    }
    fchown(&ends.inner, Some(Uid::from_raw(uid)), None).context("giving it to the payload's user")?;
    Ok(ends)
}

/// Where a terminal is to be sent.
#[derive(Debug)]
pub enum Way {
    /// To the socket at this path, to which nobody has connected yet: who listens there may take only one connection.
    At(PathBuf),
    /// Through this one.
    Open(OwnedFd),
}

impl Way {
    /// # Errors
    /// Nobody listens there.
    pub fn open(self) -> Result<OwnedFd> {
        match self {
            Self::At(path) => connect(&path),
            Self::Open(socket) => Ok(socket),
        }
    }
}

/// Connects to the socket at `path`, to which a terminal is to be sent.
///
/// # Errors
/// Nobody listens there.
pub fn connect(path: &Path) -> Result<OwnedFd> {
    let stream = UnixStream::connect(path);
    let stream = stream.with_context(|| format!("connecting to the console socket '{}'", path.display()))?;
    Ok(stream.into())
}

/// Sends the outer end by an open way.
///
/// # Errors
/// Whoever was to get it is gone.
pub fn send(way: BorrowedFd<'_>, terminal: &Ends) -> Result<()> {
    Ok(socket::send(way, b"/dev/ptmx", &[terminal.outer.as_fd()])?)
}
