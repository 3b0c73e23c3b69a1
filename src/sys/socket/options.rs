//! Options of a socket: what a program has set on its own, carried over to the one that takes its place.
//!
//! An option that a program sets before bind(2) is lost with the descriptor that it was set on. What it has set is what differs from a new
//! socket of the same form in the same place; nothing else is touched, since the socket is also the administrator's, whose `[Socket]` has
//! options too. Left out are options that concern the binding itself, which has taken place (`SO_REUSEADDR`, `SO_REUSEPORT`,
//! `SO_BINDTODEVICE`, `IP_FREEBIND`, `IP_TRANSPARENT`), those of the container's own interfaces (memberships of groups), and what takes rights
//! over the host's network (`SO_MARK`).

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use nix::errno::Errno;

use crate::sys::socket::Form;

/// The options of new sockets, by their form. They are asked for once: a program waits for each question.
#[derive(Debug, Default)]
pub struct Defaults(Vec<(Form, Vec<Option<Value>>)>);

impl Defaults {
    /// Asks for those of sockets like `socket`, before one of these is to be copied from.
    pub fn learn(&mut self, socket: BorrowedFd<'_>) {
        let _ = Form::of(socket).and_then(|form| self.of(form).map(drop));
    }

    /// Copies to `to` what was set on `from`. What cannot be set there is left as it is.
    pub fn copy(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
        let (Ok(form), Ok(target)) = (Form::of(from), Form::of(to)) else {
            return;
        };
        let Ok(defaults) = self.of(form) else { return };
        for (name, default) in names().zip(defaults) {
            let Ok(set) = Value::get(from, name) else { continue };
            if *default == Some(set) {
                continue;
            }
            replace(to, name, &set);
            if (form.domain, target.domain) == (libc::AF_INET6, libc::AF_INET)
                && let Some((_, four)) = COUNTERPARTS.iter().find(|(six, _)| (libc::IPPROTO_IPV6, *six) == name)
            {
                replace(to, (libc::IPPROTO_IP, *four), &set);
            }
        }
        for (name, lock) in BUFFERS {
            copy_buffer(from, to, name, lock);
        }
    }

    /// In the order of [`names`]; nothing where there is no such option.
    fn of(&mut self, form: Form) -> io::Result<&[Option<Value>]> {
        // On none of them does it depend.
        let form = Form {
            ipv6_only: true,
            ..form
        };
        let known = self.0.iter().position(|(known, _)| *known == form);
        let place = match known {
            Some(place) => place,
            None => {
                let fresh = form.create()?;
                let values = names().map(|name| Value::get(fresh.as_fd(), name).ok()).collect();
                self.0.push((form, values));
                self.0.len() - 1
            }
        };
        Ok(&self.0[place].1)
    }
}

/// A level and a name (getsockopt(2)).
type Name = (i32, i32);

fn names() -> impl Iterator<Item = Name> {
    CARRIED
        .iter()
        .flat_map(|(level, names)| names.iter().map(|name| (*level, *name)))
}

fn replace(to: BorrowedFd<'_>, name: Name, set: &Value) {
    if Value::get(to, name).is_ok_and(|old| old != *set) {
        // Best effort: a program that needs it looks at it.
        let _ = set.set(to, name);
    }
}

/// The kernel gives twice what is set, and remembers whether anything was: then it does not adapt the size to the traffic any more.
fn copy_buffer(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: i32, lock: i32) {
    let is_set =
        |socket| Value::get(socket, (libc::SOL_SOCKET, BUFFER_LOCK)).is_ok_and(|lock_of| lock_of.number() & lock != 0);
    // `ReceiveBuffer=` and `SendBuffer=` are the administrator's word.
    if is_set(from)
        && !is_set(to)
        && let Ok(size) = Value::get(from, (libc::SOL_SOCKET, name))
    {
        let _ = Value::of(size.number() / 2).set(to, (libc::SOL_SOCKET, name));
    }
}

/// Numbers, structures and names that a socket hands on to the connections it accepts, or that rule its datagrams.
const CARRIED: &[(i32, &[i32])] = &[
    (
        libc::SOL_SOCKET,
        &[
            libc::SO_BROADCAST,
            libc::SO_BUSY_POLL,
            libc::SO_DONTROUTE,
            libc::SO_KEEPALIVE,
            libc::SO_LINGER,
            libc::SO_NO_CHECK,
            libc::SO_OOBINLINE,
            libc::SO_PASSCRED,
            SO_PASSPIDFD,
            libc::SO_PASSSEC,
            libc::SO_PEEK_OFF,
            libc::SO_PRIORITY,
            libc::SO_RCVLOWAT,
            libc::SO_RCVTIMEO,
            libc::SO_RXQ_OVFL,
            libc::SO_SELECT_ERR_QUEUE,
            libc::SO_SNDTIMEO,
            libc::SO_TIMESTAMP,
            libc::SO_TIMESTAMPING,
            libc::SO_TIMESTAMPNS,
            libc::SO_ZEROCOPY,
        ],
    ),
    (
        libc::IPPROTO_TCP,
        &[
            libc::TCP_CONGESTION,
            libc::TCP_CORK,
            libc::TCP_DEFER_ACCEPT,
            libc::TCP_FASTOPEN,
            libc::TCP_KEEPCNT,
            libc::TCP_KEEPIDLE,
            libc::TCP_KEEPINTVL,
            libc::TCP_LINGER2,
            libc::TCP_NODELAY,
            libc::TCP_NOTSENT_LOWAT,
            libc::TCP_QUICKACK,
            libc::TCP_SAVE_SYN,
            libc::TCP_SYNCNT,
            libc::TCP_USER_TIMEOUT,
            libc::TCP_WINDOW_CLAMP,
        ],
    ),
    (
        libc::IPPROTO_IP,
        &[
            libc::IP_MTU_DISCOVER,
            libc::IP_MULTICAST_ALL,
            libc::IP_MULTICAST_LOOP,
            libc::IP_MULTICAST_TTL,
            libc::IP_PKTINFO,
            libc::IP_RECVERR,
            libc::IP_RECVORIGDSTADDR,
            libc::IP_RECVTOS,
            libc::IP_RECVTTL,
            libc::IP_TOS,
            libc::IP_TTL,
        ],
    ),
    (
        libc::IPPROTO_IPV6,
        &[
            libc::IPV6_DONTFRAG,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_MULTICAST_HOPS,
            libc::IPV6_MULTICAST_LOOP,
            libc::IPV6_RECVERR,
            libc::IPV6_RECVHOPLIMIT,
            libc::IPV6_RECVORIGDSTADDR,
            libc::IPV6_RECVPKTINFO,
            libc::IPV6_RECVTCLASS,
            libc::IPV6_TCLASS,
            libc::IPV6_UNICAST_HOPS,
        ],
    ),
    (libc::IPPROTO_UDP, &[libc::UDP_GRO, libc::UDP_SEGMENT]),
    // The size must be within the other two.
    (libc::AF_VSOCK, &[BUFFER_MAX_SIZE, BUFFER_MIN_SIZE, BUFFER_SIZE]),
];

/// `SO_VM_SOCKETS_BUFFER_…` (vsock(7)).
const BUFFER_SIZE: i32 = 0;
const BUFFER_MIN_SIZE: i32 = 1;
const BUFFER_MAX_SIZE: i32 = 2;

/// What an option of IPv6 is called where the socket is one of IPv4 after all.
const COUNTERPARTS: [(i32, i32); 7] = [
    (libc::IPV6_MTU_DISCOVER, libc::IP_MTU_DISCOVER),
    (libc::IPV6_RECVERR, libc::IP_RECVERR),
    (libc::IPV6_RECVHOPLIMIT, libc::IP_RECVTTL),
    (libc::IPV6_RECVORIGDSTADDR, libc::IP_RECVORIGDSTADDR),
    (libc::IPV6_RECVPKTINFO, libc::IP_PKTINFO),
    (libc::IPV6_RECVTCLASS, libc::IP_RECVTOS),
    (libc::IPV6_TCLASS, libc::IP_TOS),
];

/// Each with its bit in `SO_BUF_LOCK`.
const BUFFERS: [(i32, i32); 2] = [(libc::SO_SNDBUF, 1), (libc::SO_RCVBUF, 2)];

/// `SO_BUF_LOCK` (Linux 5.14) and `SO_PASSPIDFD` (Linux 6.5).
const BUFFER_LOCK: i32 = 72;
const SO_PASSPIDFD: i32 = 76;

/// An option's value: a number, a structure or a name, none of which is longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Value {
    bytes: [u8; 16],
    length: libc::socklen_t,
}

impl Value {
    fn of(number: i32) -> Self {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_ne_bytes());
        Self { bytes, length: 4 }
    }

    fn number(&self) -> i32 {
        let [a, b, c, d, ..] = self.bytes;
        i32::from_ne_bytes([a, b, c, d])
    }

    fn get(socket: BorrowedFd<'_>, (level, name): Name) -> io::Result<Self> {
        let (mut bytes, mut length) = ([0_u8; 16], 16);
        // SAFETY: the kernel writes at most `length` bytes, and says how many.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                level,
                name,
                bytes.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        Errno::result(result)?;
        Ok(Self { bytes, length })
    }

    fn set(&self, socket: BorrowedFd<'_>, (level, name): Name) -> io::Result<()> {
        // SAFETY: the kernel reads `length` bytes, of which there are as many.
        let result =
            unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, self.bytes.as_ptr().cast(), self.length) };
        Errno::result(result)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(domain: i32, kind: i32) -> Form {
        Form {
            domain,
            kind,
            protocol: 0,
            ipv6_only: false,
        }
    }

    fn check(from: Form, to: Form, source: Name, target: Name, value: Value) {
        let (from, to) = (from.create().expect("a socket"), to.create().expect("a socket"));
        value.set(from.as_fd(), source).expect("setting it");
        let set = Value::get(from.as_fd(), source).expect("getting it");
        Defaults::default().copy(from.as_fd(), to.as_fd());
        assert_eq!(Value::get(to.as_fd(), target).expect("getting it"), set, "{source:?}");
    }

    fn structure(words: &[i64]) -> Value {
        let mut bytes = [0; 16];
        for (place, word) in bytes.chunks_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        let length = libc::socklen_t::try_from(8 * words.len()).expect("small");
        Value { bytes, length }
    }

    #[test]
    fn what_a_program_sets_is_carried_over() {
        let tcp = form(libc::AF_INET6, libc::SOCK_STREAM);
        let udp = form(libc::AF_INET, libc::SOCK_DGRAM);
        let of_socket = |name| (libc::SOL_SOCKET, name);
        let reno = Value {
            bytes: *b"reno\0\0\0\0\0\0\0\0\0\0\0\0",
            length: 16,
        };
        for (form, name, value) in [
            (tcp, of_socket(libc::SO_KEEPALIVE), Value::of(1)),
            (tcp, of_socket(libc::SO_LINGER), structure(&[1 | 7 << 32])),
            (tcp, of_socket(libc::SO_RCVTIMEO), structure(&[3, 0])),
            (tcp, of_socket(libc::SO_RCVBUF), Value::of(20_000)),
            (tcp, (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT), Value::of(3)),
            (tcp, (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT), Value::of(5000)),
            (tcp, (libc::IPPROTO_TCP, libc::TCP_CONGESTION), reno),
            (tcp, (libc::IPPROTO_IPV6, libc::IPV6_TCLASS), Value::of(0x10)),
            (udp, (libc::IPPROTO_IP, libc::IP_PKTINFO), Value::of(1)),
            (udp, of_socket(libc::SO_TIMESTAMPNS), Value::of(1)),
        ] {
            check(form, form, name, name, value);
        }
    }

    #[test]
    fn between_families_the_counterpart_is_set() {
        let (six, four) = (
            form(libc::AF_INET6, libc::SOCK_DGRAM),
            form(libc::AF_INET, libc::SOCK_DGRAM),
        );
        let on = Value::of(1);
        let (v6, v4) = (
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            (libc::IPPROTO_IP, libc::IP_PKTINFO),
        );
        check(six, four, v6, v4, on);
        // IPv4 clients of a dual-stack socket are told of by the option of IPv4.
        check(four, six, v4, v4, on);
    }

    #[test]
    fn what_a_program_did_not_set_stays_the_administrators() {
        let tcp = form(libc::AF_INET6, libc::SOCK_STREAM);
        let (from, to) = (tcp.create().expect("a socket"), tcp.create().expect("a socket"));
        let (keep, buffer) = (
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
            (libc::SOL_SOCKET, libc::SO_RCVBUF),
        );
        Value::of(1).set(to.as_fd(), keep).expect("setting it");
        Value::of(30_000).set(to.as_fd(), buffer).expect("setting it");
        Value::of(20_000).set(from.as_fd(), buffer).expect("setting it");
        Defaults::default().copy(from.as_fd(), to.as_fd());
        assert_eq!(Value::get(to.as_fd(), keep).expect("getting it").number(), 1);
        assert_eq!(Value::get(to.as_fd(), buffer).expect("getting it").number(), 60_000);
    }
}
