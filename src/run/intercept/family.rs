//! Which clients a socket has, and how well that is what a program asks for.
//!
//! A program that binds IPv4, IPv6 or both gets the best of our sockets for its port, and any before none: most programs bear clients of the
//! other family, and clients in a queue that nobody reads wait for ever. Where two of a program's sockets want the same one of ours, it
//! belongs to the one that it fits better.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use crate::run::sockaddr::Wanted;
use crate::sys::socket;

/// Which clients a socket has, or a program asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv4 through an IPv6 socket (`::ffff:0.0.0.0`), as the JVM does.
    Mapped,
    /// IPv6 alone.
    Ipv6Only,
    /// Both through an IPv6 socket.
    DualStack,
    /// Processes of this machine.
    Unix,
    /// Virtual machines and their host.
    Vsock,
}

impl Family {
    /// What a program asks for with its socket, as far as that can be looked at, and its address.
    #[must_use]
    pub fn asked(program: Option<BorrowedFd<'_>>, wanted: &Wanted) -> Option<Self> {
        match (program, wanted) {
            (Some(socket), Wanted::Port(address, _)) => Self::of(socket, Some(*address)),
            (Some(socket), _) => Self::of(socket, None),
            (None, Wanted::Port(IpAddr::V4(_), _)) => Some(Self::Ipv4),
            (None, Wanted::Port(IpAddr::V6(_), _)) => Some(Self::DualStack),
            (None, Wanted::Unix(_)) => Some(Self::Unix),
            (None, Wanted::Vsock(_)) => Some(Self::Vsock),
        }
    }

    /// Whose clients a socket has that is bound to this address, if it is one of IP.
    #[must_use]
    pub fn of(socket: BorrowedFd<'_>, address: Option<IpAddr>) -> Option<Self> {
        match socket::domain(socket).ok()? {
            libc::AF_INET => Some(Self::Ipv4),
            libc::AF_INET6 => match address {
                Some(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => Some(Self::Mapped),
                // An address of one family has no clients of the other, whatever the option says.
                Some(IpAddr::V6(address)) if !address.is_unspecified() => Some(Self::Ipv6Only),
                _ if socket::is_ipv6_only(socket).ok()? => Some(Self::Ipv6Only),
                _ => Some(Self::DualStack),
            },
            libc::AF_UNIX => Some(Self::Unix),
            libc::AF_VSOCK => Some(Self::Vsock),
            _ => None,
        }
    }

    /// How well a socket of the family `ours` serves a program that asks for this one: the higher, the better; nothing if not at all.
    #[must_use]
    pub fn fit(self, ours: Self) -> Option<u8> {
        use Family::{DualStack, Ipv4, Ipv6Only, Mapped, Unix, Vsock};
        Some(match (self, ours) {
            (Ipv4, Ipv4) | (Ipv6Only, Ipv6Only) | (DualStack, DualStack) | (Unix, Unix) | (Vsock, Vsock) => 4,
            (Ipv6Only, DualStack) | (DualStack, Ipv6Only) | (Mapped, Ipv4 | DualStack | Mapped) => 3,
            // Better than nothing; but whoever asks for just this comes first.
            (Ipv4, DualStack | Mapped) | (DualStack, Ipv4 | Mapped) => 2,
            (Ipv6Only, Ipv4 | Mapped) | (Ipv4 | Mapped, Ipv6Only) => 1,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Family::{self, DualStack, Ipv4, Ipv6Only, Mapped, Unix, Vsock};

    const INTERNET: [Family; 4] = [Ipv4, Mapped, Ipv6Only, DualStack];

    #[test]
    fn any_socket_of_the_internet_is_better_than_none() {
        for asked in INTERNET {
            assert!(INTERNET.iter().all(|ours| asked.fit(*ours).is_some()), "{asked:?}");
            assert!(asked.fit(Unix).is_none() && Vsock.fit(asked).is_none());
        }
    }

    #[test]
    fn each_program_prefers_what_it_asks_for() {
        for asked in [Ipv4, Ipv6Only, DualStack] {
            let best = [Ipv4, Ipv6Only, DualStack]
                .into_iter()
                .max_by_key(|ours| asked.fit(*ours));
            assert_eq!(best, Some(asked));
        }
        assert!(Ipv6Only.fit(DualStack) > Ipv6Only.fit(Ipv4));
        assert!(Ipv4.fit(DualStack) > Ipv4.fit(Ipv6Only));
    }

    #[test]
    fn a_dual_stack_socket_belongs_to_who_binds_ipv6() {
        assert!(Ipv6Only.fit(DualStack) > Ipv4.fit(DualStack));
        assert!(DualStack.fit(DualStack) > Ipv4.fit(DualStack));
        assert!(Ipv4.fit(Ipv4) > DualStack.fit(Ipv4));
        assert!(DualStack.fit(Ipv4) > Ipv6Only.fit(Ipv4));
    }
}
