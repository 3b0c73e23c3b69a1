//! Gives an unmodified program its activated sockets: when it binds an address that is ours, it gets our socket instead.
//!
//! The payload's bind(2) and listen(2) wait for our answer (seccomp_unotify(2)). A bind that matches by address and type has its
//! descriptor replaced by the activated socket and returns 0; everything else is carried out as it was made. This is a convenience for the
//! payload and not a border: who evades it binds in a network namespace where nobody is.
//!
//! Two address families share a port in more ways than one. systemd's usual socket is dual-stack, and many programs bind IPv4
//! first and IPv6 second: the first bind gets the dual-stack socket, because it may be the only one. When the second comes, it gets that socket, and the
//! first is undone ([`claim`]). Which socket suits whom is said in [`family`].
//!
//! No answer may be waited for: what is asked of the kernel here does not block, and a caller that dies or lies gets what it would
//! get without us.

pub mod activated;
pub mod claim;
pub mod family;
pub mod place;
pub mod report;
pub mod subject;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use nix::unistd::Pid;

use crate::definition::{ContainerAddress, SocketKind};
use crate::plan::Grant;
use crate::run::failure::Priority;
use crate::run::intercept::activated::Activated;
use crate::run::intercept::claim::Claims;
use crate::run::intercept::family::Family;
use crate::run::intercept::report::Undeclared;
use crate::run::intercept::subject::Subject;
use crate::run::sockaddr::{LONGEST, Wanted, parse};
use crate::sys::seccomp::{Call, Listener, Notification};
use crate::sys::socket::options::Defaults;
use crate::sys::socket::queue;
use crate::sys::socket::{self, Form};

/// The answering end.
#[derive(Debug)]
pub struct Intercept {
    listener: Listener,
    sockets: Vec<Activated>,
    defaults: Defaults,
    claims: Claims,
    /// The container's network namespace; `None` on kernels that do not tell.
    namespace: Option<u64>,
    undeclared: Undeclared,
    /// Unix sockets of the payload that are to be replaced when it listens, by inode, with the socket that takes their place.
    bound_unix: BTreeMap<u64, usize>,
    /// Whether all has been said that there is to say.
    has_spoken: bool,
    /// Since when all is served.
    served_at: Option<Instant>,
}

/// After this time a program that binds one address after the other has bound the next one.
const NEXT: Duration = Duration::from_millis(100);

/// Ports below this one take a right to bind (ip(7)).
const FIRST_UNPRIVILEGED: u16 = 1024;

/// How many Unix sockets are remembered that have not listened yet.
const BOUND_UNIX_MAX: usize = 64;

impl Intercept {
    /// Answers for `sockets`, in the order of `grants`. To be made inside the container's network namespace.
    #[must_use]
    pub fn new(listener: Listener, grants: &[Grant], sockets: Vec<OwnedFd>) -> Self {
        let sockets: Vec<Activated> = sockets
            .into_iter()
            .zip(grants)
            .filter_map(|(socket, grant)| Activated::new(socket, grant))
            .collect();
        let mut defaults = Defaults::default();
        sockets.iter().for_each(|ours| defaults.learn(ours.socket.as_fd()));
        let probe = nix::sys::socket::socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
        let namespace = probe
            .ok()
            .and_then(|probe| socket::namespace_cookie(probe.as_fd()).ok());
        Self {
            listener,
            sockets,
            defaults,
            claims: Claims::default(),
            namespace,
            undeclared: Undeclared::default(),
            bound_unix: BTreeMap::new(),
            has_spoken: false,
            served_at: None,
        }
    }

    /// Whether every declared address is served by one of its sockets at least: an IPv4 socket beside an IPv6 one need not be.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.sockets.iter().all(|socket| {
            let same = |other: &&Activated| report::is_same(&socket.grant.listen, &other.grant.listen);
            self.sockets.iter().filter(same).any(|other| other.served)
        })
    }

    /// When it is likely that the program has bound all that it binds at its start; nothing as long as it does not serve all of its sockets.
    #[must_use]
    pub fn quiet_at(&self) -> Option<Instant> {
        self.served_at.map(|served| served + NEXT)
    }

    /// What is wrong between the sockets and what the program has bound by now, each with what mends it, the worst first; once.
    pub fn complaints(&mut self) -> Vec<(Priority, String)> {
        if std::mem::replace(&mut self.has_spoken, true) {
            return Vec::new();
        }
        let unserved = report::unserved(&self.sockets, &self.undeclared);
        let bridged = report::bridged(&self.sockets, &self.claims);
        let unserved = unserved.into_iter().map(|sentence| (Priority::Warning, sentence));
        unserved
            .chain(bridged.into_iter().map(|sentence| (Priority::Notice, sentence)))
            .collect()
    }

    /// What a program that is not ready yet is waited for.
    #[must_use]
    pub fn awaited(&self) -> Option<String> {
        report::unserved(&self.sockets, &self.undeclared).into_iter().next()
    }

    /// Answers the next call.
    pub fn answer(&mut self) {
        // The caller may have been killed before we looked.
        let Ok(call) = self.listener.receive() else { return };
        // Its arguments may lie where it cannot read them itself; then the kernel says so.
        let done = match (call.with_arguments(), call.call) {
            (Ok(call), Call::Bind) => self.bind(&call),
            (Ok(call), Call::Listen) => self.listen(&call),
            (Ok(call), Call::Ask) => self.ask(&call),
            (Err(_), _) => None,
        };
        match done {
            Some(()) => self.listener.succeed(&call),
            None => self.listener.let_through(&call),
        }
        if self.served_at.is_none() && self.is_served() {
            self.served_at = Some(Instant::now());
        }
    }

    /// Replaces the caller's socket by ours; `None` if the call is none of our business.
    fn bind(&mut self, call: &Notification) -> Option<()> {
        let mut buffer = [0; LONGEST];
        let length = usize::try_from(call.arguments[2] & 0xffff_ffff).ok()?;
        let got = socket::read_address(call.thread, call.arguments[1], buffer.get_mut(..length)?).ok()?;
        // What lies half on a page that is not there is no address to the kernel either.
        let address = buffer.get(..length).filter(|_| got == length)?;
        let wanted = self.complete(parse(address)?, call.thread);
        let is_declared = self.sockets.iter().any(|socket| socket.matches(&wanted));
        let is_news = matches!(wanted, Wanted::Port(_, port) if self.undeclared.is_news(port));
        if !is_declared && !is_news {
            return None;
        }
        let subject = Subject::of(call, &self.listener)?;
        if let Some(ours) = self.sockets.iter().find(|socket| socket.inode == subject.inode) {
            // A signal may have interrupted the caller when it had our socket already, and it calls again (before Linux 5.19).
            return ours.matches(&wanted).then_some(());
        }
        if !subject.is_in(self.namespace) {
            return None;
        }
        let like = match &subject.copy {
            // One that is neither of these types is none of ours.
            Some(copy) => Some((kind(copy.as_fd())?, socket::protocol(copy.as_fd()).ok()?)),
            None => None,
        };
        let family = Family::asked(subject.copy.as_ref().map(AsFd::as_fd), &wanted)?;
        let form = match &subject.copy {
            Some(copy) => Form::of(copy.as_fd()).ok(),
            None => self
                .sockets
                .iter()
                .find(|socket| socket.matches(&wanted))
                .and_then(|socket| inferred(family, socket.grant.listen.kind)),
        };
        let Some((chosen, fit)) = self.choose(&wanted, like, family, &subject) else {
            let is_declared = |socket: &Activated| socket.matches(&wanted) && socket.is_like(like);
            if self.sockets.iter().any(is_declared) {
                return self.give_own(call, &subject, &wanted, address, form?);
            }
            self.undeclared
                .note(&wanted, like.map_or(SocketKind::Stream, |(kind, _)| kind));
            return None;
        };
        let ours = self.sockets.get_mut(chosen)?;
        if let Wanted::Unix(name) = &wanted
            && !name.starts_with('@')
            && ours.grant.listen.kind.listens()
        {
            // The bind is carried out, since programs set owner and mode of what it leaves; the socket is replaced when they listen.
            if self.bound_unix.len() == BOUND_UNIX_MAX {
                self.bound_unix.clear();
            }
            self.bound_unix.insert(subject.inode, chosen);
            return None;
        }
        if let Wanted::Unix(name) = &wanted
            && !name.starts_with('@')
        {
            // Nothing else is going to make the file that the program expects. If it cannot be made, let the kernel say why.
            place::leave(name, subject.thread).ok()?;
        }
        if let (Wanted::Port(..), Some(_)) = (&wanted, form) {
            // First, since all descriptors of a socket have one O_NONBLOCK: from then on it is this one's.
            self.claims.undo(&self.listener, call, &subject, chosen, fit);
        }
        ours.hand_over(&self.listener, call, &subject, &mut self.defaults)?;
        // Where there is no listening, it serves from here on.
        ours.served |= !ours.grant.listen.kind.listens();
        let inode = ours.inode;
        if let (Wanted::Port(..), Some(form)) = (&wanted, form) {
            self.claims.add(&subject, chosen, inode, (family, fit), form, address);
        }
        Some(())
    }

    /// Carries out a bind whose clients another socket of the program has. It would be the program's own affair, were it not that a privileged
    /// port is bound here, which the program may have no right to, having needed none for the other one.
    fn give_own(
        &mut self,
        call: &Notification,
        subject: &Subject,
        wanted: &Wanted,
        address: &[u8],
        form: Form,
    ) -> Option<()> {
        if !matches!(wanted, Wanted::Port(_, port) if *port < FIRST_UNPRIVILEGED) {
            return None;
        }
        let own = socket::bound(form, address).ok()?;
        if let Some(copy) = &subject.copy {
            self.defaults.copy(copy.as_fd(), own.as_fd());
        }
        subject.take(&self.listener, call, own.as_fd())
    }

    /// The program listens. The queue is systemd's (`Backlog=`), so only a socket of its own gets the length it asks for.
    fn listen(&mut self, call: &Notification) -> Option<()> {
        let subject = Subject::of(call, &self.listener)?;
        let ours = match self.bound_unix.remove(&subject.inode) {
            Some(chosen) => {
                let ours = self.sockets.get_mut(chosen)?;
                ours.hand_over(&self.listener, call, &subject, &mut self.defaults)?;
                ours
            }
            None => self.sockets.iter_mut().find(|socket| socket.inode == subject.inode)?,
        };
        ours.served = true;
        self.claims.listens(&subject);
        // It listens already, unless the program has shut it down before.
        queue::listen(ours.socket.as_fd()).ok()
    }

    /// The program asks whether its socket listens. One of ours does, and says so, and some programs then do not call listen(2) any more: haproxy
    /// and gunicorn, which may have got their sockets from an older self.
    fn ask(&mut self, call: &Notification) -> Option<()> {
        let subject = Subject::of(call, &self.listener)?;
        let ours = self.sockets.iter_mut().find(|socket| socket.inode == subject.inode)?;
        ours.served = true;
        self.claims.listens(&subject);
        // What it is told is the kernel's own answer.
        None
    }

    /// The best socket for what a program asks, and how well it fits; of equals the one at its very address, then one that nobody has.
    fn choose(
        &self,
        wanted: &Wanted,
        like: Option<(SocketKind, i32)>,
        family: Family,
        subject: &Subject,
    ) -> Option<(usize, u8)> {
        let mut best = None;
        for (index, socket) in self.sockets.iter().enumerate() {
            let Some(fit) = family
                .fit(socket.family)
                .filter(|_| socket.matches(wanted) && socket.is_like(like))
            else {
                continue;
            };
            let rival = self.claims.strongest(index, subject);
            if rival.is_some_and(|rival| rival > fit) {
                continue;
            }
            let score = (fit, socket.is_at(wanted), rival.is_none());
            if best.is_none_or(|(best, _)| score > best) {
                best = Some((score, index));
            }
        }
        best.map(|((fit, ..), index)| (index, fit))
    }

    /// The address with what only the caller knows: a path may start from its working directory.
    fn complete(&self, wanted: Wanted, thread: Pid) -> Wanted {
        let has_path = |socket: &Activated| matches!(socket.grant.listen.container, ContainerAddress::Unix(_));
        match wanted {
            Wanted::Unix(path) if !path.starts_with(['/', '@']) && self.sockets.iter().any(has_path) => {
                let directory = fs::read_link(format!("/proc/{thread}/cwd")).unwrap_or_default();
                Wanted::Unix(directory.join(path).to_string_lossy().into_owned())
            }
            wanted => wanted,
        }
    }
}

impl AsFd for Intercept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

fn kind(socket: BorrowedFd<'_>) -> Option<SocketKind> {
    match socket::kind(socket).ok()? {
        libc::SOCK_STREAM => Some(SocketKind::Stream),
        libc::SOCK_DGRAM => Some(SocketKind::Datagram),
        libc::SOCK_SEQPACKET => Some(SocketKind::SequentialPacket),
        _ => None,
    }
}

/// What a socket is likely to be that cannot be looked at.
fn inferred(family: Family, kind: SocketKind) -> Option<Form> {
    let domain = match family {
        Family::Ipv4 => libc::AF_INET,
        Family::Mapped | Family::Ipv6Only | Family::DualStack => libc::AF_INET6,
        Family::Unix | Family::Vsock => return None,
    };
    let kind = match kind {
        SocketKind::Datagram => libc::SOCK_DGRAM,
        _ => libc::SOCK_STREAM,
    };
    Some(Form {
        domain,
        kind,
        protocol: 0,
        ipv6_only: family == Family::Ipv6Only,
    })
}
