//! The user notification of seccomp: a system call of another process that waits for our answer (seccomp_unotify(2)).
//!
//! What is answered here is a convenience for the payload and never a border against it: the payload's memory may change
//! between our look and the kernel's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::Pid;

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
    let instructions: [_; FILTER_LENGTH as usize] = [
        load(ARCHITECTURE_OFFSET),
        // Calls of another architecture (32-bit programs) have other numbers; they are let through.
        jump_unless_equal(NATIVE_ARCHITECTURE, 5),
        load(NUMBER_OFFSET),
        jump_if_equal(number(libc::SYS_bind), 4),
        jump_if_equal(number(libc::SYS_listen), 3),
        jump_unless_equal(number(libc::SYS_io_uring_setup), 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_USER_NOTIF),
    ];
    let program = libc::sock_fprog {
        len: FILTER_LENGTH,
        filter: instructions.as_ptr().cast_mut(),
    };
    let install = |flags: libc::c_ulong| {
        // SAFETY: the program points to instructions that outlive the call; a non-negative result is a new descriptor.
        Errno::result(unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        })
    };
    // Once we have seen a call, only a fatal signal may interrupt it (Linux 5.19): Go's scheduler sends signals all the time.
    let fd = install(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
        .or_else(|_| install(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER))?;
    // SAFETY: see above. The kernel makes it close-on-exec.
    let listener = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
    // The caller stops and we go on, or the reverse, so the one may wake the other on its own processor (Linux 6.6).
    // SAFETY: the request takes its argument by value.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
    Ok(Listener(listener))
}

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
    /// The descriptor must be one that [`catch_bind_and_listen`] made, in a process that shared its table; on another, every request fails.
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

/// How many instructions the filter has.
const FILTER_LENGTH: u16 = 9;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`.
const SYNC_WAKE_UP: libc::c_ulong = 1;

/// `SECCOMP_ADDFD_FLAG_SETFD` and `SECCOMP_USER_NOTIF_FLAG_CONTINUE`, as wide as the structures have them.
const REPLACE: u32 = 1;
const CONTINUE: u32 = 1;

/// Places in `struct seccomp_data`.
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;

#[cfg(target_arch = "x86_64")]
const NATIVE_ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE_ARCHITECTURE: u32 = 0xc000_00b7;

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

const fn load(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

const fn jump_if_equal(value: u32, by: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, by, 0, value)
}

const fn jump_unless_equal(value: u32, by: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, by, value)
}

const fn answer(action: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, action)
}

const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    let [low, high, ..] = code.to_le_bytes();
    libc::sock_filter {
        code: u16::from_le_bytes([low, high]),
        jt,
        jf,
        k,
    }
}
