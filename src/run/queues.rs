//! The queues of the sockets that have started a container, and how long its run must last for their sake.
//!
//! After a failure systemd pauses before it starts a service again (`RestartSec=`). After a clean end it does not: where a client still waits it
//! starts it at once, and where that has happened twenty times in two seconds it closes the socket for good (`TriggerLimitIntervalSec=`,
//! systemd.socket(5)). So no run is so short that this could come about. And one that ends cleanly and leaves its clients where they
//! were lasts as long as a pause: else a program that always does so would keep systemd busy as long as anybody waits.
//!
//! Who has been served cannot be seen from here, only how many wait. Fewer than at the start: somebody has been served, and who comes next is not
//! kept waiting. Nothing here takes a client from a queue.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::definition::end::CleanEnds;
use crate::sys::process::Outcome;
use crate::sys::socket::queue::{listen, queued};

/// Eight in two seconds.
pub const SHORTEST_RUN: Duration = Duration::from_millis(250);

/// What a run that was of no use to anybody takes: the generator's `RestartSec=` for a systemd whose pauses do not grow.
const PAUSE: Duration = Duration::from_secs(2);

/// One socket.
#[derive(Debug)]
struct Queue {
    socket: OwnedFd,
    listens: Listens,
    /// How many waited at the start, where that can be known.
    waited: Option<u32>,
}

/// Whether a socket has connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listens {
    /// It has.
    Yes,
    /// It has datagrams, or is a pipe.
    No,
}

/// All sockets that a connection or a datagram starts the container by.
#[derive(Debug, Default)]
pub struct Queues {
    all: Vec<Queue>,
    clean_ends: CleanEnds,
}

impl Queues {
    /// To be made before the payload runs.
    #[must_use]
    pub fn new(sockets: impl Iterator<Item = (OwnedFd, Listens)>, clean_ends: CleanEnds) -> Self {
        let queue = |(socket, listens): (OwnedFd, Listens)| Queue {
            waited: queued(socket.as_fd()).ok(),
            socket,
            listens,
        };
        Self {
            all: sockets.map(queue).collect(),
            clean_ends,
        }
    }

    /// How long the run of a payload that has ended so, without having been asked to, lasts at least.
    #[must_use]
    pub fn shortest_run(&self, outcome: Outcome) -> Duration {
        match outcome {
            _ if self.all.is_empty() => Duration::ZERO,
            _ if self.may_be_clean(outcome) && self.all.iter().any(Queue::is_as_it_was) => PAUSE,
            _ => SHORTEST_RUN,
        }
    }

    /// Whether systemd may take this for success (`SuccessExitStatus=`, systemd.service(5)).
    fn may_be_clean(&self, outcome: Outcome) -> bool {
        match (outcome, self.clean_ends) {
            (_, CleanEnds::More) | (Outcome::Exited(0), _) => true,
            (Outcome::Exited(_), CleanEnds::Usual) => false,
            (Outcome::Killed(signal), CleanEnds::Usual) => {
                matches!(signal, libc::SIGHUP | libc::SIGINT | libc::SIGTERM | libc::SIGPIPE)
            }
        }
    }

    /// Makes all listen again. A payload that shut its listening socket down must not take the port with it.
    pub fn reopen(&self) {
        let listening = self.all.iter().filter(|queue| queue.listens == Listens::Yes);
        listening.for_each(|queue| drop(listen(queue.socket.as_fd())));
    }
}

impl Queue {
    /// Whether somebody waits, and nobody has been served as far as can be seen.
    fn is_as_it_was(&self) -> bool {
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let somebody_waits = poll(&mut polled, PollTimeout::ZERO) == Ok(1);
        let now = queued(self.socket.as_fd()).ok();
        somebody_waits && self.waited.zip(now).is_none_or(|(then, now)| now >= then)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::{Listens, PAUSE, Queues, SHORTEST_RUN};
    use crate::definition::end::CleanEnds;
    use crate::sys::process::Outcome;

    const CLEAN: Outcome = Outcome::Exited(0);

    #[test]
    fn who_leaves_all_clients_waiting_pauses() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address");
        let first = TcpStream::connect(address).expect("a connection");
        let copy = listener.try_clone().expect("a copy");
        let queues = Queues::new([(copy.into(), Listens::Yes)].into_iter(), CleanEnds::Usual);
        assert_eq!(queues.shortest_run(CLEAN), PAUSE);
        assert_eq!(queues.shortest_run(Outcome::Killed(libc::SIGTERM)), PAUSE);
        assert_eq!(queues.shortest_run(Outcome::Exited(1)), SHORTEST_RUN);
        let told = Queues {
            clean_ends: CleanEnds::More,
            ..queues
        };
        assert_eq!(told.shortest_run(Outcome::Exited(1)), PAUSE);
        let second = TcpStream::connect(address).expect("a connection");
        let queues = Queues::new(
            [(listener.try_clone().expect("a copy").into(), Listens::Yes)].into_iter(),
            CleanEnds::Usual,
        );
        let served = listener.accept().expect("the first");
        assert_eq!(queues.shortest_run(CLEAN), SHORTEST_RUN);
        drop((first, second, served));
    }

    #[test]
    fn a_datagram_left_is_a_client_left() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let copy = socket.try_clone().expect("a copy");
        let queues = Queues::new([(copy.into(), Listens::No)].into_iter(), CleanEnds::Usual);
        assert_eq!(queues.shortest_run(CLEAN), SHORTEST_RUN);
        let address = socket.local_addr().expect("an address");
        socket.send_to(b"x", address).expect("sending");
        assert_eq!(queues.shortest_run(CLEAN), PAUSE);
    }
}
