//! Keeps new clients away from a listening TCP socket for a while, without refusing them.
//!
//! The obvious tool, a socket filter, is kept for those with rights over the network (`CAP_NET_ADMIN`, in kernels of 2026 and later). But
//! everybody may say that a listener's clients have to sign what they send (`TCP_MD5SIG_EXT`, tcp(7); RFC 2385): the kernel drops what is not signed
//! without a word, what begins a connection and what completes one, and the client's kernel sends it again after a second. Connections that
//! are made already, accepted or not, have nothing to do with the listener's keys. One that is made within the microsecond in which the gate
//! closes could take a copy of the key with it, so nobody closes a gate while a connection is being made.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;

/// `struct tcp_md5sig` (linux/tcp.h).
#[repr(C)]
struct Key {
    /// `struct sockaddr_storage`.
    address: [u8; 128],
    flags: u8,
    prefix: u8,
    length: u16,
    interface: i32,
    key: [u8; 80],
}

const _: () = assert!(size_of::<Key>() == SIZE as usize);
const SIZE: libc::socklen_t = 216;

/// `TCP_MD5SIG_EXT`.
const SIGNED: libc::c_int = 32;

/// `TCP_MD5SIG_FLAG_PREFIX`.
const PREFIX: u8 = 1;

/// How long the key is that nobody has; none takes it back.
const LENGTH: u16 = 16;

/// All clients, as addresses of which no bit counts: over IPv4, over IPv6, and over IPv4 at a socket for IPv6.
const FAMILIES: [(libc::c_int, &[u8]); 3] = [
    (libc::AF_INET, &[]),
    (libc::AF_INET6, &[]),
    (libc::AF_INET6, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
];

/// Closes the gate of a listening TCP socket.
///
/// # Errors
/// What setsockopt(2) says: `ENOPROTOOPT` in a kernel without TCP_MD5SIG.
pub fn close(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, LENGTH).inspect_err(|_| open(socket))
}

/// Opens it. Where it is not closed this does nothing.
pub fn open(socket: BorrowedFd<'_>) {
    let _ = set(socket, 0);
}

fn set(socket: BorrowedFd<'_>, length: u16) -> io::Result<()> {
    let ours = crate::sys::socket::domain(socket)?;
    let mut result = Ok(());
    for (family, address) in FAMILIES.into_iter().filter(|(family, _)| *family == ours) {
        let mut key = Key {
            address: [0; 128],
            flags: PREFIX,
            prefix: 0,
            length,
            interface: 0,
            key: [0x5a; 80],
        };
        let family = u16::try_from(family).map_err(io::Error::other)?;
        let bytes = family
            .to_ne_bytes()
            .into_iter()
            .chain([0; 6])
            .chain(address.iter().copied());
        key.address.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        // SAFETY: the kernel copies a `struct tcp_md5sig`, which `key` is.
        let done = Errno::result(unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                SIGNED,
                (&raw const key).cast(),
                SIZE,
            )
        });
        // All of them are tried, since one that is not there cannot be taken back.
        result = result.and(done.map(drop).map_err(io::Error::from));
    }
    result
}

/// Waits until what had come through a gate before it was closed has become a connection, or has at least begun to be one: until all
/// processors are done with the packets that they have in hand (membarrier(2), `MEMBARRIER_CMD_GLOBAL`). It takes some milliseconds.
pub fn settle() {
    // SAFETY: plain integers.
    let waited = Errno::result(unsafe { libc::syscall(libc::SYS_membarrier, 1, 0, 0) });
    if waited.is_err() {
        // Where processors are kept free of such things (`nohz_full=`) there is no such call.
        sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd as _;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{close, open, settle};

    #[test]
    fn clients_wait_and_are_served() {
        for (host, client) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("[::1]:0", "::1"),
            ("[::]:0", "127.0.0.1"),
            ("[::]:0", "::1"),
        ] {
            let listener = TcpListener::bind(host).expect("a listener");
            let port = listener.local_addr().expect("its address").port();
            let address = std::net::SocketAddr::new(client.parse().expect("an address"), port);
            let mut early = TcpStream::connect(address).expect("a connection");
            close(listener.as_fd()).expect("keys");
            settle();
            let (mut accepted, _) = listener.accept().expect("what came before");
            early.write_all(b"a").expect("sent");
            accepted.read_exact(&mut [0]).expect("what belongs to a connection");
            let begun = Instant::now();
            let late = thread::spawn(move || TcpStream::connect(address));
            thread::sleep(Duration::from_millis(300));
            listener.set_nonblocking(true).expect("a flag");
            assert!(listener.accept().is_err());
            open(listener.as_fd());
            open(listener.as_fd());
            late.join().expect("no panic").expect("a connection, after a second");
            assert!(begun.elapsed() > Duration::from_millis(500));
            listener.accept().expect("what came late");
        }
    }
}
