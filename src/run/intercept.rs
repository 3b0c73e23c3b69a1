//! Gives an unmodified program its activated sockets: when it binds an address that is ours, it gets our socket instead.
//!
//! The payload's bind(2) and listen(2) wait for our answer (seccomp_unotify(2)). A bind that matches by address and type has its
//! descriptor replaced by the activated socket and returns 0; everything else is carried out as it was made. This is a convenience for the
//! payload and not a border: who evades it binds in a network namespace where nobody is.
//!
//! Two address families share a port in more ways than one. systemd's usual socket is dual-stack, and many programs bind IPv4
//! first and IPv6 second: the first bind gets the dual-stack socket, because it may be the only one. When the second comes, it gets that socket, and the
//! first is undone: its own descriptor is put back, bound as the program had asked, in the container's empty network.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

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
}

/// One of systemd's sockets.
#[derive(Debug)]
struct Activated {
    socket: OwnedFd,
    grant: Grant,
    family: Family,
    inode: u64,
    served: bool,
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
    own: OwnedFd,
    address: Vec<u8>,
    port: u16,
    listens: bool,
}

/// The descriptor that a call is about.
struct Subject {
    process: Pid,
    number: RawFd,
    socket: OwnedFd,
    inode: u64,
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
        let kind = kind(subject.socket.as_fd())?;
        let family = family(subject.socket.as_fd())?;
        let is_foreign = socket::namespace_cookie(subject.socket.as_fd()).ok() != self.namespace;
        if is_foreign || self.sockets.iter().any(|socket| socket.inode == subject.inode) {
            return None;
        }
        let chosen = self.choose(&wanted, kind, family)?;
        let ours = self.sockets.get_mut(chosen)?;
        socket::copy_options(subject.socket.as_fd(), ours.socket.as_fd());
        socket::copy_blocking(subject.socket.as_fd(), ours.socket.as_fd()).ok()?;
        self.listener
            .replace(call, ours.socket.as_fd(), subject.number, on_exec(&subject))
            .ok()?;
        // A datagram socket serves from here on.
        ours.served |= kind == SocketKind::Datagram;
        if let (Wanted::Port(_, port), Family::DualStack) = (&wanted, ours.family) {
            match family {
                Family::Ipv4 => self.replaced.push(Replaced {
                    process: subject.process,
                    number: subject.number,
                    own: subject.socket,
                    address: address.to_vec(),
                    port: *port,
                    listens: false,
                }),
                _ => self.undo(call, subject.process, *port),
            }
        }
        Some(())
    }

    /// The program listens. The queue is systemd's (`Backlog=`), so only a socket of its own gets the length it asks for.
    fn listen(&mut self, call: &Notification) -> Option<()> {
        let subject = self.subject(call)?;
        let ours = self.sockets.iter_mut().find(|socket| socket.inode == subject.inode)?;
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
        let process = process_of(call.thread)?;
        let pidfd = pidfd_open(process).ok()?;
        let socket = descriptor_of(pidfd.as_fd(), number).ok()?;
        let inode = inode(socket.as_fd())?;
        self.listener.is_waiting(call).then_some(Subject {
            process,
            number,
            socket,
            inode,
        })
    }

    /// The socket for what a program asks: an exact one first, then one that has its clients among others.
    fn choose(&self, wanted: &Wanted, kind: SocketKind, family: Family) -> Option<usize> {
        let order: &[Family] = match family {
            // The IPv4 half of a dual-stack socket that an IPv6 bind has taken stays with that one.
            Family::Ipv4 => &[Family::Ipv4, Family::DualStack],
            Family::Ipv6Only => &[Family::Ipv6Only, Family::DualStack],
            Family::DualStack => &[Family::DualStack, Family::Ipv6Only],
            Family::Unix => &[Family::Unix],
        };
        order.iter().find_map(|family| {
            let fits = |socket: &Activated| {
                socket.grant.listen.kind == kind && socket.family == *family && socket.matches(wanted)
            };
            self.sockets.iter().position(fits)
        })
    }

    /// Puts the program's own IPv4 sockets back on `port`, now that its IPv6 socket has the clients of both.
    fn undo(&mut self, call: &Notification, process: Pid, port: u16) {
        let is_undone = |replaced: &mut Replaced| replaced.process == process && replaced.port == port;
        for replaced in self.replaced.extract_if(.., is_undone) {
            let current = pidfd_open(process).and_then(|pidfd| descriptor_of(pidfd.as_fd(), replaced.number));
            let lies_there = |socket: &OwnedFd| {
                inode(socket.as_fd()).is_some_and(|inode| self.sockets.iter().any(|socket| socket.inode == inode))
            };
            if !current.as_ref().is_ok_and(lies_there) {
                continue;
            }
            // Best effort: a bind that fails here would have failed the program itself in an ordinary container.
            let _ = socket::bind(replaced.own.as_fd(), &replaced.address);
            if replaced.listens {
                let _ = socket::listen(replaced.own.as_fd());
            }
            let subject = Subject {
                process,
                number: replaced.number,
                socket: replaced.own,
                inode: 0,
            };
            let _ = self
                .listener
                .replace(call, subject.socket.as_fd(), subject.number, on_exec(&subject));
        }
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
fn process_of(thread: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    Some(Pid::from_raw(process.trim().parse().ok()?))
}

/// Whether the caller's descriptor closes when it executes another program (`/proc/PID/fdinfo`, proc_pid_fdinfo(5)).
fn on_exec(subject: &Subject) -> OnExec {
    let information = fs::read_to_string(format!("/proc/{}/fdinfo/{}", subject.process, subject.number));
    let flags = information.ok().and_then(|text| {
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        i32::from_str_radix(flags.trim(), 8).ok()
    });
    if flags.is_some_and(|flags| flags & libc::O_CLOEXEC != 0) {
        OnExec::Close
    } else {
        OnExec::Keep
    }
}
