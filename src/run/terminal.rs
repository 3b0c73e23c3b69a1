//! A pseudo-terminal of the container's own, for a client outside.
//!
//! It is made in the container's own devpts, so that its name means something inside (ttyname(3)), and its two ends are only ever had by
//! descriptor: whatever the container does with names in `/dev`, nothing else is taken for it (CVE-2025-52565). The end of the programs
//! stays inside; the other one is sent to the client through a socket that the client has made.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::fcntl::OFlag;
use nix::pty::Winsize;
use nix::sys::socket::MsgFlags;
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, major, minor};
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::{Uid, fchown};

use crate::sys::mount::{Depth, attach, clone_tree, open_place};
use crate::sys::path::{Links, file_type, make_file_in_root, open_in_root};
use crate::sys::socket;
use crate::sys::terminal::{open_peer, resize, unlock};

/// Both ends of a terminal.
#[derive(Debug)]
pub struct Ends {
    /// The end of whoever shows it.
    pub outer: OwnedFd,
    /// The programs' end.
    pub inner: OwnedFd,
}

/// Makes a terminal in the devpts below `root`.
///
/// # Errors
/// There is no devpts.
pub fn open(root: BorrowedFd<'_>) -> Result<Ends> {
    // What lies there may be anything, also something that is waited for.
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let multiplexer = open_in_root(root, Path::new("/dev/pts/ptmx"), flags, Links::Refuse)
        .context("opening '/dev/pts/ptmx' of the container")?;
    // The container's root can mount over its own /dev. What we get must be the kernel's.
    let status = fstat(&multiplexer)?;
    let is_multiplexer =
        file_type(&status) == SFlag::S_IFCHR && (major(status.st_rdev), minor(status.st_rdev)) == (5, 2);
    ensure!(
        is_multiplexer && fstatfs(&multiplexer)?.filesystem_type() == FsType(libc::DEVPTS_SUPER_MAGIC),
        "'/dev/pts/ptmx' of the container does not make terminals"
    );
    unlock(&multiplexer).context("unlocking the terminal")?;
    let inner = open_peer(&multiplexer).context("opening the terminal")?;
    socket::set_blocking(multiplexer.as_fd(), OFlag::empty())?;
    Ok(Ends {
        outer: multiplexer,
        inner,
    })
}

/// Makes a terminal of `size` in the devpts below `root`, and sends the client its end through `client`. Returns the programs' end.
///
/// # Errors
/// There is no devpts, or the client is gone.
pub fn create(root: BorrowedFd<'_>, size: Winsize, client: BorrowedFd<'_>) -> Result<OwnedFd> {
    let Ends { outer, inner } = open(root)?;
    resize(&outer, size).context("sizing the terminal")?;
    socket::send(client, b"t", &[outer.as_fd()]).context("giving the terminal to the client")?;
    Ok(inner)
}

/// Mounts the programs' end on `/dev/console` of `root`.
///
/// # Errors
/// What the kernel says.
pub fn mount(root: BorrowedFd<'_>, terminal: BorrowedFd<'_>) -> Result<()> {
    let mount = || -> Result<()> {
        let place = make_file_in_root(root, Path::new("/dev/console"))?;
        Ok(attach(clone_tree(terminal, Depth::Mount)?.as_fd(), place.as_fd())?)
    };
    mount().context("mounting the terminal on '/dev/console'")
}

/// Makes the payload's terminal: the container's console (`/dev/console`).
///
/// # Errors
/// As [`create`], or it cannot be mounted there.
pub fn for_payload(size: Winsize) -> Result<OwnedFd> {
    let root = open_place(Path::new("/"))?;
    let terminal = create(root.as_fd(), size, io::stdin().as_fd())?;
    mount(root.as_fd(), terminal.as_fd())?;
    Ok(terminal)
}

/// Gives a terminal to a user, as login(1) does: whose it is may open it by its name.
///
/// # Errors
/// What fchown(2) says.
pub fn own(terminal: &OwnedFd, owner: Uid) -> Result<()> {
    fchown(terminal, Some(owner), None)
        .and_then(|()| fchmod(terminal, Mode::from_bits_truncate(0o620)))
        .context("giving the terminal to its user")
}

/// `ROWSxCOLUMNS`, as it stands on the shim's command line.
#[must_use]
pub fn format_size(size: Option<Winsize>) -> String {
    size.map_or_else(|| "0x0".to_owned(), |size| format!("{}x{}", size.ws_row, size.ws_col))
}

/// The reverse of [`format_size`].
///
/// # Errors
/// It is no size.
pub fn parse_size(text: &str) -> Result<Winsize> {
    let parse = || {
        let (rows, columns) = text.split_once('x')?;
        Some((rows.parse().ok()?, columns.parse().ok()?))
    };
    let (ws_row, ws_col) = parse().with_context(|| format!("'{text}' is no size of a terminal"))?;
    Ok(Winsize {
        ws_row,
        ws_col,
        ws_xpixel: 0,
        ws_ypixel: 0,
    })
}

/// Takes the client's end out of the client's socket, without waiting for it; `None` if there is none.
///
/// # Errors
/// What recvmsg(2) says, or something else was sent.
pub fn receive(from: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    match socket::receive(from, &mut [0; 1], 1, MsgFlags::MSG_DONTWAIT) {
        // systemd may keep the other end for longer than the container lives.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Ok((0, _)) => Ok(None),
        received => Ok(Some(received?.1.pop().context("no terminal was sent")?)),
    }
}

/// The end that programs have, as their standard input, output and error.
///
/// # Errors
/// What dup2(2) says.
pub fn make_standard(terminal: &OwnedFd) -> io::Result<()> {
    nix::unistd::dup2_stdin(terminal.as_fd())?;
    nix::unistd::dup2_stdout(terminal.as_fd())?;
    Ok(nix::unistd::dup2_stderr(terminal.as_fd())?)
}

#[cfg(test)]
mod tests {
    use super::{create, format_size, parse_size, receive};
    use crate::sys::mount::open_place;
    use crate::sys::socket::pair;
    use crate::sys::terminal::window_size;
    use std::os::fd::AsFd as _;
    use std::path::Path;

    #[test]
    fn sizes_are_read_as_they_were_written() {
        let size = parse_size("33x99").expect("a size");
        assert_eq!(format_size(Some(size)), "33x99");
        assert_eq!(format_size(None), "0x0");
        for text in ["", "33", "x", "1x-1", "70000x1"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_client_gets_the_other_end() {
        let root = open_place(Path::new("/")).expect("the root");
        let (ours, theirs) = pair().expect("a pair");
        let size = parse_size("5x7").expect("a size");
        let programs = create(root.as_fd(), size, theirs.as_fd()).expect("a terminal");
        drop(theirs);
        let client = receive(ours.as_fd()).expect("receiving").expect("an end");
        nix::unistd::write(&client, b"x\n").expect("writing");
        let mut buffer = [0; 8];
        assert_eq!(nix::unistd::read(&programs, &mut buffer), Ok(2));
        assert_eq!(window_size(programs.as_fd()).map(|size| size.ws_col), Some(7));
        assert!(receive(ours.as_fd()).expect("receiving").is_none());
    }

    #[test]
    fn what_is_no_devpts_makes_no_terminal() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(root.path().join("dev/pts")).expect("a directory");
        std::os::unix::fs::symlink("/dev/pts/ptmx", root.path().join("dev/pts/ptmx")).expect("a link");
        let place = open_place(root.path()).expect("the root");
        let (_ours, theirs) = pair().expect("a pair");
        let size = parse_size("5x7").expect("a size");
        assert!(create(place.as_fd(), size, theirs.as_fd()).is_err());
        std::fs::remove_file(root.path().join("dev/pts/ptmx")).expect("removing");
        std::fs::write(root.path().join("dev/pts/ptmx"), "").expect("a file");
        assert!(create(place.as_fd(), size, theirs.as_fd()).is_err());
    }
}
