//! A terminal for the payload: made in the container, its end sent to whoever shows it (runtime-spec config.md, "terminal").
//!
//! It comes from the container's own devpts, which is checked to be one, and its other end is opened through the first and by no path:
//! what the image has at `/dev/pts/0` or `/dev/console` plays no part.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::fcntl::OFlag;
use nix::pty::Winsize;
use nix::sys::statfs::fstatfs;
use nix::unistd::{Uid, fchown};

use crate::sys::mount::{Depth, attach, clone_tree};
use crate::sys::path::{Links, make_file_in_root, open_in_root};
use crate::sys::socket;
use crate::sys::terminal::{open_peer, resize, unlock};

/// A terminal.
#[derive(Debug)]
pub struct Terminal {
    /// The end of whoever shows it.
    outer: OwnedFd,
    /// The payload's end.
    inner: OwnedFd,
}

impl Terminal {
    /// The payload's end.
    #[must_use]
    pub fn into_end(self) -> OwnedFd {
        self.inner
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// `DEVPTS_SUPER_MAGIC`.
const DEVPTS: libc::c_long = 0x1cd1;

/// Opens a terminal in `root`, `(height, width)` large unless that is nothing, for the user `uid`.
///
/// # Errors
/// There is no devpts.
pub fn open(root: BorrowedFd<'_>, (height, width): (u16, u16), uid: u32) -> Result<Terminal> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let outer = open_in_root(root, Path::new("/dev/pts/ptmx"), flags, Links::Refuse)
        .context("opening '/dev/pts/ptmx': the config.json has to mount a devpts on '/dev/pts'")?;
    let is_devpts = fstatfs(&outer)?.filesystem_type().0 == DEVPTS;
    ensure!(is_devpts, "'/dev/pts/ptmx' lies on no devpts");
    unlock(&outer)?;
    let inner = open_peer(&outer)?;
    if (height, width) != (0, 0) {
        let size = Winsize {
            ws_row: height,
            ws_col: width,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        resize(&inner, size)?;
    }
    fchown(&inner, Some(Uid::from_raw(uid)), None).context("giving it to the payload's user")?;
    socket::set_blocking(outer.as_fd(), OFlag::empty())?;
    Ok(Terminal { outer, inner })
}

/// Mounts the payload's end on `/dev/console` of `root`.
///
/// # Errors
/// What the kernel says.
pub fn mount(root: BorrowedFd<'_>, terminal: BorrowedFd<'_>) -> Result<()> {
    let target = make_file_in_root(root, Path::new("/dev/console"))?;
    Ok(attach(clone_tree(terminal, Depth::Mount)?.as_fd(), target.as_fd())?)
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
pub fn send(way: BorrowedFd<'_>, terminal: &Terminal) -> Result<()> {
    Ok(socket::send(way, b"/dev/ptmx", &[terminal.outer.as_fd()])?)
}
