//! Whether a network that is about to be made would take addresses away that the host already has or has a way to.
//!
//! A subnet follows from the network's name where no file says otherwise, and the generator, which gives the same units for the same
//! definitions, does not look at the host. So it is looked at when the bridge is made, and the start fails rather than that the host loses its way
//! to somebody. Default routes do not count: what has no other way goes there.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::ifaddrs::getifaddrs;

use crate::definition::network::Bridge;
use crate::definition::network::subnet::Block;
use crate::plan::network::Bridges;

/// What the host has already.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taken {
    block: Block,
    what: &'static str,
    device: String,
}

/// Looks at those networks whose bridge is not there yet.
///
/// # Errors
/// One overlaps with what the host has.
pub fn check(bridges: &Bridges) -> Result<()> {
    let is_new = |bridge: &&Bridge| !Path::new("/sys/class/net").join(&bridge.interface).exists();
    let new: Vec<&Bridge> = bridges
        .interfaces
        .iter()
        .map(|interface| &interface.attachment.bridge)
        .filter(is_new)
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let taken = taken().context("looking at the host's addresses and routes")?;
    for bridge in new {
        for subnet in &bridge.subnets {
            if let Some(other) = taken.iter().find(|other| other.block.overlaps(&subnet.block)) {
                bail!(
                    "the subnet {} of network '{}' overlaps with the host's {} {} on '{}': write another 'Subnet' in '{}.network.toml'",
                    subnet.block,
                    bridge.name,
                    other.what,
                    other.block,
                    other.device,
                    bridge.name
                );
            }
        }
    }
    Ok(())
}

fn taken() -> Result<Vec<Taken>> {
    let mut taken: Vec<Taken> = getifaddrs()?
        .filter_map(|one| {
            let address = one.address?;
            let v4 = address.as_sockaddr_in().map(|address| (IpAddr::V4(address.ip()), 32));
            let v6 = || address.as_sockaddr_in6().map(|address| (IpAddr::V6(address.ip()), 128));
            let (base, prefix) = v4.or_else(v6)?;
            let block = Block { base, prefix };
            Some(Taken {
                block,
                what: "address",
                device: one.interface_name,
            })
        })
        .collect();
    let read = |path: &str| match fs::read_to_string(path) {
        // A kernel without IPv6.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        text => text.with_context(|| format!("reading '{path}'")),
    };
    taken.extend(read("/proc/net/route")?.lines().filter_map(route));
    taken.extend(read("/proc/net/ipv6_route")?.lines().filter_map(route_of_v6));
    Ok(taken)
}

/// A line of `/proc/net/route`: device, destination, gateway, flags, three counts and the mask, addresses as the machine has them in memory.
fn route(line: &str) -> Option<Taken> {
    let mut fields = line.split_ascii_whitespace();
    let device = fields.next()?;
    let address = |text: &str| {
        u32::from_str_radix(text, 16)
            .ok()
            .map(|bytes| Ipv4Addr::from(bytes.to_ne_bytes()))
    };
    let base = address(fields.next()?)?;
    let mask = address(fields.nth(5)?)?;
    of_route(base.into(), u32::from(mask).leading_ones(), device)
}

/// A line of `/proc/net/ipv6_route`: destination, its prefix, seven fields, and the device.
fn route_of_v6(line: &str) -> Option<Taken> {
    let mut fields = line.split_ascii_whitespace();
    let base = Ipv6Addr::from(u128::from_str_radix(fields.next()?, 16).ok()?);
    let prefix = u32::from_str_radix(fields.next()?, 16).ok()?;
    of_route(base.into(), prefix, fields.last()?)
}

fn of_route(base: IpAddr, prefix: u32, device: &str) -> Option<Taken> {
    let prefix = u8::try_from(prefix).ok().filter(|prefix| *prefix > 0)?;
    Some(Taken {
        block: Block { base, prefix },
        what: "route",
        device: device.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{route, route_of_v6};

    #[test]
    fn routes_are_read_as_the_kernel_writes_them() {
        let of = |line: &str| route(line).map(|taken| (taken.block.to_string(), taken.device));
        assert_eq!(
            of("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"),
            None
        );
        assert_eq!(of("eth0\t00000000\t010A000A\t0003\t0\t0\t0\t00000000\t0\t0\t0"), None);
        if cfg!(target_endian = "little") {
            let ten = Some(("10.1.2.0/24".to_owned(), "eth0".to_owned()));
            assert_eq!(of("eth0\t0002010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0"), ten);
        }
        let of = |line: &str| route_of_v6(line).map(|taken| (taken.block.to_string(), taken.device));
        let line = "fd000001000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0";
        assert_eq!(of(line), Some(("fd00:1::/64".to_owned(), "eth0".to_owned())));
        assert_eq!(of(&line.replace("fd000001", "00000000").replace(" 40 ", " 00 ")), None);
        assert_eq!(of(""), None);
    }
}
