//! Gives an unmodified program its activated sockets: when it binds an address that is ours, it gets our socket instead.
//!
//! The payload's bind(2) and listen(2) wait for our answer (seccomp_unotify(2)). A bind that matches by address and type has its
//! descriptor replaced by the activated socket and returns 0; everything else is carried out as it was made. This is a convenience for the
//! payload and not a border: who evades it binds in a network namespace where nobody is.
//!
//! Two address families share a port in more ways than one. systemd's usual socket is dual-stack, and many programs bind IPv4
//! first and IPv6 second: the first bind gets the dual-stack socket, because it may be the only one. When the second comes, it gets that socket, and the
//! first is undone: its own descriptor is put back, bound as the program had asked, in the container's empty network.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use nix::sys::stat::fstat;
use nix::unistd::Pid;

use crate::definition::{ContainerAddress, SocketKind};
use crate::plan::Grant;
use crate::run::failure::{Priority, say};
use crate::run::sockaddr::{LONGEST, Wanted, parse};
use crate::sys::process::{descriptor_of, pidfd_open};
use crate::sys::seccomp::{Call, Listener, Notification, OnExec};
use crate::sys::socket;

/// The answering end.
#[derive(Debug)]
pub struct Intercept {
    listener: Listener,
    sockets: Vec<Activated>,
    replaced: Vec<Replaced>,
    /// The container's network namespace; `None` on kernels that do not tell.
    namespace: Option<u64>,
    undeclared: Vec<u16>,
    /// Unix sockets of the payload that are to be replaced when it listens, by inode, with the socket that takes their place.
    bound_unix: BTreeMap<u64, usize>,
}

/// One of systemd's sockets.
#[derive(Debug)]
struct Activated {
    socket: OwnedFd,
    grant: Grant,
    family: Family,
    inode: u64,
    served: bool,
    /// A dual-stack socket that an IPv6 bind has: the clients of both families are that one's.
    taken_by_ipv6: bool,
}

/// Which clients a socket has, or a program asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6Only,
    DualStack,
    Unix,
}

/// An IPv4 socket of the payload in whose place lies a dual-stack one.
#[derive(Debug)]
struct Replaced {
    process: Pid,
    number: RawFd,
    address: Vec<u8>,
    port: u16,
    listens: bool,
}

/// How many of them are remembered.
const REPLACED_MAX: usize = 64;

/// The descriptor that a call is about.
struct Subject {
    process: Pid,
    number: RawFd,
    inode: u64,
    flags: OFlag,
    /// A copy of it. Where a filter around us forbids pidfd_getfd(2), as systemd-nspawn's does, what the copy would tell is inferred.
    copy: Option<OwnedFd>,
}

impl Intercept {
    /// Answers for `sockets`, in the order of `grants`. To be made inside the container's network namespace.
    #[must_use]
    pub fn new(listener: Listener, grants: &[Grant], sockets: Vec<OwnedFd>) -> Self {
        let activated = |(socket, grant): (OwnedFd, &Grant)| {
            let (family, inode) = (family(socket.as_fd())?, inode(socket.as_fd())?);
            Some(Activated {
                socket,
                grant: grant.clone(),
                family,
                inode,
                served: false,
                taken_by_ipv6: false,
            })
        };
        let sockets = sockets.into_iter().zip(grants).filter_map(activated).collect();
        let probe = nix::sys::socket::socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
        let namespace = probe
            .ok()
            .and_then(|probe| socket::namespace_cookie(probe.as_fd()).ok());
        Self {
            listener,
            sockets,
            replaced: Vec::new(),
            namespace,
            undeclared: Vec::new(),
            bound_unix: BTreeMap::new(),
        }
    }

    /// Whether every declared address is served by one of its sockets at least: an IPv4 socket beside an IPv6 one need not be.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.sockets.iter().all(|socket| {
            let same = |other: &&Activated| {
                let (ours, theirs) = (&socket.grant.listen, &other.grant.listen);
                (ours.kind, &ours.container) == (theirs.kind, &theirs.container)
            };
            self.sockets.iter().filter(same).any(|other| other.served)
        })
    }

    /// The sockets that nobody serves, as a sentence for the journal.
    #[must_use]
    pub fn unserved(&self) -> Option<String> {
        let unserved = self.sockets.iter().filter(|socket| !socket.served);
        let unserved: Vec<String> = unserved.map(|socket| socket.describe()).collect();
        if unserved.is_empty() {
            return None;
        }
        let mut sentence = format!("the program does not listen on {}", unserved.join(", "));
        if let [port, ..] = self.undeclared[..] {
            sentence.push_str(&format!("; it bound port {port}: name that one in 'PublishPort'"));
        }
        Some(sentence)
    }

    /// What may go wrong with the families that the program asked for, as sentences for the journal.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        let mut ports: Vec<u16> = self.replaced.iter().map(|replaced| replaced.port).collect();
        ports.dedup();
        let advice = |port| {
            format!(
                "the program asked for IPv4 on port {port} and got a socket for IPv6 too: if it shows wrong addresses or closes \
                 connections, bind it to '::' or publish an IPv4 address, as in 'PublishPort = \"0.0.0.0:PORT:{port}\"'"
            )
        };
        ports.into_iter().map(advice).collect()
    }

    /// Answers the next call.
    pub fn answer(&mut self) {
        // The caller may have been killed before we looked.
        let Ok(call) = self.listener.receive() else { return };
        let done = match call.call {
            Call::Bind => self.bind(&call),
            Call::Listen => self.listen(&call),
        };
        match done {
            Some(()) => self.listener.succeed(&call),
            None => self.listener.let_through(&call),
        }
    }

    /// Replaces the caller's socket by ours; `None` if the call is none of our business.
    fn bind(&mut self, call: &Notification) -> Option<()> {
        let mut buffer = [0; LONGEST];
        let length = usize::try_from(call.arguments[2]).ok()?.min(LONGEST);
        let length = socket::read_address(call.thread, call.arguments[1], buffer.get_mut(..length)?).ok()?;
        let address = buffer.get(..length)?;
        let wanted = parse(address)?;
        if !self.sockets.iter().any(|socket| socket.matches(&wanted)) {
            self.note_undeclared(&wanted);
            return None;
        }
        let subject = self.subject(call)?;
        let is_foreign = |copy: &OwnedFd| socket::namespace_cookie(copy.as_fd()).ok() != self.namespace;
        let is_ours = self.sockets.iter().any(|socket| socket.inode == subject.inode);
        if is_ours || subject.copy.as_ref().is_some_and(is_foreign) {
            return None;
        }
        let kind = subject.copy.as_ref().and_then(|copy| kind(copy.as_fd()));
        let family = match (&subject.copy, &wanted) {
            (Some(copy), _) => family(copy.as_fd())?,
            (None, Wanted::Port(libc::AF_INET, _)) => Family::Ipv4,
            (None, Wanted::Port(..)) => Family::DualStack,
            (None, Wanted::Unix(_)) => Family::Unix,
        };
        let chosen = self.choose(&wanted, kind, family)?;
        let ours = self.sockets.get_mut(chosen)?;
        if family == Family::Unix && ours.grant.listen.kind == SocketKind::Stream {
            // The bind is carried out, since programs set owner and mode of what it leaves; the socket is replaced when they listen.
            if self.bound_unix.len() == REPLACED_MAX {
                self.bound_unix.clear();
            }
            self.bound_unix.insert(subject.inode, chosen);
            return None;
        }
        hand_over(&self.listener, call, &subject, ours)?;
        // A datagram socket serves from here on.
        ours.served |= ours.grant.listen.kind == SocketKind::Datagram;
        if let (Wanted::Port(_, port), Family::DualStack, SocketKind::Stream) =
            (&wanted, ours.family, ours.grant.listen.kind)
        {
            match family {
                Family::Ipv4 => self.note_replaced(Replaced {
                    process: subject.process,
                    number: subject.number,
                    address: address.to_vec(),
                    port: *port,
                    listens: false,
                }),
                _ => {
                    ours.taken_by_ipv6 = true;
                    self.undo(call, subject.process, *port);
                }
            }
        }
        Some(())
    }

    /// The program listens. The queue is systemd's (`Backlog=`), so only a socket of its own gets the length it asks for.
    fn listen(&mut self, call: &Notification) -> Option<()> {
        let subject = self.subject(call)?;
        let ours = match self.bound_unix.get(&subject.inode) {
            Some(&chosen) => {
                let ours = self.sockets.get_mut(chosen)?;
                hand_over(&self.listener, call, &subject, ours)?;
                ours
            }
            None => self.sockets.iter_mut().find(|socket| socket.inode == subject.inode)?,
        };
        ours.served = true;
        let replaced = |r: &&mut Replaced| (r.process, r.number) == (subject.process, subject.number);
        self.replaced
            .iter_mut()
            .filter(replaced)
            .for_each(|replaced| replaced.listens = true);
        // It listens already, unless the program has shut it down before.
        socket::listen(ours.socket.as_fd()).ok()
    }

    /// The descriptor that `call` is about, looked at while the caller certainly waits.
    fn subject(&self, call: &Notification) -> Option<Subject> {
        let number = RawFd::try_from(call.arguments[0]).ok()?;
        // Most calls come from the first thread of a process, which is the process by its number.
        let (process, pidfd) = match pidfd_open(call.thread) {
            Ok(pidfd) => (call.thread, Ok(pidfd)),
            Err(_) => process_of(call.thread).map(|process| (process, pidfd_open(process)))?,
        };
        let inode = socket_of(process, number)?;
        let flags = flags_of(process, number)?;
        let copy = pidfd.and_then(|pidfd| descriptor_of(pidfd.as_fd(), number)).ok();
        self.listener.is_waiting(call).then_some(Subject {
            process,
            number,
            inode,
            flags,
            copy,
        })
    }

    /// The socket for what a program asks: an exact one first, then one that has its clients among others.
    fn choose(&self, wanted: &Wanted, kind: Option<SocketKind>, family: Family) -> Option<usize> {
        let order: &[Family] = match family {
            Family::Ipv4 => &[Family::Ipv4, Family::DualStack],
            Family::Ipv6Only => &[Family::Ipv6Only, Family::DualStack],
            Family::DualStack => &[Family::DualStack, Family::Ipv6Only],
            Family::Unix => &[Family::Unix],
        };
        let asked = family;
        order.iter().find_map(|family| {
            let fits = |socket: &Activated| {
                kind.is_none_or(|kind| socket.grant.listen.kind == kind)
                    && socket.family == *family
                    && socket.matches(wanted)
                    && !(asked == Family::Ipv4 && socket.taken_by_ipv6)
            };
            self.sockets.iter().position(fits)
        })
    }

    /// Puts IPv4 sockets of the container's own network back on `port`, now that the program's IPv6 socket has the clients of both.
    fn undo(&mut self, call: &Notification, process: Pid, port: u16) {
        let is_undone = |replaced: &mut Replaced| replaced.process == process && replaced.port == port;
        for Replaced {
            number,
            address,
            listens,
            ..
        } in self.replaced.extract_if(.., is_undone)
        {
            let lies_there = |inode| self.sockets.iter().any(|socket| socket.inode == inode);
            let (true, Some(flags)) = (
                socket_of(process, number).is_some_and(lies_there),
                flags_of(process, number),
            ) else {
                continue;
            };
            // Best effort: a bind that fails here would have failed the program itself in an ordinary container.
            if let Ok(own) = socket::bound_ipv4(&address) {
                let listening = if listens { socket::listen(own.as_fd()) } else { Ok(()) };
                let blocking = listening.and_then(|()| socket::set_blocking(own.as_fd(), flags));
                let _ = blocking.and_then(|()| self.listener.replace(call, own.as_fd(), number, on_exec(flags)));
            }
        }
    }

    /// Remembers a socket that may have to be put back. A program that binds again and again must not make us grow.
    fn note_replaced(&mut self, new: Replaced) {
        let is_other = |old: &Replaced| (old.process, old.number) != (new.process, new.number);
        self.replaced.retain(is_other);
        if self.replaced.len() == REPLACED_MAX {
            self.replaced.remove(0);
        }
        self.replaced.push(new);
    }

    /// Remembers a port that no socket is declared for, and says once how it would be.
    fn note_undeclared(&mut self, wanted: &Wanted) {
        if let Wanted::Port(_, port) = *wanted
            && port != 0
            && self.undeclared.len() < 8
            && !self.undeclared.contains(&port)
        {
            self.undeclared.push(port);
            let message = format!(
                "the program bound port {port}, which no socket is declared for: it is reachable inside the container only"
            );
            say(Priority::Warning, &message);
        }
    }
}

impl AsFd for Intercept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Activated {
    fn matches(&self, wanted: &Wanted) -> bool {
        match (&self.grant.listen.container, wanted) {
            (ContainerAddress::Port(ours), Wanted::Port(_, theirs)) => ours == theirs,
            (ContainerAddress::Unix(ours), Wanted::Unix(theirs)) => ours == theirs,
            _ => false,
        }
    }

    fn describe(&self) -> String {
        let family = match self.family {
            Family::Ipv4 => " (IPv4)",
            Family::Ipv6Only => " (IPv6)",
            Family::DualStack | Family::Unix => "",
        };
        match &self.grant.listen.container {
            ContainerAddress::Port(port) => format!("port {port}{family} for '{}'", self.grant.listen.address),
            ContainerAddress::Unix(path) => format!("'{path}' for '{}'", self.grant.listen.address),
        }
    }
}

/// Puts `ours` in place of the caller's socket, as the program had set up its own.
fn hand_over(listener: &Listener, call: &Notification, subject: &Subject, ours: &Activated) -> Option<()> {
    if let Some(copy) = &subject.copy {
        socket::copy_options(copy.as_fd(), ours.socket.as_fd());
    }
    socket::set_blocking(ours.socket.as_fd(), subject.flags).ok()?;
    listener
        .replace(call, ours.socket.as_fd(), subject.number, on_exec(subject.flags))
        .ok()
}

fn family(socket: BorrowedFd<'_>) -> Option<Family> {
    match socket::domain(socket).ok()? {
        libc::AF_INET => Some(Family::Ipv4),
        libc::AF_INET6 if socket::is_ipv6_only(socket).ok()? => Some(Family::Ipv6Only),
        libc::AF_INET6 => Some(Family::DualStack),
        libc::AF_UNIX => Some(Family::Unix),
        _ => None,
    }
}

fn kind(socket: BorrowedFd<'_>) -> Option<SocketKind> {
    match socket::kind(socket).ok()? {
        libc::SOCK_STREAM => Some(SocketKind::Stream),
        libc::SOCK_DGRAM => Some(SocketKind::Datagram),
        _ => None,
    }
}

/// What tells one socket from another, through whatever descriptor.
fn inode(socket: BorrowedFd<'_>) -> Option<u64> {
    Some(fstat(socket).ok()?.st_ino)
}

/// The process that a thread belongs to (`/proc/TID/status`, proc_pid_status(5)).
pub(super) fn process_of(thread: Pid) -> Option<Pid> {
    // The name in it may be cut off in the middle of a character.
    let status = fs::read(format!("/proc/{thread}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    Some(Pid::from_raw(process.trim().parse().ok()?))
}

/// The inode of the socket that is descriptor `number` of `process`.
pub(super) fn socket_of(process: Pid, number: RawFd) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{process}/fd/{number}")).ok()?;
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The flags of a descriptor, `O_CLOEXEC` among them (`/proc/PID/fdinfo`, proc_pid_fdinfo(5)).
fn flags_of(process: Pid, number: RawFd) -> Option<OFlag> {
    let information = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}")).ok()?;
    let flags = information.lines().find_map(|line| line.strip_prefix("flags:"))?;
    Some(OFlag::from_bits_retain(i32::from_str_radix(flags.trim(), 8).ok()?))
}

fn on_exec(flags: OFlag) -> OnExec {
    if flags.contains(OFlag::O_CLOEXEC) {
        OnExec::Close
    } else {
        OnExec::Keep
    }
}
