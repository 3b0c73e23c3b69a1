//! What a process inherits from who starts it, taken from another one: resource limits (prlimit(2)).

use std::io;

use nix::errno::Errno;
use nix::unistd::Pid;

/// As many kinds of limits as there are (`RLIM_NLIMITS`).
const KINDS: u32 = 16;

/// What becomes of limits that are higher than this process may have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// There is no such thing for one who has `CAP_SYS_RESOURCE`.
    Refused,
    /// They stay where this process has them.
    CutOff,
}

/// Gives this process the resource limits of the process `pid`.
///
/// # Errors
/// `EPERM` without `CAP_SYS_RESOURCE`, where one is higher than ours and `excess` is refused.
pub fn take_from(pid: Pid, excess: Excess) -> io::Result<()> {
    for kind in 0..KINDS {
        let mut limit = get(pid, kind)?;
        if excess == Excess::CutOff {
            let most = get(Pid::from_raw(0), kind)?.rlim_max;
            limit.rlim_max = limit.rlim_max.min(most);
            limit.rlim_cur = limit.rlim_cur.min(most);
        }
        // SAFETY: the kernel reads one structure of this size; null means that it writes none.
        unsafe {
            let (new, none) = (&raw const limit, std::ptr::null_mut::<libc::rlimit64>());
            Errno::result(libc::syscall(libc::SYS_prlimit64, 0, kind, new, none))?;
        }
    }
    Ok(())
}

/// A limit of process `pid`, or of this one where it is 0.
fn get(pid: Pid, kind: u32) -> io::Result<libc::rlimit64> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one structure of this size; null means that it reads none.
    unsafe {
        let (old, none) = (&raw mut limit, std::ptr::null::<libc::rlimit64>());
        Errno::result(libc::syscall(libc::SYS_prlimit64, pid.as_raw(), kind, none, old))?;
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::{Excess, take_from};
    use nix::sys::resource::{Resource, getrlimit};
    use std::process::Command;

    #[test]
    fn limits_are_taken_from_another_process() {
        let mut other = Command::new("sh");
        let mut other = other
            .args(["-c", "ulimit -c 0; exec sleep 100"])
            .spawn()
            .expect("a process");
        let pid = nix::unistd::Pid::from_raw(other.id().cast_signed());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while getrlimit(Resource::RLIMIT_CORE).expect("a limit") != (0, 0) && std::time::Instant::now() < deadline {
            take_from(pid, Excess::CutOff).expect("taking its limits");
        }
        other.kill().and_then(|()| other.wait()).expect("its end");
        assert_eq!(getrlimit(Resource::RLIMIT_CORE), Ok((0, 0)));
    }
}
