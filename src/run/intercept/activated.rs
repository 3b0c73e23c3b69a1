//! One of systemd's sockets, as init holds it for the program.

use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};

use crate::definition::SocketKind;
use crate::plan::Grant;
use crate::run::intercept::family::Family;
use crate::run::intercept::subject::{Subject, inode_of};
use crate::run::sockaddr::Wanted;
use crate::sys::seccomp::{Listener, Notification};
use crate::sys::socket;
use crate::sys::socket::options::Defaults;

/// One of systemd's sockets.
#[derive(Debug)]
pub struct Activated {
    /// The socket.
    pub socket: OwnedFd,
    /// What the definition says of it.
    pub grant: Grant,
    /// Whose clients it has.
    pub family: Family,
    /// What tells it from all others.
    pub inode: u64,
    /// Whether the program has listened on it, or bound it where there is no listening.
    pub served: bool,
    /// The one address that it is bound to, if it is one.
    address: Option<IpAddr>,
    protocol: i32,
}

impl Activated {
    /// The socket that `grant` speaks of; nothing if it is none that can be bound.
    #[must_use]
    pub fn new(socket: OwnedFd, grant: &Grant) -> Option<Self> {
        let bound = socket::internet_address(socket.as_fd()).ok().flatten();
        let address = bound.map(|bound| bound.ip());
        let family = Family::of(socket.as_fd(), address)?;
        let inode = inode_of(socket.as_fd())?;
        let protocol = socket::protocol(socket.as_fd()).ok()?;
        Some(Self {
            socket,
            grant: grant.clone(),
            family,
            inode,
            served: false,
            address: address.filter(|address| !address.is_unspecified()),
            protocol,
        })
    }

    /// Whether it is meant for who binds this address, whatever the type.
    #[must_use]
    pub fn matches(&self, wanted: &Wanted) -> bool {
        wanted.is(&self.grant.listen.container)
    }

    /// Whether it is of the program's type, as far as that is known.
    #[must_use]
    pub fn is_like(&self, program: Option<(SocketKind, i32)>) -> bool {
        program.is_none_or(|(kind, protocol)| (self.grant.listen.kind, self.protocol) == (kind, protocol))
    }

    /// Whether it is bound to the very address that the program names.
    #[must_use]
    pub fn is_at(&self, wanted: &Wanted) -> bool {
        matches!(wanted, Wanted::Port(address, _) if self.address == Some(*address))
    }

    /// Puts it in place of the caller's socket, as the program had set up its own.
    #[must_use]
    pub fn hand_over(
        &self,
        listener: &Listener,
        call: &Notification,
        subject: &Subject,
        defaults: &mut Defaults,
    ) -> Option<()> {
        if let Some(copy) = &subject.copy {
            defaults.copy(copy.as_fd(), self.socket.as_fd());
        }
        subject.take(listener, call, self.socket.as_fd())
    }
}
