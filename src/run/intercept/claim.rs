//! Which sockets of the program have one of ours, and the undoing of that.
//!
//! A program that binds IPv4 and IPv6 on one port does it in either order, and the first may get a socket that the second one has the better right to. Then the
//! first gets back a socket of its own, bound as it had asked, in the container's empty network: its clients come through the second.

use std::os::fd::{AsFd as _, RawFd};

use nix::unistd::Pid;

use crate::run::intercept::family::Family;
use crate::run::intercept::subject::{Subject, flags_of, is_socket, on_exec};
use crate::sys::seccomp::{Listener, Notification};
use crate::sys::socket::queue;
use crate::sys::socket::{self, Form};

/// A socket of the program in whose place lies one of ours.
#[derive(Debug)]
pub struct Claim {
    process: Pid,
    number: RawFd,
    /// Which of ours, and the inode of that one.
    pub socket: usize,
    inode: u64,
    /// What the program had asked for.
    pub family: Family,
    /// How well that is served ([`Family::fit`]).
    pub fit: u8,
    form: Form,
    address: Vec<u8>,
    listens: bool,
}

/// All of them, as far as they are remembered.
#[derive(Debug, Default)]
pub struct Claims(Vec<Claim>);

/// How many are remembered. A program that binds again and again must not make us grow.
const CLAIMS_MAX: usize = 64;

impl Claims {
    /// Remembers that `subject` has got the socket at `socket`, with this inode, for `address`.
    pub fn add(
        &mut self,
        subject: &Subject,
        socket: usize,
        inode: u64,
        asked: (Family, u8),
        form: Form,
        address: &[u8],
    ) {
        self.0.retain(|claim| !claim.is_of(subject));
        if self.0.len() == CLAIMS_MAX {
            self.0.remove(0);
        }
        let (family, fit) = asked;
        self.0.push(Claim {
            process: subject.process,
            number: subject.number,
            socket,
            inode,
            family,
            fit,
            form,
            address: address.to_vec(),
            listens: false,
        });
    }

    /// How well the best of those is served that have the socket at `socket`, but for `subject` itself.
    #[must_use]
    pub fn strongest(&self, socket: usize, subject: &Subject) -> Option<u8> {
        let rivals = self
            .0
            .iter()
            .filter(|claim| claim.socket == socket && !claim.is_of(subject));
        rivals.filter(|claim| claim.is_held()).map(|claim| claim.fit).max()
    }

    /// Notes that the program listens on `subject`.
    pub fn listens(&mut self, subject: &Subject) {
        let claims = self.0.iter_mut().filter(|claim| claim.is_of(subject));
        claims.for_each(|claim| claim.listens = true);
    }

    /// Those that the program still holds.
    pub fn held(&self) -> impl Iterator<Item = &Claim> {
        self.0.iter().filter(|claim| claim.is_held())
    }

    /// Gives sockets of their own to all in the process of `subject` that have the socket at `socket` and fit it worse than `fit`.
    pub fn undo(&mut self, listener: &Listener, call: &Notification, subject: &Subject, socket: usize, fit: u8) {
        let is_undone = |claim: &mut Claim| {
            claim.socket == socket && claim.fit < fit && claim.process == subject.process && !claim.is_of(subject)
        };
        for claim in self.0.extract_if(.., is_undone) {
            let (true, Some(flags)) = (claim.is_held(), flags_of(claim.process, claim.number)) else {
                continue;
            };
            // Best effort: a bind that fails here would have failed the program itself in an ordinary container.
            if let Ok(own) = socket::bound(claim.form, &claim.address) {
                let listening = if claim.listens {
                    queue::listen(own.as_fd())
                } else {
                    Ok(())
                };
                let blocking = listening.and_then(|()| socket::set_blocking(own.as_fd(), flags));
                let _ = blocking.and_then(|()| listener.replace(call, own.as_fd(), claim.number, on_exec(flags)));
            }
        }
    }
}

impl Claim {
    fn is_of(&self, subject: &Subject) -> bool {
        (self.process, self.number) == (subject.process, subject.number)
    }

    /// Whether the socket still lies there.
    fn is_held(&self) -> bool {
        is_socket(self.process, self.number, self.inode)
    }
}
