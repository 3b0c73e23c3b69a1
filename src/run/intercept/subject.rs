//! The descriptor that a call is about, looked at while its caller certainly waits.
//!
//! The caller is not to be trusted: it may be gone, be another by then, or share its descriptors with others who change them meanwhile. What is found
//! out here decides which socket it gets and nothing else.

use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use nix::unistd::Pid;

use crate::sys::epoll::{self, Registration};
use crate::sys::process::{descriptor_of, pidfd_open};
use crate::sys::seccomp::{Listener, Notification, OnExec};
use crate::sys::socket;

/// How many descriptors of a program are looked at for an epoll.
const DESCRIPTORS_MAX: usize = 1024;

/// The descriptor that a call is about.
#[derive(Debug)]
pub struct Subject {
    /// The process that the calling thread belongs to.
    pub process: Pid,
    /// The thread.
    pub thread: Pid,
    /// The descriptor's number there.
    pub number: RawFd,
    /// What tells its socket from all others.
    pub inode: u64,
    /// The flags of the descriptor and of the open socket.
    pub flags: OFlag,
    /// A copy of it. Where a filter around us forbids pidfd_getfd(2), as systemd-nspawn's does, what the copy would tell is inferred.
    pub copy: Option<OwnedFd>,
    pidfd: Option<OwnedFd>,
}

impl Subject {
    /// The descriptor that is the first argument of `call`, if it is a socket.
    #[must_use]
    pub fn of(call: &Notification, listener: &Listener) -> Option<Self> {
        // A negative number is no descriptor, and the kernel looks at the lower half of the register alone.
        let number = RawFd::try_from(call.arguments[0] & 0xffff_ffff).ok()?;
        let thread = call.thread;
        // Most calls come from the first thread of a process, which is the process by its number.
        let (process, pidfd) = match pidfd_open(thread) {
            Ok(pidfd) => (thread, Some(pidfd)),
            Err(_) => process_of(thread).map(|process| (process, pidfd_open(process).ok()))?,
        };
        let inode = socket_of(thread, number)?;
        let flags = flags_of(thread, number)?;
        let copy = pidfd
            .as_ref()
            .and_then(|pidfd| descriptor_of(pidfd.as_fd(), number).ok())
            // A thread may have descriptors of its own.
            .filter(|copy| inode_of(copy.as_fd()) == Some(inode));
        listener.is_waiting(call).then_some(Self {
            process,
            thread,
            number,
            inode,
            flags,
            copy,
            pidfd,
        })
    }

    /// Whether the socket is of the network namespace with this cookie.
    #[must_use]
    pub fn is_in(&self, namespace: Option<u64>) -> bool {
        match &self.copy {
            Some(copy) => socket::namespace_cookie(copy.as_fd()).ok() == namespace,
            // The thread's own, and nearly always the socket's.
            None => network_of(self.thread).is_none_or(|theirs| Some(theirs) == network_of(Pid::this())),
        }
    }

    /// Puts `socket` in its place, as the program had set up its own.
    #[must_use]
    pub fn take(&self, listener: &Listener, call: &Notification, socket: BorrowedFd<'_>) -> Option<()> {
        socket::set_blocking(socket, self.flags).ok()?;
        listener.replace(call, socket, self.number, on_exec(self.flags)).ok()?;
        self.move_registrations(socket);
        Some(())
    }

    /// Has every epoll(7) of the program that waits for this descriptor wait for `ours`, which lies there now. Some programs add a socket
    /// before they bind it, as Netty and Boost.Asio do; with the last copy of the socket its place in the epoll would vanish.
    fn move_registrations(&self, ours: BorrowedFd<'_>) {
        let Some(pidfd) = self.copy.as_ref().and(self.pidfd.as_ref()) else {
            return;
        };
        for number in epolls_of(self.thread) {
            let waits = registrations(self.thread, number)
                .into_iter()
                .filter(|one| one.number == self.number && one.inode == self.inode);
            for registration in waits {
                if let Ok(epoll) = descriptor_of(pidfd.as_fd(), number) {
                    // Best effort: a program that has not been moved is one that waits in vain, as it would without us.
                    let _ = epoll::add(epoll.as_fd(), ours, &registration);
                }
            }
        }
    }
}

/// Whether descriptor `number` of a process is this socket.
#[must_use]
pub fn is_socket(process: Pid, number: RawFd, inode: u64) -> bool {
    socket_of(process, number) == Some(inode)
}

/// What tells one socket from another, through whatever descriptor.
#[must_use]
pub fn inode_of(socket: BorrowedFd<'_>) -> Option<u64> {
    Some(fstat(socket).ok()?.st_ino)
}

/// The flags of a descriptor, `O_CLOEXEC` among them (`/proc/PID/fdinfo`, proc_pid_fdinfo(5)).
#[must_use]
pub fn flags_of(process: Pid, number: RawFd) -> Option<OFlag> {
    let information = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}")).ok()?;
    let flags = information.lines().find_map(|line| line.strip_prefix("flags:"))?;
    Some(OFlag::from_bits_retain(i32::from_str_radix(flags.trim(), 8).ok()?))
}

/// What becomes of a descriptor with these flags when another program is executed.
#[must_use]
pub fn on_exec(flags: OFlag) -> OnExec {
    if flags.contains(OFlag::O_CLOEXEC) {
        OnExec::Close
    } else {
        OnExec::Keep
    }
}

/// A line of `/proc/PID/status` (proc_pid_status(5)), without its name.
#[must_use]
pub fn status_of(task: Pid, name: &str) -> Option<String> {
    // The program's name in it may be cut off in the middle of a character.
    let status = fs::read(format!("/proc/{task}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// The process that a thread belongs to.
fn process_of(thread: Pid) -> Option<Pid> {
    Some(Pid::from_raw(status_of(thread, "Tgid")?.parse().ok()?))
}

/// The inode of the socket that is descriptor `number` of a task.
fn socket_of(task: Pid, number: RawFd) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{task}/fd/{number}")).ok()?;
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn network_of(task: Pid) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{task}/ns/net")).ok()
}

/// The numbers of a task's epolls.
fn epolls_of(task: Pid) -> Vec<RawFd> {
    let entries = fs::read_dir(format!("/proc/{task}/fd")).into_iter().flatten();
    let is_epoll = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == "anon_inode:[eventpoll]")
    };
    let epolls = entries.flatten().take(DESCRIPTORS_MAX).filter(is_epoll);
    epolls
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// What an epoll waits for.
fn registrations(task: Pid, number: RawFd) -> Vec<Registration> {
    let information = fs::read_to_string(format!("/proc/{task}/fdinfo/{number}")).unwrap_or_default();
    information.lines().filter_map(Registration::parse).collect()
}
