//! Locks on single bytes of a file that nobody reads: each byte stands for something that one process has.
//!
//! They belong to open file descriptions (fcntl(2), "Open file description locks"): a lock lives as long as any copy of the descriptor
//! that it was taken by, in whatever process, and ends with the last one. So it cannot be stale.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;

/// Opens a file whose bytes are to be locked; it and its directory are made where they are not there.
///
/// # Errors
/// What open(2) and mkdir(2) say.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    let open = || {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(Path::new("/"));
            DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
            open()
        }
        file => file,
    }
    .map(OwnedFd::from)
}

/// Locks byte `position` of `file` against every other open file description. False if somebody else has it.
///
/// # Errors
/// What fcntl(2) says.
pub fn lock_byte(file: &OwnedFd, position: i64) -> io::Result<bool> {
    let lock = request(WRITE_LOCK, position);
    // SAFETY: the request reads a flock.
    match Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// The same, but waits until nobody else has it.
///
/// # Errors
/// What fcntl(2) says.
pub fn await_byte(file: &OwnedFd, position: i64) -> io::Result<()> {
    let lock = request(WRITE_LOCK, position);
    loop {
        // SAFETY: the request reads a flock.
        match Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &raw const lock) }) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Whether another open file description has byte `position`.
///
/// # Errors
/// What fcntl(2) says.
pub fn is_locked(file: &OwnedFd, position: i64) -> io::Result<bool> {
    let mut lock = request(WRITE_LOCK, position);
    // SAFETY: the request reads a flock and writes one.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) })?;
    Ok(lock.l_type != NO_LOCK)
}

fn request(kind: libc::c_short, position: i64) -> libc::flock {
    // SAFETY: all bytes zero is a valid flock.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind;
    lock.l_start = position;
    lock.l_len = 1;
    lock
}

/// `F_WRLCK`, as wide as the structure has it; `SEEK_SET` is 0.
const WRITE_LOCK: libc::c_short = 1;

/// `F_UNLCK`.
const NO_LOCK: libc::c_short = 2;

#[cfg(test)]
mod tests {
    use super::{is_locked, lock_byte};
    use std::fs::File;
    use std::os::fd::OwnedFd;

    #[test]
    fn a_byte_is_locked_until_its_last_copy_is_closed() {
        let path = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
        let open = || OwnedFd::from(File::options().write(true).open(&path).expect("opening"));
        let (one, other) = (open(), open());
        assert!(lock_byte(&one, 7).expect("locking") && lock_byte(&other, 8).expect("locking"));
        assert!(!lock_byte(&other, 7).expect("trying") && is_locked(&other, 7).expect("asking"));
        assert!(!is_locked(&one, 7).expect("asking") && !is_locked(&one, 9).expect("asking"));
        let copy = one.try_clone().expect("a copy");
        drop(one);
        assert!(!lock_byte(&other, 7).expect("trying"));
        drop(copy);
        assert!(lock_byte(&other, 7).expect("locking"));
    }
}
