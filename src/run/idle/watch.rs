//! What goes on at the container's sockets.
//!
//! Connections that were accepted from systemd's TCP and vsock sockets belong to the network namespace of those, and are told of there. Accepted Unix
//! sockets belong to that of their *client*, which may be another container's; so those are looked for among the descriptors of
//! the container as well, but only when it is about to be stopped.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::run::idle::company;
use crate::sys::diag::end::{End, Tcp, Vsock, inode, trimmed};
use crate::sys::diag::{Diag, Told, state};
use crate::sys::gate;
use crate::sys::process::{descriptor_of, pidfd_open};
use crate::sys::tripwire::Tripwires;

/// The watched sockets.
#[derive(Debug)]
pub struct Watch {
    diag: Diag,
    sockets: Vec<Socket>,
    wires: Tripwires,
}

#[derive(Debug)]
struct Socket {
    socket: OwnedFd,
    inode: u64,
    kind: Kind,
    /// As the definition has it.
    address: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Tcp(Tcp),
    /// A Unix socket with connections, and its name.
    Unix(Vec<u8>),
    Vsock(Vsock),
    /// Nothing stays open: what comes is all there is.
    Datagrams,
}

/// For which sockets a gate was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gated {
    /// For one at least.
    pub any: bool,
    /// For all.
    pub all: bool,
}

/// A connection that is open on one side at least.
const OPEN: u32 = state::mask(&[
    state::ESTABLISHED,
    state::FIN_WAIT_1,
    state::FIN_WAIT_2,
    state::CLOSE_WAIT,
    state::LAST_ACK,
    state::CLOSING,
]);

/// A beginning of one. Many that begin are never made, so it only counts when the container is about to be stopped.
const BEGUN: u32 = state::mask(&[state::SYN_RECEIVED]);

/// One that will be somebody's, if it is not yet.
const COMING: u32 = state::mask(&[state::ESTABLISHED, state::CLOSE_WAIT]) | BEGUN;

impl Watch {
    /// Watches copies of `sockets`, given with their addresses in the definition.
    ///
    /// # Errors
    /// One is of a kind of which the kernel does not tell who uses it, or what the kernel says.
    pub fn new<'s>(diag: Diag, sockets: impl Iterator<Item = (&'s OwnedFd, &'s str)>) -> io::Result<Self> {
        let sockets = sockets.map(|(socket, address)| {
            let kind = match End::of(socket.as_fd())? {
                End::Tcp(local) => Kind::Tcp(local),
                End::Unix(name) => Kind::Unix(name),
                End::Vsock(local) => Kind::Vsock(local),
                End::Datagrams => Kind::Datagrams,
                End::Other => {
                    let why = format!("the kernel does not tell who uses '{address}'");
                    return Err(io::Error::other(why));
                }
            };
            Ok(Socket {
                inode: inode(socket.as_fd())?,
                socket: socket.try_clone()?,
                kind,
                address: address.to_owned(),
            })
        });
        let sockets: Vec<_> = sockets.collect::<io::Result<_>>()?;
        Ok(Self {
            wires: Tripwires::new(sockets.len())?,
            diag,
            sockets,
        })
    }

    /// Makes sure that what the kernel will tell is about our sockets: it is silent, too, about those of another network namespace.
    ///
    /// # Errors
    /// One is not told of.
    pub fn prove(&self) -> io::Result<()> {
        for socket in &self.sockets {
            let mut is_known = false;
            let listening = state::mask(&[state::LISTEN]);
            let see = |told: Told<'_>| is_known |= u64::from(told.inode) == socket.inode;
            match &socket.kind {
                Kind::Tcp(local) => self.diag.tcp(local, listening, see)?,
                Kind::Unix(_) => self.diag.unix(listening, see)?,
                Kind::Vsock(local) => self.diag.vsock(local, listening, see)?,
                Kind::Datagrams => is_known = true,
            }
            if !is_known {
                let why = format!(
                    "the kernel does not tell of '{}' in this network namespace",
                    socket.address
                );
                return Err(io::Error::other(why));
            }
        }
        Ok(())
    }

    /// Whether something has come since the last time, or a connection is open.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn glance(&mut self) -> io::Result<bool> {
        // With many connections it is long to tell of them; who has many has new ones too.
        Ok(self.trip()? || self.has_connections(OPEN)?)
    }

    /// Whether there is anything at all that could become somebody's, or is.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn has_anything(&mut self) -> io::Result<bool> {
        if self.trip()? || self.has_connections(OPEN | BEGUN)? {
            return Ok(true);
        }
        // What came last is what matters for a socket without a gate.
        let mut polled: Vec<_> = self.sockets.iter().map(Socket::polled).collect();
        Ok(poll(&mut polled, PollTimeout::ZERO)? > 0)
    }

    /// Whether a process of the container has a connection that the kernel does not tell of. Where a filter around us forbids to look, as
    /// systemd-nspawn's does, there is none.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn has_hidden_connections(&self) -> io::Result<bool> {
        if !self.sockets.iter().any(|socket| matches!(socket.kind, Kind::Unix(_))) {
            return Ok(false);
        }
        Ok(company::processes()?
            .into_iter()
            .any(|process| self.has_connection(process)))
    }

    /// Keeps new clients away, where that is possible.
    #[must_use]
    pub fn close(&self) -> Gated {
        let mut gated = Gated { any: false, all: true };
        for socket in &self.sockets {
            let is_closed = matches!(socket.kind, Kind::Tcp(_)) && gate::close(socket.socket.as_fd()).is_ok();
            gated.any |= is_closed;
            gated.all &= is_closed;
        }
        gated
    }

    /// Takes back what [`Self::close`] has done.
    pub fn open(&self) {
        let tcp = self.sockets.iter().filter(|socket| matches!(socket.kind, Kind::Tcp(_)));
        tcp.for_each(|socket| gate::open(socket.socket.as_fd()));
    }

    fn trip(&mut self) -> io::Result<bool> {
        let sockets: Vec<BorrowedFd<'_>> = self.sockets.iter().map(|socket| socket.socket.as_fd()).collect();
        self.wires.check(&sockets)
    }

    fn has_connections(&self, states: u32) -> io::Result<bool> {
        let mut any = false;
        for socket in &self.sockets {
            // Without an inode it is nobody's: not accepted yet, or closed, and then it no longer matters.
            let see = |told: Told<'_>| any |= told.inode != 0 || 1 << told.state & COMING != 0;
            match &socket.kind {
                Kind::Tcp(local) => self.diag.tcp(local, states, see)?,
                Kind::Vsock(local) => self.diag.vsock(local, states, see)?,
                Kind::Unix(_) | Kind::Datagrams => {}
            }
        }
        let names: Vec<&[u8]> = self.sockets.iter().filter_map(Socket::name).collect();
        if !any && !names.is_empty() {
            let connected = state::mask(&[state::ESTABLISHED]);
            self.diag
                .unix(connected, |told| any |= names.contains(&trimmed(told.name)))?;
        }
        Ok(any)
    }

    fn has_connection(&self, process: Pid) -> bool {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd"));
        let numbers = descriptors.into_iter().flatten().flatten().filter_map(|entry| {
            let link = fs::read_link(entry.path()).ok()?;
            let inode: u64 = link
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .parse()
                .ok()?;
            let is_ours = self.sockets.iter().any(|socket| socket.inode == inode);
            let number: RawFd = entry.file_name().to_str()?.parse().ok()?;
            (!is_ours).then_some(number)
        });
        let numbers: Vec<RawFd> = numbers.collect();
        let Some(pidfd) = (!numbers.is_empty()).then(|| pidfd_open(process).ok()).flatten() else {
            return false;
        };
        let end_of = |number| End::of(descriptor_of(pidfd.as_fd(), number).ok()?.as_fd()).ok();
        numbers.into_iter().any(|number| {
            let end = end_of(number);
            matches!(end, Some(End::Unix(name)) if self.sockets.iter().any(|socket| socket.name() == Some(&name)))
        })
    }
}

impl Socket {
    fn name(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Unix(name) => Some(name),
            Kind::Tcp(_) | Kind::Vsock(_) | Kind::Datagrams => None,
        }
    }

    fn polled(&self) -> PollFd<'_> {
        PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)
    }
}
