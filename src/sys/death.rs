//! Dying of a chosen signal as PID 1 of a PID namespace.
//!
//! systemd reads how a service ended from its main process, and ours is the namespace's init. When the payload dies of
//! SIGABRT, init must die of SIGABRT, or `systemctl status` tells a story that is not true. But the kernel drops every signal with
//! default action that is sent to an init from within (`SIGNAL_UNKILLABLE`, pid_namespaces(7)), so init cannot simply kill itself.
//!
//! The kernel takes that protection away when it must *force* a signal on a process, as after a wild memory access: it
//! clears the flag, then queues SIGSEGV. So a forced SIGSEGV is provoked, and kept from being the signal that kills:
//!
//! 1. SIGILL (with a handler) and SIGSEGV (default action) are queued while blocked.
//! 2. A third handler returns through a broken signal frame which unblocks SIGILL. sigreturn restores the mask, finds the frame
//!    broken, and forces SIGSEGV: the flag is gone. One SIGSEGV is queued already, so the second is merged with it, and loses
//!    its priority as a synchronous signal.
//! 3. Of the two, SIGILL has the lower number and is delivered first: its handler runs in an init that is killable
//!    now. It drops SIGSEGV, and dies of the signal it wants.
//!
//! Where the kernel should not play along, the process exits with 128 + signal, as a shell would report it.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::sys::process::exit;

static WANTED: AtomicI32 = AtomicI32::new(0);

/// Ends this process by `signal`, without a core dump. Works for an init and for any other process with one thread.
pub fn die_of(signal: i32) -> ! {
    WANTED.store(signal, Ordering::Relaxed);
    let _ = crate::sys::process::forbid_inspection();
    // SAFETY: every pointer is to a local that outlives its call. The handlers touch an atomic and make async-signal-safe calls only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigfillset(&raw mut action.sa_mask);
        action.sa_sigaction = killable as *const () as libc::sighandler_t;
        libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut());
        action.sa_sigaction = break_frame as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const action.sa_mask, std::ptr::null_mut());
        raise(libc::SIGILL);
        raise(libc::SIGSEGV);
        raise(libc::SIGUSR1);
        let mut mask = action.sa_mask;
        libc::sigdelset(&raw mut mask, libc::SIGUSR1);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut());
    }
    exit(128 + signal)
}

/// Step 2: spoils the frame it returns through, in a place that the kernel looks at after the signal mask.
extern "C" fn break_frame(_: libc::c_int, _: *const libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: with SA_SIGINFO the third argument is the frame's context, writable and ours until the handler returns.
    unsafe {
        libc::sigdelset(&raw mut (*context).uc_sigmask, libc::SIGILL);
        #[cfg(target_arch = "x86_64")]
        {
            (*context).uc_mcontext.fpregs = std::ptr::without_provenance_mut(1);
        }
        #[cfg(target_arch = "aarch64")]
        {
            (*context).uc_mcontext.pstate = u64::MAX;
        }
    }
}

/// Step 3: the protection is gone; die as wanted.
extern "C" fn killable(_: libc::c_int) {
    let signal = WANTED.load(Ordering::Relaxed);
    // SAFETY: async-signal-safe calls with valid arguments. Ignoring SIGSEGV discards the queued one.
    unsafe {
        libc::signal(libc::SIGSEGV, libc::SIG_IGN);
        libc::signal(signal, libc::SIG_DFL);
        raise(signal);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
    exit(128 + signal)
}

/// raise(3) by system call: after clone3 the C library's idea of our thread id is the parent's.
fn raise(signal: libc::c_int) {
    // SAFETY: sends a signal to this very thread.
    unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            libc::getpid(),
            libc::syscall(libc::SYS_gettid),
            signal,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::die_of;
    use crate::sys::process::{Parent, clone_process, clone_sibling, exit};
    use nix::sys::signal::Signal::{self, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH};
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;
    use std::io;

    /// The real thing: an init of a new PID namespace, seen to die by the process that is systemd's in this play.
    #[test]
    fn an_init_dies_of_any_signal() {
        let harmless = [SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH];
        for signal in Signal::iterator().filter(|signal| !harmless.contains(signal)) {
            let manager = fork(|| i32::from(!dies_of(signal))).expect("forking");
            let status = waitpid(manager, None).expect("waiting");
            assert_eq!(
                status,
                WaitStatus::Exited(manager, 0),
                "{signal} (creating a namespace needs root)"
            );
        }
    }

    /// A child that ends with what `child` returns. Nothing here allocates: another thread of the test may hold the allocator's lock.
    fn fork(child: impl FnOnce() -> i32) -> io::Result<Pid> {
        match clone_process(0, Parent::Caller, None)? {
            None => exit(child()),
            Some(pid) => Ok(pid),
        }
    }

    fn dies_of(signal: Signal) -> bool {
        let shim = fork(|| match clone_sibling(libc::CLONE_NEWPID) {
            Ok(None) => die_of(signal as i32),
            created => i32::from(created.is_err()),
        });
        let Ok(WaitStatus::Exited(_, 0)) = shim.and_then(|shim| Ok(waitpid(shim, None)?)) else {
            return false;
        };
        // An exit signal of 0 makes it a child that only __WALL finds.
        let status = waitpid(None, Some(WaitPidFlag::__WALL));
        matches!(status, Ok(WaitStatus::Signaled(_, by, false)) if by == signal)
    }
}
