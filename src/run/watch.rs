//! Notices that a program listens where a proxy is going to connect to (`Activation=proxy`), and does nothing about it.
//!
//! Its bind(2) and listen(2) wait for init as with `Activation=intercept`, and are all carried out as they were made. What is known so is
//! readiness, and nothing else: when the proxy connects, it looks for itself whether somebody listens ([`crate::run::proxy`]).

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use crate::definition::ContainerAddress;
use crate::plan::Grant;
use crate::run::intercept::subject::Subject;
use crate::run::sockaddr::{LONGEST, Wanted, parse};
use crate::sys::seccomp::{Call, Listener, Notification};
use crate::sys::socket::read_address;

/// How many sockets that are bound and do not listen yet are remembered: a program that binds again and again must not make us grow.
const BOUND_MAX: usize = 64;

/// How many ports that nobody asked for are remembered.
const OTHERS_MAX: usize = 8;

/// The watching end.
#[derive(Debug)]
pub struct Watch {
    listener: Listener,
    awaited: Vec<Awaited>,
    /// The program's sockets by inode, with the address that they are bound to.
    bound: BTreeMap<u64, usize>,
    others: Vec<u16>,
}

/// An address that the program is to listen on.
#[derive(Debug)]
struct Awaited {
    address: ContainerAddress,
    listens: bool,
}

impl Watch {
    /// Watches for the addresses of `grants`.
    #[must_use]
    pub fn new(listener: Listener, grants: &[Grant]) -> Self {
        let mut awaited: Vec<Awaited> = Vec::new();
        for grant in grants {
            let address = &grant.listen.container;
            if awaited.iter().all(|known| known.address != *address) {
                awaited.push(Awaited {
                    address: address.clone(),
                    listens: false,
                });
            }
        }
        Self {
            listener,
            awaited,
            bound: BTreeMap::new(),
            others: Vec::new(),
        }
    }

    /// Whether the program has listened on all of them.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.awaited.iter().all(|awaited| awaited.listens)
    }

    /// The addresses that nobody listens on, as a sentence for the journal.
    #[must_use]
    pub fn unserved(&self) -> Option<String> {
        let unserved = self.awaited.iter().filter(|awaited| !awaited.listens);
        let unserved: Vec<String> = unserved
            .map(|awaited| match &awaited.address {
                ContainerAddress::Port(port) => format!("port {port}"),
                other => format!("'{other}'"),
            })
            .collect();
        if unserved.is_empty() {
            return None;
        }
        let mut sentence = format!("the program does not listen on {}", unserved.join(", "));
        if let [port, ..] = self.others[..] {
            sentence.push_str(&format!("; it bound port {port}: name that one in 'PublishPort'"));
        }
        Some(sentence)
    }

    /// Takes note of the next call, and lets it through.
    pub fn answer(&mut self) {
        // The caller may have been killed before we looked.
        let Ok(call) = self.listener.receive() else { return };
        // What cannot be looked at is none of ours.
        if let Ok(call) = call.with_arguments() {
            let _ = match call.call {
                Call::Bind => self.bind(&call),
                Call::Listen => self.listen(&call),
                Call::Ask => None,
            };
        }
        self.listener.let_through(&call);
    }

    fn bind(&mut self, call: &Notification) -> Option<()> {
        let mut buffer = [0; LONGEST];
        let length = usize::try_from(call.arguments[2]).ok()?.min(LONGEST);
        let length = read_address(call.thread, call.arguments[1], buffer.get_mut(..length)?).ok()?;
        let wanted = parse(buffer.get(..length)?)?;
        let Some(index) = self.awaited.iter().position(|awaited| wanted.is(&awaited.address)) else {
            if let Wanted::Port(_, port @ 1..) = wanted
                && self.others.len() < OTHERS_MAX
                && !self.others.contains(&port)
            {
                self.others.push(port);
            }
            return None;
        };
        let inode = self.inode(call)?;
        if self.bound.len() == BOUND_MAX {
            self.bound.clear();
        }
        self.bound.insert(inode, index);
        Some(())
    }

    fn listen(&mut self, call: &Notification) -> Option<()> {
        let inode = self.inode(call)?;
        let index = self.bound.remove(&inode)?;
        self.awaited.get_mut(index)?.listens = true;
        Some(())
    }

    /// The socket that `call` is about, looked at while the caller certainly waits.
    fn inode(&self, call: &Notification) -> Option<u64> {
        Some(Subject::of(call, &self.listener)?.inode)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
