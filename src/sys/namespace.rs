//! Namespaces behind descriptors (ioctl_ns(2)).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::stat::fstat;

use crate::sys::process::adopt;

/// `NS_GET_NSTYPE`.
const GET_TYPE: libc::c_ulong = 0xb703;

/// The type of the namespace behind `file` (`CLONE_NEW…`).
///
/// # Errors
/// `ENOTTY` if it is none.
pub fn kind(file: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    // SAFETY: the request takes no argument.
    Ok(Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), GET_TYPE) })?)
}

/// `NS_GET_PARENT`.
const GET_PARENT: libc::c_ulong = 0xb702;

/// The user or PID namespace that the one behind `file` was made in.
///
/// # Errors
/// `EPERM` if that lies outside of the caller's own, `EINVAL` for other kinds.
pub fn parent(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument; a result that is not negative is a new descriptor, which the kernel has made close-on-exec.
    let parent = Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), GET_PARENT) })?;
    adopt(parent)
}

/// Whether the two are one namespace.
///
/// # Errors
/// What fstat(2) says.
pub fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<bool> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
