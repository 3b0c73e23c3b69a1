//! Filters of system calls (seccomp(2)), and their user notification: a call of another process that waits for our answer
//! (seccomp_unotify(2)).
//!
//! What is answered here is a convenience for the payload and never a border against it: the payload's memory may change
//! between our look and the kernel's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::sys::bpf::{AND, ANSWER, ARCHITECTURE, EQUAL, Instruction, LOAD, LONGEST, NUMBER, argument, jump, plain};
use crate::sys::socket::read_address;

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
    /// Where they lie in the caller's memory, as words of 32 bits, if they are not known yet (socketcall(2)).
    indirect: Option<u64>,
    id: u64,
}

impl Notification {
    /// The same with its arguments, wherever they lie.
    ///
    /// # Errors
    /// `EFAULT` for a wild pointer.
    pub fn with_arguments(mut self) -> io::Result<Self> {
        let Some(place) = self.indirect.take() else {
            return Ok(self);
        };
        let mut words = [0; 12];
        let wanted = match self.call {
            Call::Bind => 12,
            Call::Listen | Call::Ask => 8,
        };
        let got = read_address(self.thread, place & 0xffff_ffff, &mut words[..wanted])?;
        if got != wanted {
            return Err(Errno::EFAULT.into());
        }
        for (argument, &[a, b, c, d]) in self.arguments.iter_mut().zip(words.as_chunks().0) {
            *argument = u64::from(u32::from_ne_bytes([a, b, c, d]));
        }
        Ok(self)
    }
}

/// The system calls that are caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// bind(2).
    Bind,
    /// listen(2).
    Listen,
    /// getsockopt(2) with `SO_ACCEPTCONN`: whether a socket listens already.
    Ask,
}

/// Catches bind(2) and listen(2) of this process and all that it starts from now on, and makes io_uring_setup(2) fail with `ENOSYS`, since
/// a ring can bind without a system call. Calls by 32-bit programs are caught too. So is the question whether a socket listens, by which some
/// programs spare themselves listen(2).
///
/// This process must never bind or listen afterwards: nobody would answer. It needs `CAP_SYS_ADMIN` or `no_new_privs`.
///
/// # Errors
/// What seccomp(2) says: `EBUSY` if a filter with a listener is there already.
pub fn catch_bind_and_listen() -> io::Result<Listener> {
    let program = catching();
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

/// The filter that catches them, for both tables of calls that a machine has; the numbers of a third one (x32) are the first one's with a
/// bit. What comes by any other table is let through. Each line says where it stands, for the jumps.
fn catching() -> [Instruction; 23] {
    [
        plain(LOAD, ARCHITECTURE),
        jump(EQUAL, 5, 0, NATIVE_ARCHITECTURE),          // 1: to 7
        jump(EQUAL, 0, 17, compat::ARCHITECTURE),        // 2: else to 20
        plain(LOAD, NUMBER),                             // 3: a 32-bit program's
        jump(EQUAL, 16, 0, compat::BIND),                // 4: to 21
        jump(EQUAL, 15, 0, compat::LISTEN),              // 5: to 21
        jump(EQUAL, 10, 5, compat::SOCKETCALL),          // 6: to 17, else to 12
        plain(LOAD, NUMBER),                             // 7
        plain(AND, !X32),                                // 8
        jump(EQUAL, 11, 0, number(libc::SYS_bind)),      // 9: to 21
        jump(EQUAL, 10, 0, number(libc::SYS_listen)),    // 10: to 21
        jump(EQUAL, 1, 0, number(libc::SYS_getsockopt)), // 11: to 13
        // 12: to 22, else to 20. It has the same number everywhere.
        jump(EQUAL, 9, 7, number(libc::SYS_io_uring_setup)),
        plain(LOAD, argument(1)),                               // 13: which option is asked for
        jump(EQUAL, 0, 5, libc::SOL_SOCKET.cast_unsigned()),    // 14: else to 20
        plain(LOAD, argument(2)),                               // 15
        jump(EQUAL, 4, 3, libc::SO_ACCEPTCONN.cast_unsigned()), // 16: to 21, else to 20
        plain(LOAD, argument(0)),                               // 17: which call socketcall(2) stands for
        jump(EQUAL, 2, 0, socketcall::BIND),                    // 18: to 21
        jump(EQUAL, 1, 0, socketcall::LISTEN),                  // 19: to 21
        plain(ANSWER, libc::SECCOMP_RET_ALLOW),                 // 20
        plain(ANSWER, libc::SECCOMP_RET_USER_NOTIF),            // 21
        plain(ANSWER, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()), // 22
    ]
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
        let number = raw.data.nr.cast_unsigned();
        let call = match raw.data.arch {
            compat::ARCHITECTURE if number == compat::SOCKETCALL => {
                match raw.data.args[0] == u64::from(socketcall::LISTEN) {
                    true => Call::Listen,
                    false => Call::Bind,
                }
            }
            compat::ARCHITECTURE if number == compat::LISTEN => Call::Listen,
            compat::ARCHITECTURE => Call::Bind,
            _ if number & !X32 == self::number(libc::SYS_listen) => Call::Listen,
            _ if number == self::number(libc::SYS_getsockopt) => Call::Ask,
            _ => Call::Bind,
        };
        let is_indirect = raw.data.arch == compat::ARCHITECTURE && number == compat::SOCKETCALL;
        Ok(Notification {
            call,
            thread: Pid::from_raw(raw.pid.cast_signed()),
            arguments: raw.data.args,
            indirect: is_indirect.then_some(raw.data.args[1]),
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

/// The bit of calls by x32, the third table of x86_64.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;
#[cfg(target_arch = "aarch64")]
const X32: u32 = 0;

/// The table of the machine's 32-bit programs: i386.
#[cfg(target_arch = "x86_64")]
mod compat {
    pub(super) const ARCHITECTURE: u32 = 0x4000_0003;
    pub(super) const BIND: u32 = 361;
    pub(super) const LISTEN: u32 = 363;
    pub(super) const SOCKETCALL: u32 = 102;
}

/// The table of the machine's 32-bit programs: arm, which has no socketcall(2).
#[cfg(target_arch = "aarch64")]
mod compat {
    pub(super) const ARCHITECTURE: u32 = 0x4000_0028;
    pub(super) const BIND: u32 = 282;
    pub(super) const LISTEN: u32 = 284;
    pub(super) const SOCKETCALL: u32 = u32::MAX;
}

/// Which call socketcall(2) stands for.
mod socketcall {
    pub(super) const BIND: u32 = 2;
    pub(super) const LISTEN: u32 = 4;
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}
