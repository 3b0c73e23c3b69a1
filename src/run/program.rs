//! The program that a container runs: found, looked at before it is executed, and explained where it cannot be.
//!
//! It happens inside the container and as its user, so what it finds is what execve(2) will find. Nothing here trusts the file.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{AccessFlags, access};

use crate::sys::capability::{self, Mask};
use crate::sys::process::{default_signal, has_no_new_privs};

/// Signals as a program expects to find them: none blocked, none ignored.
///
/// # Errors
/// What sigaction(2) says.
pub fn restore_signals() -> Result<()> {
    reset_signals()?;
    unblock_signals()
}

/// Ignores no signal: systemd ignores SIGPIPE for its services.
///
/// # Errors
/// What sigaction(2) says.
pub fn reset_signals() -> Result<()> {
    for number in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        default_signal(number).with_context(|| format!("resetting {number}"))?;
    }
    Ok(())
}

/// Blocks no signal.
///
/// # Errors
/// What sigprocmask(2) says.
pub fn unblock_signals() -> Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// There is no such program.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Missing(String);

/// The file that is executed, looked at before the filter may forbid to look.
///
/// # Errors
/// There is none that this user can execute, or it is ours.
pub fn find(program: &str, path: &str) -> Result<PathBuf> {
    let mut denied = None;
    for candidate in candidates(program, path) {
        refuse_ourselves(&candidate)?;
        match access(&candidate, AccessFlags::X_OK) {
            Ok(()) if candidate.is_file() => return Ok(candidate),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Ok(()) | Err(Errno::EACCES) => denied = denied.or(Some((candidate, Errno::EACCES))),
            Err(errno) => denied = denied.or(Some((candidate, errno))),
        }
    }
    match denied {
        Some((candidate, errno)) => bail!(
            "executing '{}': {}",
            candidate.display(),
            explain(&candidate, &head(&candidate), errno)
        ),
        None if program.contains('/') => {
            Err(Missing(format!("executing '{program}': the image has no such file")).into())
        }
        None => Err(Missing(format!("executing '{program}': it is in no directory of PATH ({path})")).into()),
    }
}

/// Fails in a container, where this program may find itself as the payload: between the look that [`find`] takes and the exec, the path can have been
/// led to `/proc/self/exe`. A payload never gains rights, and a start needs some that a payload has to have been given: without both it would fail
/// later, but could execute others before, and those could look at this program's file from within.
///
/// # Errors
/// This process has not got what it takes.
pub fn refuse_to_be_one() -> Result<()> {
    ensure!(
        !has_no_new_privs() || capability::effective().is_ok_and(|mask| mask & SYS_ADMIN != 0),
        "no container can be started without the right to gain rights: it was taken away (NoNewPrivileges=), or this is a container already"
    );
    Ok(())
}

/// `CAP_SYS_ADMIN`.
const SYS_ADMIN: Mask = 1 << 21;

/// Where `program` may be: itself if it has a slash, else each directory of `path`.
fn candidates(program: &str, path: &str) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![program.into()];
    }
    path.split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|d| Path::new(d).join(program))
        .collect()
}

/// An image whose entry point leads to `/proc/self/exe` would run the shim inside, and could then write to it (CVE-2019-5736).
fn refuse_ourselves(candidate: &Path) -> Result<()> {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    let ours = identity(Path::new("/proc/self/exe"));
    let mut program = candidate.to_owned();
    // A script is executed by its interpreter, which may be a script too; the kernel gives up at the fifth.
    for _ in 0..6 {
        ensure!(
            ours.is_none() || identity(&program) != ours,
            "executing '{}': it leads out of the image, to the program that starts containers",
            candidate.display()
        );
        match interpreter(&head(&program)) {
            Some(next) => program = next,
            None => break,
        }
    }
    Ok(())
}

/// The program that a script names in its first line (execve(2), "Interpreter scripts").
fn interpreter(head: &[u8]) -> Option<PathBuf> {
    let line = head.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let mut words = line
        .split(|byte| matches!(byte, b' ' | b'\t' | 0))
        .filter(|word| !word.is_empty());
    Some(PathBuf::from(OsStr::from_bytes(words.next()?)))
}

/// The first bytes of a regular file, nothing of anything else: a FIFO must not be waited for.
#[must_use]
pub fn head(path: &Path) -> Vec<u8> {
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let mut head = Vec::with_capacity(256);
    if let Ok(file) = open
        && file.metadata().is_ok_and(|metadata| metadata.is_file())
    {
        let _ = file.take(256).read_to_end(&mut head);
    }
    head
}

/// What an error of execve(2) means for this file.
#[must_use]
pub fn explain(candidate: &Path, head: &[u8], errno: Errno) -> String {
    match (errno, head) {
        (Errno::ENOEXEC, [0x7f, b'E', b'L', b'F', ..]) => {
            let machine = head
                .get(18..20)
                .map_or(0, |machine| u16::from_le_bytes([machine[0], machine[1]]));
            format!(
                "it is a program for another machine (ELF machine {machine}), not for {}",
                std::env::consts::ARCH
            )
        }
        (Errno::ENOEXEC, _) => "it is neither a program nor a script that begins with '#!'".to_owned(),
        (Errno::EACCES, _) if candidate.is_dir() => "it is a directory".to_owned(),
        (Errno::EACCES, _) if !candidate.is_file() => "it is not a regular file".to_owned(),
        (Errno::EACCES, _) => {
            "it may not be executed (permission denied): see its mode and the payload's 'User'".to_owned()
        }
        (Errno::ENOENT, [b'#', b'!', ..]) => "it is a script whose interpreter the image does not have".to_owned(),
        (Errno::ENOENT, _) => "its dynamic loader is not in the image".to_owned(),
        (errno, _) => errno.desc().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::{candidates, interpreter};
    use std::path::PathBuf;

    #[test]
    fn scripts_name_their_interpreter() {
        let of = |head: &[u8]| interpreter(head);
        assert_eq!(of(b"#!/bin/sh -e\nx"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(of(b"#! \t/proc/self/exe"), Some(PathBuf::from("/proc/self/exe")));
        for head in [&b""[..], b"#!", b"#!\n/bin/sh", b"\x7fELF", b"/bin/sh"] {
            assert_eq!(of(head), None, "{head:?}");
        }
    }

    #[test]
    fn only_absolute_directories_of_path_count() {
        assert_eq!(
            candidates("sh", "/bin::.:/usr/bin:rel"),
            [PathBuf::from("/bin/sh"), PathBuf::from("/usr/bin/sh")]
        );
        assert_eq!(candidates("./sh", "/bin"), [PathBuf::from("./sh")]);
    }
}
