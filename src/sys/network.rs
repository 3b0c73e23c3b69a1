//! Network namespaces (network_namespaces(7)), and their loopback interface, which is born down.

use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// `IFF_UP`, as wide as `struct ifreq` has it.
const UP: libc::c_short = 1;

/// Moves this process into a new network namespace, whose loopback interface is up.
///
/// # Errors
/// What unshare(2) says, or what stands in the way of the interface.
pub fn enter_new() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    bring_loopback_up()
}

/// Brings `lo` up (netdevice(7)); the kernel then gives it 127.0.0.1 and ::1.
///
/// # Errors
/// What stands in the way of the interface.
pub fn bring_loopback_up() -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all bytes zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = UP;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which `request` is.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })?;
    Ok(())
}
