//! What is said to the kernel and by it, as bytes (`linux/inet_diag.h`, `linux/unix_diag.h`, `linux/vm_sockets_diag.h`).

use std::io;

use nix::errno::Errno;

use crate::sys::diag::Told;
use crate::sys::diag::end::{Tcp, Vsock};

/// What kind of socket was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// TCP.
    Internet,
    /// Unix.
    Unix,
    /// vsock.
    Vsock,
}

/// Whether more is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// It is.
    More,
    /// That was all.
    Nothing,
}

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;

const HEADER: usize = 16;

/// A `struct nlmsghdr` that asks for all, and the request behind it.
fn request(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(0);
    let flags: u16 = 0x1 | 0x300; // NLM_F_REQUEST, NLM_F_DUMP
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(length.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// A `struct inet_diag_req_v2`. Port and address are compared by the kernel, so that only our own sockets are told of.
#[must_use]
pub fn tcp(local: &Tcp, states: u32) -> Vec<u8> {
    let mut body = vec![local.family, 6, 0, 0]; // IPPROTO_TCP, no extensions
    body.extend(states.to_ne_bytes());
    body.extend(local.port.to_be_bytes());
    body.extend([0; 46]);
    let length: u8 = if i32::from(local.family) == libc::AF_INET {
        4
    } else {
        16
    };
    let address = local.address.get(..usize::from(length)).unwrap_or_default();
    if address.iter().any(|&byte| byte != 0) {
        // One `struct inet_diag_bc_op` with a `struct inet_diag_hostcond`: where it does not hold, the jump leads past the end, which is "no".
        let all = 12 + length;
        body.extend(u16::from(4 + all).to_ne_bytes());
        body.extend(1_u16.to_ne_bytes()); // INET_DIAG_REQ_BYTECODE
        body.extend([7, all]); // INET_DIAG_BC_S_COND
        body.extend(u16::from(all + 4).to_ne_bytes());
        body.extend([local.family, length * 8, 0, 0]);
        body.extend((-1_i32).to_ne_bytes()); // any port
        body.extend(address);
    }
    request(&body)
}

/// A `struct unix_diag_req` that wants names.
#[must_use]
pub fn unix(states: u32) -> Vec<u8> {
    let mut body = vec![1, 0, 0, 0]; // AF_UNIX
    body.extend(states.to_ne_bytes());
    body.extend(0_u32.to_ne_bytes());
    body.extend(1_u32.to_ne_bytes()); // UDIAG_SHOW_NAME
    body.extend([0xff; 8]);
    request(&body)
}

/// A `struct vsock_diag_req`. The kernel tells of all in these states.
#[must_use]
pub fn vsock(states: u32) -> Vec<u8> {
    let mut body = vec![40, 0, 0, 0]; // AF_VSOCK
    body.extend(states.to_ne_bytes());
    body.extend([0; 16]);
    request(&body)
}

/// Reads the messages of one answer.
///
/// # Errors
/// The kernel's own.
pub fn read(mut bytes: &[u8], asked: Asked, see: &mut impl FnMut(Told<'_>)) -> io::Result<Rest> {
    while let Some((length, message_type)) = u32_at(bytes, 0).zip(u16_at(bytes, 4)) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // A message that is longer than what has come, or shorter than its head, tells nothing; nor does what follows.
        let Some(body) = bytes.get(HEADER..length.max(HEADER)).filter(|_| length >= HEADER) else {
            break;
        };
        match i32::from(message_type) {
            libc::NLMSG_DONE => return Ok(Rest::Nothing),
            libc::NLMSG_ERROR => {
                let error = u32_at(body, 0).map_or(libc::EBADMSG, |error| error.cast_signed().wrapping_neg());
                return Err(Errno::from_raw(error).into());
            }
            _ if message_type == BY_FAMILY => {
                if let Some(told) = told(body, asked) {
                    see(told);
                }
            }
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Rest::More)
}

/// A `struct inet_diag_msg`, a `struct unix_diag_msg` with its attributes, or a `struct vsock_diag_msg`.
fn told(body: &[u8], asked: Asked) -> Option<Told<'_>> {
    Some(match asked {
        Asked::Internet => Told {
            state: *body.get(1)?,
            inode: u32_at(body, 68)?,
            name: &[],
            vsock: None,
        },
        Asked::Unix => Told {
            state: *body.get(2)?,
            inode: u32_at(body, 4)?,
            name: attribute(body.get(16..)?, 0).unwrap_or_default(), // UNIX_DIAG_NAME
            vsock: None,
        },
        Asked::Vsock => Told {
            state: *body.get(2)?,
            inode: u32_at(body, 20)?,
            name: &[],
            vsock: Vsock::read(body, 4, 8),
        },
    })
}

/// The attribute of this type (`struct nlattr`).
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (length, attribute_type) = (usize::from(u16_at(bytes, 0)?), u16_at(bytes, 2)?);
        let value = bytes.get(4..length)?;
        if attribute_type == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

/// The number at this place, in the order of the host.
#[must_use]
pub fn u32_at(bytes: &[u8], place: usize) -> Option<u32> {
    let bytes = bytes.get(place..place.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn u16_at(bytes: &[u8], place: usize) -> Option<u16> {
    let bytes = bytes.get(place..place.checked_add(2)?)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Asked, BY_FAMILY, Rest, read, told};
    use crate::sys::diag::end::Vsock;
    use crate::sys::diag::{Told, state};

    fn framed(message_type: u16, length: Option<u32>, body: &[u8]) -> Vec<u8> {
        let length = length.unwrap_or(u32::try_from(16 + body.len()).expect("a short body"));
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(message_type.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_guest_is_known_by_its_port_and_its_machine_if_it_has_one() {
        let mut body = vec![40, 1, state::ESTABLISHED, 0];
        for number in [3_u32, 5001, 2, 1024, 77, 0, 0] {
            body.extend(number.to_ne_bytes());
        }
        let told = told(&body, Asked::Vsock).expect("a socket");
        let guest = Vsock { cid: 3, port: 5001 };
        assert_eq!(
            (told.state, told.inode, told.vsock),
            (state::ESTABLISHED, 77, Some(guest))
        );
        let any = Vsock {
            cid: libc::VMADDR_CID_ANY,
            ..guest
        };
        assert!(guest.has(&guest) && any.has(&guest));
        assert!(!Vsock { cid: 2, ..guest }.has(&guest) && !Vsock { port: 1024, ..any }.has(&guest));
    }

    fn kinds() -> impl Strategy<Value = Asked> {
        prop::sample::select(&[Asked::Internet, Asked::Unix, Asked::Vsock][..])
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in kinds()) {
            let _ = read(&bytes, kind, &mut |_| ());
        }

        #[test]
        fn nor_do_messages_of_wrong_lengths(
            bodies in prop::collection::vec((0_u16..30, prop::option::of(any::<u32>()), prop::collection::vec(any::<u8>(), 0..120)), 0..8),
            kind in kinds(),
        ) {
            let bytes: Vec<u8> = bodies.iter().flat_map(|(what, length, body)| framed(*what, *length, body)).collect();
            let mut count = 0;
            let _ = read(&bytes, kind, &mut |told: Told<'_>| {
                count += 1;
                assert!(told.name.len() <= 120 * 8 + 200);
            });
            prop_assert!(count <= bytes.len() / 16);
        }

        #[test]
        fn what_is_well_formed_is_read_whole(inodes in prop::collection::vec(any::<u32>(), 0..20), name in prop::collection::vec(any::<u8>(), 0..108)) {
            let mut bytes = Vec::new();
            for inode in &inodes {
                let mut body = vec![1, 1, state::ESTABLISHED, 0];
                body.extend(inode.to_ne_bytes());
                body.extend([0; 8]);
                // Another attribute in front of the name.
                body.extend([8, 0, 4, 0, 1, 2, 3, 4]);
                body.extend(u16::try_from(4 + name.len()).expect("a short name").to_ne_bytes());
                body.extend([0, 0]);
                body.extend(&name);
                bytes.extend(framed(BY_FAMILY, None, &body));
            }
            bytes.extend(framed(3, None, &[0; 4]));
            let mut seen = Vec::new();
            let end = read(&bytes, Asked::Unix, &mut |told: Told<'_>| {
                assert_eq!(told.name, &name[..]);
                seen.push(told.inode);
            });
            prop_assert_eq!(end.expect("no error"), Rest::Nothing);
            prop_assert_eq!(seen, inodes);
        }
    }
}
