//! Clients for whom a start took longer than one may take (`TimeoutStartSec=`, systemd.service(5)): they have waited for all of it, and are told.
//!
//! Only systemd knows that a start was out of time, and says so when it is over: to `ExecStopPost=`, which has no sockets. So that one notes it
//! down, as a symbolic link that leads nowhere, `/run/coracle/+UNIT`, and whoever next has the sockets in hand closes the connections that wait on
//! them, before it does anything else: the shim at the next try, which comes after the pause, or the proxy. What comes later waits for that try.
//!
//! A client of any other start that fails waits on: whatever keeps a container from starting, it may be mended while somebody waits. But a
//! program that runs and does not listen would have its clients wait as long as they can bear it, and none of them would know.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::run::failure::{Priority, say};
use crate::run::place;
use crate::run::systemctl::properties;
use crate::sys::socket::queue::{listens, queued, take};

/// For how long a note counts: longer than the longest pause between two tries. An older one is of clients that are gone with their socket.
const LIFETIME: Duration = Duration::from_secs(60);

/// How many connections are closed at most on a socket that does not say how many wait.
const MOST: u32 = 4096;

/// Notes down, in `ExecStopPost=` of `unit`, whether this was a start that was out of time.
pub fn note(unit: &str) {
    let link = link(&place::runtime(), unit);
    let _ = fs::remove_file(&link);
    let is_timeout = std::env::var_os("SERVICE_RESULT").is_some_and(|result| result == "timeout");
    if is_timeout && was_starting(unit) {
        // Without it they wait for the next try, and are served by that or not.
        let _ = symlink(now().as_secs().to_string(), link);
    }
}

/// Closes, for the next try of `unit`, the connections that have waited on `sockets` for as long as a start may take.
pub fn dismiss(unit: &str, sockets: &[OwnedFd]) {
    if !sockets.is_empty() && is_noted(&place::runtime(), unit, now()) {
        let closed: u32 = sockets.iter().map(close_all).sum();
        if closed > 0 {
            say(Priority::Warning, &sentence(closed));
        }
    }
}

/// Removes the notes that count no more: where nothing was tried again, nobody has taken them.
pub fn sweep() {
    let (runtime, now) = (place::runtime(), now());
    for unit in place::names().iter().filter_map(|name| name.strip_prefix('+')) {
        let link = link(&runtime, unit);
        if fs::read_link(&link).is_ok_and(|note| !is_fresh(&note, now)) {
            let _ = fs::remove_file(link);
        }
    }
}

fn sentence(closed: u32) -> String {
    let clients = if closed == 1 { "client" } else { "clients" };
    format!(
        "the last start was out of time (TimeoutStartSec=): {closed} {clients} had waited for it, and were told by a close"
    )
}

/// Whether the run that has ended was not ready yet: a stop can be out of time as well, and who waits then has waited for nothing so far.
fn was_starting(unit: &str) -> bool {
    let names = ["ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic"];
    let times = properties(unit, names).map(|times| times.map(|time| time.parse::<u64>()));
    matches!(times, Ok([Ok(began), Ok(ready)]) if ready < began)
}

/// Takes the note of `unit`; whether there was one, and it counts.
fn is_noted(runtime: &Path, unit: &str, now: Duration) -> bool {
    let link = link(runtime, unit);
    // The way of nearly every start ends here.
    let Ok(note) = fs::read_link(&link) else {
        return false;
    };
    let _ = fs::remove_file(&link);
    is_fresh(&note, now)
}

fn is_fresh(note: &Path, now: Duration) -> bool {
    let noted = note
        .to_str()
        .and_then(|text| text.parse().ok())
        .map(Duration::from_secs);
    noted.is_some_and(|noted| now.saturating_sub(noted) <= LIFETIME)
}

/// How many connections it has closed: those that wait now, and none that comes while it is at work.
fn close_all(socket: &OwnedFd) -> u32 {
    if !listens(socket.as_fd()).unwrap_or(false) {
        return 0;
    }
    let most = queued(socket.as_fd()).unwrap_or(MOST);
    // A connection that its client has given up cannot be taken on every kernel, but is gone.
    let taken = (0..most).map_while(|_| take(socket.as_fd()).transpose());
    taken.flatten().map(close).fold(0, |closed, ()| closed + 1)
}

/// Closes a connection so that its client reads the end of it: with bytes unread the kernel would reset it.
fn close(connection: OwnedFd) {
    let mut connection = File::from(connection);
    let mut bytes = [0; 16 * 1024];
    for _ in 0..64 {
        match connection.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(1..) => {}
            _ => return,
        }
    }
}

fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

fn link(runtime: &Path, unit: &str) -> PathBuf {
    // No unit's name begins so with what else lies there.
    runtime.join("coracle").join(format!("+{unit}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::{LIFETIME, close_all, is_noted, link};

    #[test]
    fn a_note_counts_once_and_not_for_long() {
        let runtime = tempfile::tempdir().unwrap();
        std::fs::create_dir(runtime.path().join("coracle")).unwrap();
        let noted = |now| is_noted(runtime.path(), "web.service", Duration::from_secs(now));
        let write = || symlink("100", link(runtime.path(), "web.service")).unwrap();
        assert!(!noted(100));
        write();
        assert!(noted(100 + LIFETIME.as_secs()) && !noted(100));
        write();
        assert!(!noted(101 + LIFETIME.as_secs()) && !noted(100));
    }

    #[test]
    fn who_waits_reads_the_end_and_not_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
        clients[0].write_all(&[b'x'; 100_000]).unwrap();
        let socket = listener.into();
        assert_eq!(close_all(&socket), 3);
        for mut client in clients {
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
        let later = TcpStream::connect(address).unwrap();
        assert_eq!((close_all(&socket), close_all(&socket)), (1, 0));
        assert_eq!(close_all(&UdpSocket::bind("127.0.0.1:0").unwrap().into()), 0);
        drop(later);
    }
}
