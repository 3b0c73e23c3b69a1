//! Leads a check to the sockets of its own program.
//!
//! A check says "is somebody there on port 80", as the image knows it; but the program has systemd's sockets, which belong to the host's network, and in the
//! container's nobody listens. So while a check runs, the nursery listens there on the loopback, and copies what comes between it and a connection to
//! the real socket. That one is made by a socket which the shim has opened in the host's network beforehand and which serves one check after the other; it
//! is connected to the program's own socket and to nothing else, and no check gets hold of it.
//!
//! Nothing is done where the program listens itself, as it may for a family that systemd's socket does not have: that address is taken then.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};

use crate::definition::network::Network;
use crate::definition::{Activation, ContainerAddress, SocketKind};
use crate::plan::{Grant, Plan};
use crate::sys::socket::{disconnect, internet_address, is_ipv6_only};

/// How many connections a check can have at once to one of the program's sockets.
const CONNECTIONS: usize = 2;

/// How many of the program's sockets are led to.
const WAYS_MAX: usize = 8;

/// How much is under way in one direction at most.
const CHUNK: usize = 16 << 10;

/// How long connections may take to end when the check has ended.
const FAREWELL: Duration = Duration::from_millis(100);

/// One of the program's sockets, seen from the host's network.
#[derive(Debug)]
pub struct Way {
    /// Where it is in the host's network.
    target: SocketAddr,
    /// Where a check looks for it, on the loopback.
    inside: Vec<SocketAddr>,
    /// Sockets of the host's network, not connected.
    free: Vec<TcpStream>,
}

/// All of them, and what goes on there.
#[derive(Debug)]
pub struct Lead {
    ways: Vec<Way>,
    listeners: Vec<(TcpListener, usize)>,
    links: Vec<Link>,
}

/// A connection of a check's.
#[derive(Debug)]
struct Link {
    way: usize,
    inside: TcpStream,
    outside: TcpStream,
    in_: Flow,
    out: Flow,
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    bytes: Vec<u8>,
    /// The source has ended.
    has_ended: bool,
    /// The other side has been told.
    is_over: bool,
}

/// The ways to `sockets` that the checks of `plan` need, made in the host's network: those over TCP whose program has a network of its own.
#[must_use]
pub fn ways(plan: &Plan, sockets: &[OwnedFd]) -> Vec<Way> {
    let has_own_network = match plan.network {
        Network::None | Network::Pasta | Network::Bridges(_) => true,
        Network::Host | Network::Container(_) | Network::Path(_) => false,
    };
    let has_sockets = matches!(plan.activation, Activation::Intercept | Activation::Inherit);
    if plan.health.is_none() || !has_own_network || !has_sockets {
        return Vec::new();
    }
    let granted = sockets.iter().zip(&plan.sockets);
    let ways = granted.filter_map(|(socket, grant)| Way::to(socket, grant));
    ways.take(WAYS_MAX).collect()
}

impl Way {
    fn to(listener: &OwnedFd, grant: &Grant) -> Option<Self> {
        let (ContainerAddress::Port(port), SocketKind::Stream) = (&grant.listen.container, grant.listen.kind) else {
            return None;
        };
        let four = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, *port));
        let (target, inside) = match internet_address(listener.as_fd()).ok().flatten()? {
            SocketAddr::V4(own) if own.ip().is_unspecified() => ((Ipv4Addr::LOCALHOST, own.port()).into(), vec![four]),
            SocketAddr::V4(own) => (own.into(), vec![four]),
            SocketAddr::V6(own) if !own.ip().is_unspecified() => (own.into(), vec![six]),
            SocketAddr::V6(own) if is_ipv6_only(listener.as_fd()).unwrap_or(true) => {
                ((Ipv6Addr::LOCALHOST, own.port()).into(), vec![six])
            }
            // There may be no ::1, but there is 127.0.0.1.
            SocketAddr::V6(own) => (
                (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), own.port()).into(),
                vec![four, six],
            ),
        };
        let family = match target {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let free = (0..CONNECTIONS).filter_map(|_| socket(family, SockType::Stream, flags, None).ok());
        Some(Self {
            target,
            inside,
            free: free.map(TcpStream::from).collect(),
        })
    }
}

impl Lead {
    /// Along these ways.
    #[must_use]
    pub fn new(ways: Vec<Way>) -> Self {
        Self {
            ways,
            listeners: Vec::new(),
            links: Vec::new(),
        }
    }

    /// What must stay open.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.ways.iter().flat_map(|way| &way.free).map(TcpStream::as_fd)
    }

    /// Begins to listen, wherever nobody does.
    pub fn open(&mut self) {
        for (index, way) in self.ways.iter().enumerate() {
            for address in &way.inside {
                let listener = TcpListener::bind(address).ok();
                let listener = listener.filter(|listener| listener.set_nonblocking(true).is_ok());
                self.listeners.extend(listener.map(|listener| (listener, index)));
            }
        }
    }

    /// What there is to wait for.
    pub fn poll<'l>(&'l self, polled: &mut Vec<PollFd<'l>>) {
        for (listener, way) in &self.listeners {
            if self.ways.get(*way).is_some_and(|way| !way.free.is_empty()) {
                polled.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
            }
        }
        for link in &self.links {
            let wanted = |in_: &Flow, out: &Flow| {
                let mut flags = PollFlags::empty();
                flags.set(PollFlags::POLLIN, in_.bytes.is_empty() && !in_.has_ended);
                flags.set(PollFlags::POLLOUT, !out.bytes.is_empty());
                flags
            };
            let ends = [
                (&link.inside, wanted(&link.in_, &link.out)),
                (&link.outside, wanted(&link.out, &link.in_)),
            ];
            // One of which nothing is wanted would wake us by its end again and again.
            let ends = ends.into_iter().filter(|(_, flags)| !flags.is_empty());
            polled.extend(ends.map(|(stream, flags)| PollFd::new(stream.as_fd(), flags)));
        }
    }

    /// Accepts, connects and copies, without waiting for anybody.
    pub fn pass_on(&mut self) {
        for (listener, index) in &self.listeners {
            let Some(way) = self.ways.get_mut(*index) else { continue };
            while let Some(outside) = way.free.pop() {
                let Ok((inside, _)) = listener.accept() else {
                    way.free.push(outside);
                    break;
                };
                let connected = inside
                    .set_nonblocking(true)
                    .and_then(|()| connect_to(&outside, way.target));
                match connected {
                    Ok(()) => self.links.push(Link {
                        way: *index,
                        inside,
                        outside,
                        in_: Flow::default(),
                        out: Flow::default(),
                    }),
                    Err(_) => way.free.push(outside),
                }
            }
        }
        for link in std::mem::take(&mut self.links) {
            self.advance(link);
        }
    }

    /// Stops to listen, and ends what is left, in peace where the other side does its part.
    pub fn close(&mut self) {
        self.listeners.clear();
        let begun = Instant::now();
        while !self.links.is_empty() {
            let rest = FAREWELL.saturating_sub(begun.elapsed());
            if rest.is_zero() {
                break;
            }
            let mut polled = Vec::new();
            self.poll(&mut polled);
            let rest = PollTimeout::try_from(rest + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
            let _ = poll(&mut polled, rest);
            drop(polled);
            self.pass_on();
        }
        for link in std::mem::take(&mut self.links) {
            self.release(link);
        }
    }

    fn advance(&mut self, mut link: Link) {
        let copied = link.in_.copy(&link.inside, &link.outside);
        let copied = copied.and_then(|()| link.out.copy(&link.outside, &link.inside));
        match copied {
            Ok(()) if !(link.in_.is_over && link.out.is_over) => self.links.push(link),
            _ => self.release(link),
        }
    }

    /// The outer socket is of use again.
    fn release(&mut self, link: Link) {
        if let (Ok(()), Some(way)) = (disconnect(link.outside.as_fd()), self.ways.get_mut(link.way)) {
            way.free.push(link.outside);
        }
    }
}

impl Flow {
    fn copy(&mut self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        // A bound, as everywhere.
        for _ in 0..64 {
            if self.bytes.is_empty() && !self.has_ended {
                let mut buffer = [0; CHUNK];
                match from.read(&mut buffer) {
                    Ok(0) => self.has_ended = true,
                    Ok(length) => self.bytes.extend(buffer.iter().take(length)),
                    Err(error) => return waits(error),
                }
            }
            if self.bytes.is_empty() {
                if !self.is_over {
                    self.is_over = true;
                    // Who is gone needs not be told.
                    let _ = to.shutdown(Shutdown::Write);
                }
                return Ok(());
            }
            match to.write(&self.bytes) {
                Ok(length) => drop(self.bytes.drain(..length.min(self.bytes.len()))),
                Err(error) => return waits(error),
            }
        }
        Ok(())
    }
}

/// That one has to wait is no error.
fn waits(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

/// Begins to connect.
fn connect_to(socket: &TcpStream, target: SocketAddr) -> io::Result<()> {
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(target)) {
        Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{CONNECTIONS, Lead, Way};
    use crate::definition::{ContainerAddress, Listen, SocketKind};
    use crate::plan::Grant;
    use nix::poll::{PollTimeout, poll};
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread;

    fn way(listener: &TcpListener, port: u16) -> Way {
        let grant = Grant {
            name: "x".to_owned(),
            index: 0,
            listen: Listen {
                kind: SocketKind::Stream,
                address: String::new(),
                container: ContainerAddress::Port(port),
            },
        };
        Way::to(&listener.try_clone().unwrap().into(), &grant).unwrap()
    }

    #[test]
    fn one_check_after_the_other_gets_its_answer() {
        let program = TcpListener::bind("0.0.0.0:0").unwrap();
        // A port that nobody has: of a listener that is gone.
        let inside = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut lead = Lead::new(vec![way(&program, inside.port())]);
        let serve = thread::spawn(move || {
            for _ in 0..3 * CONNECTIONS {
                let (mut stream, _) = program.accept().unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                stream.write_all(text.to_uppercase().repeat(10_000).as_bytes()).unwrap();
            }
        });
        for _ in 0..3 * CONNECTIONS {
            lead.open();
            let check = thread::spawn(move || {
                let mut stream = TcpStream::connect(inside).unwrap();
                stream.write_all(b"hello").unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                text
            });
            while !check.is_finished() {
                let mut polled = Vec::new();
                lead.poll(&mut polled);
                poll(&mut polled, PollTimeout::from(10_u8)).unwrap();
                drop(polled);
                lead.pass_on();
            }
            lead.close();
            assert_eq!(check.join().unwrap(), "HELLO".repeat(10_000));
            assert_eq!(lead.ways[0].free.len(), CONNECTIONS);
            TcpStream::connect(inside).unwrap_err();
        }
        serve.join().unwrap();
    }

    #[test]
    fn a_program_that_listens_itself_is_left_alone() {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = own.local_addr().unwrap().port();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut lead = Lead::new(vec![way(&other, port)]);
        lead.open();
        assert!(lead.listeners.is_empty());
        let target: SocketAddr = lead.ways[0].target;
        assert_eq!(target, other.local_addr().unwrap());
    }
}
