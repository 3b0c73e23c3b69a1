//! Filters of system calls (seccomp(2)), and their user notification: a call of another process that waits for our answer
//! (seccomp_unotify(2)).
//!
//! What is answered here is a convenience for the payload and never a border against it: the payload's memory may change
//! between our look and the kernel's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::sys::bpf::{ANSWER, ARCHITECTURE, EQUAL, Instruction, LOAD, LONGEST, NUMBER, jump, plain};

/// The end that receives the notifications. When it is closed, the calls it stands for fail with `ENOSYS`.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A system call that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub struct Notification {
    /// Which one.
    pub call: Call,
    /// The calling thread, as this process sees it.
    pub thread: Pid,
    /// The arguments.
    pub arguments: [u64; 6],
    id: u64,
}

/// The system calls that are caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// bind(2).
    Bind,
    /// listen(2).
    Listen,
}

/// Catches bind(2) and listen(2) of this process and all that it starts from now on, and makes io_uring_setup(2) fail with `ENOSYS`, since
/// a ring can bind without a system call.
///
/// This process must never bind or listen afterwards: nobody would answer. It needs `CAP_SYS_ADMIN` or `no_new_privs`.
///
/// # Errors
/// What seccomp(2) says: `EBUSY` if a filter with a listener is there already.
pub fn catch_bind_and_listen() -> io::Result<Listener> {
    let program = [
        plain(LOAD, ARCHITECTURE),
        // Calls of another architecture (32-bit programs) have other numbers; they are let through.
        jump(EQUAL, 0, 5, NATIVE_ARCHITECTURE),
        plain(LOAD, NUMBER),
        jump(EQUAL, 4, 0, number(libc::SYS_bind)),
        jump(EQUAL, 3, 0, number(libc::SYS_listen)),
        jump(EQUAL, 0, 1, number(libc::SYS_io_uring_setup)),
        plain(ANSWER, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
        plain(ANSWER, libc::SECCOMP_RET_ALLOW),
        plain(ANSWER, libc::SECCOMP_RET_USER_NOTIF),
    ];
    // Once we have seen a call, only a fatal signal may interrupt it (Linux 5.19): Go's scheduler sends signals all the time.
    let fd = install(
        &program,
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    )
    .or_else(|_| install(&program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER))?;
    // SAFETY: with this flag the result is a new descriptor. The kernel makes it close-on-exec.
    let listener = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
    // The caller stops and we go on, or the reverse, so the one may wake the other on its own processor (Linux 6.6).
    // SAFETY: the request takes its argument by value.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
    Ok(Listener(listener))
}

/// Filters all further system calls of this process and of all that it starts. It needs `CAP_SYS_ADMIN` or `no_new_privs`.
///
/// # Errors
/// What seccomp(2) says: `EINVAL` if the program is not one.
pub fn filter(program: &[Instruction]) -> io::Result<()> {
    install(program, 0).map(drop)
}

/// The same with `flags` (`SECCOMP_FILTER_FLAG_…`).
///
/// # Errors
/// What seccomp(2) says.
pub fn filter_with(program: &[Instruction], flags: u64) -> io::Result<()> {
    install(program, flags).map(drop)
}

/// The same for a filter that asks about calls: where they are answered.
///
/// # Errors
/// What seccomp(2) says: `EBUSY` if a filter with a listener is there already.
pub fn filter_with_listener(program: &[Instruction], flags: u64) -> io::Result<OwnedFd> {
    let fd = install(program, flags | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: with this flag the result is a new descriptor. The kernel makes it close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) })
}

fn install(program: &[Instruction], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    if program.len() > LONGEST {
        return Err(Errno::E2BIG.into());
    }
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: an Instruction is laid out as a sock_filter is, the program's length is the slice's, the kernel only reads it, and the slice
    // outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    Ok(Errno::result(result)?)
}

const _: () = assert!(
    size_of::<Instruction>() == size_of::<libc::sock_filter>()
        && align_of::<Instruction>() == align_of::<libc::sock_filter>()
);

impl Listener {
    /// The next notification.
    ///
    /// # Errors
    /// `ENOENT` if the caller was killed before we looked, `EINTR`.
    pub fn receive(&self) -> io::Result<Notification> {
        // SAFETY: all bytes zero is valid, and what the kernel wants to find.
        let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the request and the structure belong together.
        Errno::result(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut raw) })?;
        let call = if libc::c_long::from(raw.data.nr) == libc::SYS_listen {
            Call::Listen
        } else {
            Call::Bind
        };
        Ok(Notification {
            call,
            thread: Pid::from_raw(raw.pid.cast_signed()),
            arguments: raw.data.args,
            id: raw.id,
        })
    }

    /// Whether the caller still waits. What was read of it before this says yes, was read of it and not of a later process with its id.
    #[must_use]
    pub fn is_waiting(&self, notification: &Notification) -> bool {
        // SAFETY: the request reads a 64-bit id.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
                &raw const notification.id,
            )
        };
        result == 0
    }

    /// Puts a copy of `socket` in place of the caller's descriptor `number`.
    ///
    /// # Errors
    /// `ENOENT` if the caller is gone.
    pub fn replace(&self, to: &Notification, socket: BorrowedFd<'_>, number: RawFd, on_exec: OnExec) -> io::Result<()> {
        let request = libc::seccomp_notif_addfd {
            id: to.id,
            flags: REPLACE,
            srcfd: socket.as_raw_fd().cast_unsigned(),
            newfd: number.cast_unsigned(),
            newfd_flags: if on_exec == OnExec::Close {
                libc::O_CLOEXEC.cast_unsigned()
            } else {
                0
            },
        };
        // SAFETY: the request reads the structure; descriptors are given by number and stay ours.
        Errno::result(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const request) })?;
        Ok(())
    }

    /// Lets the call return 0 without having been made. A caller that is gone does not matter.
    pub fn succeed(&self, notification: &Notification) {
        self.send(notification.id, 0);
    }

    /// Lets the kernel carry out the call as it was made. A caller that is gone does not matter.
    pub fn let_through(&self, notification: &Notification) {
        self.send(notification.id, CONTINUE);
    }

    fn send(&self, id: u64, flags: u32) {
        let response = libc::seccomp_notif_resp {
            id,
            val: 0,
            error: 0,
            flags,
        };
        // SAFETY: the request reads the structure.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response) };
    }
}

/// What becomes of a descriptor when its process executes another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExec {
    /// `FD_CLOEXEC`.
    Close,
    /// It stays open.
    Keep,
}

impl From<OwnedFd> for Listener {
    /// The descriptor must be one that [`catch_bind_and_listen`] made, in whatever process; on another, every request fails.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> Self {
        listener.0
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`.
const SYNC_WAKE_UP: libc::c_ulong = 1;

/// `SECCOMP_ADDFD_FLAG_SETFD` and `SECCOMP_USER_NOTIF_FLAG_CONTINUE`, as wide as the structures have them.
const REPLACE: u32 = 1;
const CONTINUE: u32 = 1;

#[cfg(target_arch = "x86_64")]
const NATIVE_ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE_ARCHITECTURE: u32 = 0xc000_00b7;

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}
