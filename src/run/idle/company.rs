//! The other processes of the container, as its init sees them in /proc.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::sys::process::send_signal;

/// Sends a signal to everybody in the container but init.
pub fn signal_all(number: i32) {
    send_signal(Pid::from_raw(-1), number);
}

/// The container's processes but init.
///
/// # Errors
/// /proc cannot be read.
pub fn processes() -> io::Result<Vec<Pid>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        all.extend(number.filter(|number| *number != 1).map(Pid::from_raw));
    }
    Ok(all)
}

/// Whether somebody has come into the container by `coracle exec`: their parent is outside, which is number 0.
///
/// # Errors
/// /proc cannot be read.
pub fn has_visitors() -> io::Result<bool> {
    let has_come = |process: &Pid| {
        let text = fs::read(format!("/proc/{process}/stat")).unwrap_or_default();
        state(&text).is_some_and(|(_, parent)| parent == b"0")
    };
    Ok(processes()?.iter().any(has_come))
}

/// Whether each thread stands still within this time.
///
/// # Errors
/// /proc cannot be read.
pub fn stands_still(patience: Duration) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        if processes()?.into_iter().all(is_stopped) {
            return Ok(true);
        }
        if begun.elapsed() > patience {
            return Ok(false);
        }
        sleep(Duration::from_millis(1));
    }
}

/// Kills everybody, and waits until they are gone.
pub fn end_all() {
    for _ in 0..200 {
        signal_all(libc::SIGKILL);
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Err(Errno::ECHILD) => return,
                Ok(status) if status.pid().is_some() => {}
                _ => break,
            }
        }
        sleep(Duration::from_millis(5));
    }
}

/// Whether all threads of a process are stopped or gone.
fn is_stopped(process: Pid) -> bool {
    // One that has ended by now stands still.
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let text = fs::read(thread.path().join("stat")).unwrap_or_default();
        state(&text).is_none_or(|(state, _)| matches!(state, b"T" | b"t" | b"Z" | b"X"))
    })
}

/// State and parent (`/proc/PID/stat`, proc_pid_stat(5)). The name in front of them may have any bytes in it, parentheses too.
fn state(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let mut fields = text.get(end + 2..)?.split(|&byte| byte == b' ');
    Some((fields.next()?, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::state;

    #[test]
    fn names_do_not_get_in_the_way() {
        assert_eq!(state(b"7 (a) R 0) T 1 7 7 0"), Some((&b"T"[..], &b"1"[..])));
        assert_eq!(state(b"7 (\xff\n)) S 0 7"), Some((&b"S"[..], &b"0"[..])));
        assert_eq!(state(b"7 (a)"), None);
        assert_eq!(state(b""), None);
    }
}
