//! Namespaces behind descriptors (ioctl_ns(2)).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;

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
