//! A subnet and the addresses in it.
//!
//! Addresses are counted as whole numbers of 128 bits, those of IPv4 too, so that both families are one piece of arithmetic.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::definition::network::hash;

/// A subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its addresses.
    pub block: Block,
    /// The bridge's own address in it: the containers' way out, and where their names are asked for.
    pub gateway: IpAddr,
    /// The first and last address that containers get of themselves, where `IPRange=` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(IpAddr, IpAddr)>,
}

/// A block of addresses, `10.1.2.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Block {
    /// The first address.
    pub base: IpAddr,
    /// How many bits all of them share.
    pub prefix: u8,
}

/// Why a text is no block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Neither address nor prefix.
    #[error("it is no subnet, write for example 10.1.2.0/24")]
    Form,
    /// The prefix is longer than an address.
    #[error("its prefix is longer than an address")]
    Prefix,
}

impl FromStr for Block {
    type Err = Mistake;

    /// Bits behind the prefix are taken for zeros, as Podman does.
    fn from_str(text: &str) -> Result<Self, Mistake> {
        let (address, prefix) = text.split_once('/').ok_or(Mistake::Form)?;
        let address: IpAddr = address.parse().map_err(|_| Mistake::Form)?;
        if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Mistake::Form);
        }
        let prefix: u8 = prefix.parse().map_err(|_| Mistake::Prefix)?;
        if prefix > width(address) {
            return Err(Mistake::Prefix);
        }
        let base = address_at(address, number(address) & !rest(address, prefix));
        Ok(Self { base, prefix })
    }
}

impl TryFrom<String> for Block {
    type Error = Mistake;

    fn try_from(text: String) -> Result<Self, Mistake> {
        text.parse()
    }
}

impl From<Block> for String {
    fn from(block: Block) -> Self {
        block.to_string()
    }
}

impl Display for Block {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl Block {
    /// Its last address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        address_at(self.base, number(self.base) | rest(self.base, self.prefix))
    }

    /// The address that comes `offset` after the first, if it is in the block.
    #[must_use]
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        (offset <= rest(self.base, self.prefix)).then(|| address_at(self.base, number(self.base) + offset))
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        is_alike(self.base, address) && (number(self.base)..=number(self.last())).contains(&number(address))
    }

    /// Whether the two have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }

    /// Whether a bridge and a container find room in it, with the addresses that stand for the network and for all.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.prefix > 0 && width(self.base) - self.prefix >= 2
    }

    /// Whether an address is one that an interface can have.
    #[must_use]
    pub fn is_usable(&self, address: IpAddr) -> bool {
        self.contains(address) && address != self.base && address != self.last()
    }
}

impl Subnet {
    /// The addresses that the container `unit` may have, the likeliest first, each once. There may be very many.
    pub fn candidates(&self, unit: &str) -> impl Iterator<Item = IpAddr> {
        let base = self.block.base;
        let (first, last) = match self.range {
            Some((first, last)) => (number(first), number(last)),
            None => (number(base) + 1, number(self.block.last()) - 1),
        };
        // The shift: FNV's low bits of two names that differ in their last letter differ in little else.
        let hash = hash(unit.as_bytes());
        let start = u128::from(hash ^ (hash >> 29));
        let count = (last - first).saturating_add(1);
        let (block, gateway) = (self.block, self.gateway);
        (0..count)
            .map(move |step| address_at(base, first + start.wrapping_add(step) % count))
            .filter(move |address| *address != gateway && block.is_usable(*address))
    }
}

/// Whether the two are of one family.
#[must_use]
pub fn is_alike(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The bits behind the prefix, all of them set.
fn rest(address: IpAddr, prefix: u8) -> u128 {
    u128::MAX
        .checked_shr(128 - u32::from(width(address) - prefix))
        .unwrap_or(0)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address of this number, of the same family as `like`.
fn address_at(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use super::{Block, Mistake, Subnet};

    fn block(text: &str) -> Block {
        text.parse().expect(text)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn blocks_are_read_and_nonsense_is_not() {
        assert_eq!(block("10.1.2.3/24").to_string(), "10.1.2.0/24");
        assert_eq!(block("fd00:1::5/64").last(), address("fd00:1::ffff:ffff:ffff:ffff"));
        assert_eq!(block("::/0").last(), address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        for text in [
            "",
            "10.1.2.3",
            "10.1.2/24",
            "10.1.2.3/",
            "10.1.2.3/+8",
            "10.1.2.3/ 8",
            "x/8",
            "10.1.2.3/1000",
        ] {
            assert_eq!(text.parse::<Block>(), Err(Mistake::Form), "{text}");
        }
        for text in ["10.1.2.3/33", "fd00::/129", "10.1.2.3/999"] {
            assert_eq!(text.parse::<Block>(), Err(Mistake::Prefix), "{text}");
        }
    }

    #[test]
    fn blocks_overlap_or_do_not() {
        assert!(
            block("10.1.0.0/16").overlaps(&block("10.1.2.0/24")) && block("10.1.2.0/24").overlaps(&block("10.0.0.0/8"))
        );
        assert!(!block("10.1.2.0/24").overlaps(&block("10.1.3.0/24")));
        assert!(!block("0.0.0.0/0").overlaps(&block("::/0")));
        assert!(block("10.1.2.0/30").has_room() && !block("10.1.2.0/31").has_room() && !block("0.0.0.0/0").has_room());
    }

    #[test]
    fn a_unit_tries_every_address_once_and_always_in_the_same_order() {
        let subnet = Subnet {
            block: block("10.1.2.0/28"),
            gateway: address("10.1.2.1"),
            range: None,
        };
        let all: Vec<IpAddr> = subnet.candidates("web.service").collect();
        let others: BTreeSet<_> = all.iter().copied().collect();
        assert!(all.len() == 13 && others.len() == 13 && !others.contains(&subnet.gateway));
        assert!(others.contains(&address("10.1.2.2")) && others.contains(&address("10.1.2.14")));
        assert!(all.iter().copied().eq(subnet.candidates("web.service")));
        let range = Some((address("10.1.2.14"), address("10.1.2.15")));
        let narrow = Subnet { range, ..subnet };
        assert_eq!(
            narrow.candidates("db.service").collect::<Vec<_>>(),
            [address("10.1.2.14")]
        );
    }

    #[test]
    fn the_largest_of_subnets_has_candidates() {
        let subnet = Subnet {
            block: block("fd00::/8"),
            gateway: address("fd00::1"),
            range: None,
        };
        let first = subnet.candidates("web.service").next().expect("an address");
        assert!(subnet.block.is_usable(first));
    }
}
