//! Landlock (landlock(7)), as far as it is used: a process that can no longer reach others' abstract Unix sockets.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::errno::Errno;

/// The kernel's `struct landlock_ruleset_attr` as of its sixth version (Linux 6.12).
#[repr(C)]
struct Ruleset {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET`.
const ABSTRACT_UNIX_SOCKET: u64 = 1;

/// From now on this process and its children connect only to abstract Unix sockets that are their own. It needs no_new_privs or
/// `CAP_SYS_ADMIN`. Returns false where the kernel cannot do that.
///
/// # Errors
/// What landlock_restrict_self(2) says.
pub fn keep_to_own_abstract_sockets() -> io::Result<bool> {
    let ruleset = Ruleset {
        handled_access_fs: 0,
        handled_access_net: 0,
        scoped: ABSTRACT_UNIX_SOCKET,
    };
    // SAFETY: a valid structure of the size named; a non-negative result is a new descriptor.
    let created = unsafe {
        let size = size_of::<Ruleset>();
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, size, 0)
    };
    let ruleset = match Errno::result(created) {
        Ok(fd) => {
            let fd = i32::try_from(fd).map_err(io::Error::other)?;
            // SAFETY: the kernel has just made it for us.
            unsafe { OwnedFd::from_raw_fd(fd) }
        }
        // No Landlock, or an older one: it does not take a longer structure with something in it, or what it does not know. Only a filter of
        // system calls around all of this machine refuses what anybody may ask for.
        Err(Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::E2BIG | Errno::EINVAL | Errno::EPERM) => return Ok(false),
        Err(errno) => return Err(errno.into()),
    };
    // SAFETY: integers only.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    Errno::result(result)?;
    Ok(true)
}
