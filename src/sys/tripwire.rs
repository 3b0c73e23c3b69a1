//! Tells whether something has come in on a socket since one looked last, without being woken by it.
//!
//! A connection that is served between two looks leaves no trace, and who sleeps in poll(2) misses what the program takes first: the kernel
//! looks again before it returns. The asynchronous poll of io_submit(2) (`IOCB_CMD_POLL`, Linux 4.18) does not: it is done with the
//! first wake-up, on the spot, and lies there until it is looked for. After that it costs the socket nothing until it is laid again.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;

/// A wire at each of some sockets.
#[derive(Debug)]
pub struct Tripwires {
    context: libc::c_ulong,
    laid: Vec<bool>,
}

/// `struct iocb`, as both little-endian architectures have it.
#[repr(C)]
#[derive(Default)]
struct Control {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    descriptor: u32,
    buffer: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    result_descriptor: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Event {
    data: u64,
    control: u64,
    result: i64,
    result2: i64,
}

/// `IOCB_CMD_POLL`.
const POLL: u16 = 5;

const _: () = assert!(size_of::<Control>() == 64 && size_of::<Event>() == 32);

impl Tripwires {
    /// As many wires, none of them laid.
    ///
    /// # Errors
    /// What io_setup(2) says: `EAGAIN` where the system has as many as it may (`fs.aio-max-nr`), `ENOSYS` without the call.
    pub fn new(count: usize) -> io::Result<Self> {
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel writes the context's address, and maps its ring where there is room.
        Errno::result(unsafe { libc::syscall(libc::SYS_io_setup, count.max(1), &raw mut context) })?;
        Ok(Self {
            context,
            laid: vec![false; count],
        })
    }

    /// Whether something has come since the last time: a connection, a datagram. `sockets` are the same each time. Lays again what was
    /// set off; where something still waits to be taken, that counts at the next time too.
    ///
    /// # Errors
    /// What io_submit(2) or io_getevents(2) says.
    pub fn check(&mut self, sockets: &[BorrowedFd<'_>]) -> io::Result<bool> {
        let mut any = false;
        loop {
            let mut events = [Event::default(); 8];
            let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: the kernel writes at most as many events as the array has.
            let count = Errno::result(unsafe {
                libc::syscall(
                    libc::SYS_io_getevents,
                    self.context,
                    0,
                    events.len(),
                    events.as_mut_ptr(),
                    &raw const at_once,
                )
            })?;
            let count = usize::try_from(count).unwrap_or_default();
            for event in events.iter().take(count) {
                let index = usize::try_from(event.data).unwrap_or(usize::MAX);
                if let Some(laid) = self.laid.get_mut(index) {
                    *laid = false;
                    any = true;
                }
            }
            if count < events.len() {
                break;
            }
        }
        for (index, (laid, socket)) in self.laid.iter_mut().zip(sockets).enumerate() {
            if !*laid {
                let control = Control {
                    data: index as u64,
                    opcode: POLL,
                    descriptor: socket.as_raw_fd().cast_unsigned(),
                    buffer: u64::from(libc::POLLIN.cast_unsigned()),
                    ..Control::default()
                };
                let mut list = [&raw const control];
                // SAFETY: the kernel copies the one structure before it returns, and holds the socket open by itself.
                Errno::result(unsafe { libc::syscall(libc::SYS_io_submit, self.context, 1, list.as_mut_ptr()) })?;
                *laid = true;
            }
        }
        Ok(any)
    }
}

impl Drop for Tripwires {
    fn drop(&mut self) {
        // SAFETY: the context is ours, and not used any more.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd as _;
    use std::thread;

    use super::Tripwires;

    #[test]
    fn what_others_take_at_once_is_noticed() {
        let stream = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let datagram = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let sockets = [stream.as_fd(), datagram.as_fd()];
        let mut wires = Tripwires::new(sockets.len()).expect("wires");
        assert!(!wires.check(&sockets).expect("an answer"));
        assert!(!wires.check(&sockets).expect("an answer"));
        for _ in 0..50 {
            // Somebody already waits for it, and has it before we look.
            thread::scope(|scope| {
                let taker = scope.spawn(|| drop(stream.accept().expect("a connection")));
                drop(TcpStream::connect(stream.local_addr().expect("an address")).expect("a connection"));
                taker.join().expect("no panic");
            });
            assert!(wires.check(&sockets).expect("an answer"));
            assert!(!wires.check(&sockets).expect("an answer"));
            thread::scope(|scope| {
                let taker = scope.spawn(|| datagram.recv(&mut [0; 8]).expect("a datagram"));
                let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
                sender
                    .send_to(b"x", datagram.local_addr().expect("an address"))
                    .expect("sent");
                taker.join().expect("no panic");
            });
            assert!(wires.check(&sockets).expect("an answer"));
            assert!(!wires.check(&sockets).expect("an answer"));
        }
    }

    #[test]
    fn what_waits_counts_each_time() {
        let stream = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let sockets = [stream.as_fd()];
        let mut wires = Tripwires::new(1).expect("wires");
        let client = TcpStream::connect(stream.local_addr().expect("an address")).expect("a connection");
        wires.check(&sockets).expect("an answer");
        assert!(wires.check(&sockets).expect("an answer"));
        assert!(wires.check(&sockets).expect("an answer"));
        drop((client, stream.accept()));
    }
}
