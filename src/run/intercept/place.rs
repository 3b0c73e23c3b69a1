//! The file that a program's bind(2) would have left.
//!
//! A Unix socket that listens is bound by the program itself and replaced when it listens. One for datagrams is never heard of again after its
//! bind, so it is replaced then, and the file, whose owner and mode programs like to change, is left by us. It is made with the
//! program's own identity and mask, so that nothing comes into being that the program could not make; and its directory is reached without the
//! links of procfs, by which a link of the program's could lead to what init has open.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Pid, Uid, setfsgid, setfsuid};

use crate::run::intercept::subject::status_of;
use crate::sys::mount::open_place;
use crate::sys::path::{Links, open_in_root};

/// Makes the file of a socket at `path` as `thread` would.
///
/// # Errors
/// What bind(2) says; that the thread is gone.
pub fn leave(path: &str, thread: Pid) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    // The real, the effective, the saved and the one for files.
    let identity = |name| {
        let ids = status_of(thread, name)?;
        ids.split_whitespace().nth(3)?.parse().ok()
    };
    let uid = identity("Uid").map(Uid::from_raw).ok_or_else(gone)?;
    let gid = identity("Gid").map(Gid::from_raw).ok_or_else(gone)?;
    let mask = status_of(thread, "Umask").and_then(|mask| u32::from_str_radix(&mask, 8).ok());
    let mask = mask.map(Mode::from_bits_truncate).ok_or_else(gone)?;
    // A thread that has another root means another place.
    if fs::read_link(format!("/proc/{thread}/root"))?.as_os_str() != "/" {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let own_mask = umask(mask);
    let (own_gid, own_uid) = (setfsgid(gid), setfsuid(uid));
    // They say what was before, whether it has been changed or not.
    let is_other = setfsuid(uid) == uid && setfsgid(gid) == gid;
    let made = match is_other {
        true => make(Path::new(path)),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    };
    setfsuid(own_uid);
    setfsgid(own_gid);
    umask(own_mask);
    made
}

fn make(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let root = open_place(Path::new("/"))?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open_in_root(root.as_fd(), parent, flags, Links::Inside)?;
    let place = Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name);
    UnixDatagram::bind(place).map(drop)
}
