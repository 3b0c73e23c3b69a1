//! Processes: clone3(2), fork(2), pidfds, exec, and what a process may still see of another one.
//!
//! All of it assumes a process with one thread, which every caller here is: the child of a clone may allocate and run any code only
//! because no other thread can hold a lock at that moment.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::Pid;

/// Creates the container's first process in new `namespaces` (`CLONE_NEW…` flags), as a child of this process's own parent.
///
/// Returns `None` in the new process and its id in the old one. `CLONE_PARENT` makes the new process systemd's child, so that systemd
/// sees its exit status without anyone in between; it wants an exit signal of 0 in the arguments (clone(2)).
///
/// # Errors
/// What clone3(2) says, `EPERM` without `CAP_SYS_ADMIN` among them.
pub fn clone_sibling(namespaces: libc::c_int) -> io::Result<Option<Pid>> {
    clone_process(namespaces, Parent::OfCaller, None)
}

/// Creates a process in new `namespaces`, and in the control group of which `cgroup` is the directory. Returns `None` in the new process
/// and its id in the old one.
///
/// # Errors
/// What clone3(2) says.
pub fn clone_process(
    namespaces: libc::c_int,
    parent: Parent,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Option<Pid>> {
    // SAFETY: all bytes zero is a valid clone_args: no flags, no pointers, no exit signal.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = namespaces.cast_unsigned().into();
    match parent {
        Parent::Caller => arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned()),
        Parent::OfCaller => arguments.flags |= u64::from(libc::CLONE_PARENT.cast_unsigned()),
    }
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: the structure is valid and of the size named. Without CLONE_VM and a stack this is a fork: the child goes on here, on its own
    // copy of the memory; the one-thread rule of this module holds.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match Errno::result(result)? {
        0 => Ok(None),
        pid => Ok(Some(Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?))),
    }
}

/// Creates a child in new `namespaces` that waits until it is killed, or until this process ends.
///
/// # Errors
/// What clone3(2) says.
pub fn fork_and_wait_in(namespaces: libc::c_int) -> io::Result<Pid> {
    // SAFETY: all bytes zero is a valid clone_args.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = namespaces.cast_unsigned().into();
    arguments.exit_signal = libc::SIGCHLD.cast_unsigned().into();
    let parent = std::process::id();
    // SAFETY: as in `clone_sibling`.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match Errno::result(result)? {
        // SAFETY: calls with integer arguments only, which allocate nothing.
        0 => unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // Whoever has ended before that call sends no signal any more.
            while libc::getppid().cast_unsigned() == parent {
                libc::pause();
            }
            libc::_exit(0)
        },
        pid => Ok(Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?)),
    }
}

/// Forks into another control group: the child is born there, and no process is ever moved (`CLONE_INTO_CGROUP`). Returns `None` in the
/// child.
///
/// # Errors
/// What clone3(2) says: `EACCES` if the group is not ours to use, `EAGAIN` if it has as many tasks as it may, `EBUSY` if it has groups
/// of its own that its processes belong into.
pub fn fork_into(group: BorrowedFd<'_>) -> io::Result<Option<Pid>> {
    clone_process(0, Parent::Caller, Some(group))
}

/// `CLONE_INTO_CGROUP`, which does not fit into the type that libc gives it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Whose child a new process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// The caller's.
    Caller,
    /// The caller's parent's.
    OfCaller,
}

/// Takes a descriptor that came by number as this process's own, close-on-exec.
///
/// # Errors
/// `EBADF` if it is not open.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD changes one flag of an open descriptor, and fails on any other.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and the caller was told that it is ours (sd_listen_fds(3), SCM_RIGHTS).
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Ends the process at once, without destructors or exit handlers: they belong to the process this one was forked from.
pub fn exit(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Closes every descriptor from `first` on but `kept`, which becomes close-on-exec.
///
/// # Errors
/// What close_range(2) says.
pub fn close_all_but(kept: RawFd, first: RawFd) -> io::Result<()> {
    let close = |from: RawFd, to: RawFd| {
        if from > to {
            return Ok(0);
        }
        // SAFETY: this runs in a process that is about to exec and drops none of the owned descriptors that it was forked with.
        Errno::result(unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) })
    };
    // SAFETY: F_SETFD changes one flag of an open descriptor.
    Errno::result(unsafe { libc::fcntl(kept, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    close(first, kept - 1)?;
    close(kept + 1, RawFd::MAX)?;
    Ok(())
}

/// Closes every descriptor from `first` on but the two `low` and `high`, which become close-on-exec.
///
/// # Errors
/// What close_range(2) says.
pub fn close_all_but_both(low: RawFd, high: RawFd, first: RawFd) -> io::Result<()> {
    if low + 1 < high {
        // SAFETY: as in `close_all_but`.
        Errno::result(unsafe { libc::syscall(libc::SYS_close_range, low + 1, high - 1, 0) })?;
    }
    if first < low {
        // SAFETY: likewise.
        Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, low - 1, 0) })?;
    }
    // SAFETY: F_SETFD changes one flag of an open descriptor.
    Errno::result(unsafe { libc::fcntl(low, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    close_all_but(high, high)
}

/// Closes every descriptor from `first` on but those of `kept`.
///
/// # Errors
/// What close_range(2) says.
pub fn keep_only(kept: &[BorrowedFd<'_>], first: RawFd) -> io::Result<()> {
    let mut numbers: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    numbers.sort_unstable();
    let mut from = first;
    for number in numbers.into_iter().chain([RawFd::MAX]) {
        if from < number {
            // SAFETY: this runs in a process that drops none of the owned descriptors that it was forked with but those that are kept.
            Errno::result(unsafe { libc::syscall(libc::SYS_close_range, from, number - 1, 0) })?;
        }
        from = from.max(number.saturating_add(1));
    }
    Ok(())
}

/// Closes every descriptor from `first` on, for a program that has just been executed and knows of none.
///
/// # Errors
/// What close_range(2) says.
pub fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: the caller owns none of these yet; they are what this program was executed with.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, RawFd::MAX, 0) })?;
    Ok(())
}

/// Puts a copy of `source` at the descriptor number `target`, open across exec, for a payload that is told the number.
///
/// # Errors
/// What dup2(2) or fcntl(2) says.
pub fn grant(source: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    if source.as_raw_fd() == target {
        // SAFETY: F_SETFD changes one flag of an open descriptor.
        Errno::result(unsafe { libc::fcntl(target, libc::F_SETFD, 0) })?;
    } else {
        // SAFETY: this runs in a process about to exec, whose own descriptors at granted numbers were moved away by the caller.
        Errno::result(unsafe { libc::dup2(source.as_raw_fd(), target) })?;
    }
    Ok(())
}

/// An execve(2) that is prepared: what there is to allocate is allocated, and the call is the only one that is left to make.
#[derive(Debug)]
pub struct Exec {
    program: CString,
    /// As the kernel wants them: pointers into the texts below, and a null pointer behind them.
    argument_pointers: Vec<*const libc::c_char>,
    environment_pointers: Vec<*const libc::c_char>,
    _texts: [Vec<CString>; 2],
}

impl Exec {
    /// Prepares the execution of `program`, with the environment as a value.
    #[must_use]
    pub fn new(program: CString, arguments: Vec<CString>, environment: Vec<CString>) -> Self {
        let pointers = |texts: &[CString]| {
            let texts = texts.iter().map(|text| text.as_ptr());
            texts.chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        Self {
            program,
            argument_pointers: pointers(&arguments),
            environment_pointers: pointers(&environment),
            _texts: [arguments, environment],
        }
    }

    /// Executes the file that is open as `file` in its place. Returns only if that fails.
    #[must_use]
    pub fn execute_file(&self, file: BorrowedFd<'_>) -> Errno {
        // SAFETY: an empty C string; for the rest, as in `execute`.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                file.as_raw_fd(),
                c"".as_ptr(),
                self.argument_pointers.as_ptr(),
                self.environment_pointers.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        Errno::last()
    }

    /// Executes it. Returns only if that fails.
    #[must_use]
    pub fn execute(&self) -> Errno {
        // SAFETY: the program is a C string, both arrays end with a null pointer, and all other pointers lead to C strings on the heap, which
        // stay where they are and unchanged as long as this value owns them.
        unsafe {
            libc::execve(
                self.program.as_ptr(),
                self.argument_pointers.as_ptr(),
                self.environment_pointers.as_ptr(),
            )
        };
        Errno::last()
    }
}

/// Forbids other processes of the same user to look into this one, and core dumps (`PR_SET_DUMPABLE`).
///
/// # Errors
/// What prctl(2) says.
pub fn forbid_inspection() -> io::Result<()> {
    // SAFETY: prctl with integer arguments.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    Ok(())
}

/// `PR_SET_NO_NEW_PRIVS`: no later exec gains rights.
///
/// # Errors
/// What prctl(2) says.
pub fn set_no_new_privs() -> io::Result<()> {
    // SAFETY: prctl with integer arguments.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    Ok(())
}

/// Whether this process, and all that it executes, can gain no rights any more (`PR_GET_NO_NEW_PRIVS`).
#[must_use]
pub fn has_no_new_privs() -> bool {
    // SAFETY: prctl with integer arguments.
    unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 }
}

/// kill(2), for signals of any number. A process that is gone is no error.
pub fn send_signal(pid: Pid, number: i32) {
    // SAFETY: plain integers.
    unsafe { libc::kill(pid.as_raw(), number) };
}

/// Whether signal `number` is blocked and waits.
#[must_use]
pub fn is_pending(number: i32) -> bool {
    // SAFETY: all bytes zero is a valid set, and the calls read and write no more than that.
    unsafe {
        let mut pending: libc::sigset_t = std::mem::zeroed();
        libc::sigpending(&raw mut pending) == 0 && libc::sigismember(&raw const pending, number) == 1
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With this status.
    Exited(i32),
    /// By this signal, be it a real-time one, for which nix has no value.
    Killed(i32),
}

/// Takes in a child that has ended, if there is one.
pub fn reap() -> Option<(Pid, Outcome)> {
    let mut status = 0;
    // SAFETY: the kernel writes an int.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    if pid <= 0 {
        return None;
    }
    Some((Pid::from_raw(pid), Outcome::of(status)))
}

/// Waits for the end of the child `pid`, whatever kind of child it is.
///
/// # Errors
/// `ECHILD` if it is none.
pub fn wait_for(pid: Pid) -> io::Result<Outcome> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes an int.
        match Errno::result(unsafe { libc::waitpid(pid.as_raw(), &raw mut status, libc::__WALL) }) {
            Err(Errno::EINTR) => {}
            Ok(_) => return Ok(Outcome::of(status)),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// How the child `pid` has ended, if it has.
///
/// # Errors
/// `ECHILD` if it is none.
pub fn has_ended(pid: Pid) -> io::Result<Option<Outcome>> {
    let mut status = 0;
    // SAFETY: the kernel writes an int.
    let found = Errno::result(unsafe { libc::waitpid(pid.as_raw(), &raw mut status, libc::__WALL | libc::WNOHANG) })?;
    Ok((found != 0).then(|| Outcome::of(status)))
}

impl Outcome {
    fn of(status: libc::c_int) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Killed(libc::WTERMSIG(status))
        } else {
            Self::Exited(libc::WEXITSTATUS(status))
        }
    }

    /// As a shell reports it.
    #[must_use]
    pub const fn status(self) -> i32 {
        match self {
            Self::Exited(status) => status,
            Self::Killed(signal) => 128 + signal,
        }
    }
}

/// Gives `signal` its default action.
///
/// # Errors
/// `EINVAL` for SIGKILL and SIGSTOP.
pub fn default_signal(signal: nix::sys::signal::Signal) -> io::Result<()> {
    // SAFETY: no handler is installed.
    unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) }?;
    Ok(())
}

/// A pidfd of the process `pid`.
///
/// # Errors
/// What pidfd_open(2) says: `EINVAL` or `ENOENT` for a thread that is not the first of its process.
pub fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: plain integers; a non-negative result is a new descriptor that nobody else owns.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) })
}

/// A copy of descriptor `number` of the process behind `pidfd`, close-on-exec.
///
/// # Errors
/// What pidfd_getfd(2) says: `EBADF` if it has no such descriptor, `EPERM` if we may not look.
pub fn descriptor_of(pidfd: BorrowedFd<'_>, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: plain integers; a non-negative result is a new descriptor that nobody else owns.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })?;
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) })
}

/// Gives back what a process that stays does not need: the memory of freed values, and this program's own code as far as it has been
/// mapped on the way here. What is still run of it comes back from the page cache when it is run.
pub fn trim_memory() {
    unsafe extern "C" {
        // Where the linker has put the program (ld(1), "PROVIDE"); only the addresses mean anything.
        static __executable_start: u8;
        static etext: u8;
    }
    // SAFETY: malloc_trim only touches the allocator's own free memory. The range is the program's headers and code, a private mapping of
    // a file that is never written to, so dropping its pages loses nothing; the kernel rounds nothing, hence the alignment.
    unsafe {
        #[cfg(target_env = "gnu")]
        libc::malloc_trim(0);
        let start = (&raw const __executable_start).addr();
        let length = ((&raw const etext).addr() - start) & !0xfff;
        libc::madvise(std::ptr::without_provenance_mut(start), length, libc::MADV_DONTNEED);
    }
}

/// setdomainname(2): the NIS domain name of this UTS namespace.
///
/// # Errors
/// `EPERM` without the right to, `EINVAL` if it is too long.
pub fn set_domain_name(name: &str) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes as the text has, and keeps none of the memory.
    Errno::result(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) })?;
    Ok(())
}
