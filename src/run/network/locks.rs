//! Who has which address, who is alive, and who works on the networks: locks on the bytes of one empty file ([`crate::sys::lock`]).
//!
//! A container's addresses and its name are locked by its first process as long as it lives. Whatever is killed: there is nothing
//! that says otherwise afterwards.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::definition::network::subnet::Subnet;
use crate::definition::network::{Attachment, Network, hash};
use crate::sys::lock;

/// The bytes of this file are locked; it holds nothing.
const LOCKS: &str = "/run/coracle/.networks";

/// The byte of who works on the networks: beyond all addresses of IPv4, and before all else.
const EXCLUSIVE: i64 = 1 << 40;

/// The bytes of units and of addresses of IPv6 begin here, and there are as many.
const UNITS: i64 = 1 << 61;
const ADDRESSES: i64 = 1 << 62;
const MANY: u64 = 1 << 60;

/// How many addresses are tried before a network is said to be full.
const TRIES: usize = 1 << 16;

/// The addresses of a container, and what keeps others from them and tells that it is alive.
#[derive(Debug)]
pub struct Addresses {
    /// Those on each of its bridges, in the order of the definition.
    pub addresses: Vec<Vec<IpAddr>>,
    /// The lock.
    pub lock: OwnedFd,
}

/// The right to work on the networks: no two do so at once.
#[derive(Debug)]
pub struct Exclusive(OwnedFd);

impl Exclusive {
    /// Waits for it.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub fn wait() -> Result<Self> {
        let file = open()?;
        lock::await_byte(&file, EXCLUSIVE).with_context(|| format!("locking '{LOCKS}'"))?;
        Ok(Self(file))
    }

    /// Whether the container of `unit` is alive.
    ///
    /// # Errors
    /// What fcntl(2) says.
    pub fn is_alive(&self, unit: &str) -> Result<bool> {
        lock::is_locked(&self.0, of_unit(unit)).with_context(|| format!("asking for a lock on '{LOCKS}'"))
    }
}

impl Addresses {
    /// The addresses of `unit`, locked; nothing where its network is no bridge.
    ///
    /// # Errors
    /// An address is taken that the definition names, or all are.
    pub fn of_unit(network: &Network, unit: &str) -> Result<Option<Self>> {
        let Network::Bridges(attachments) = network else {
            return Ok(None);
        };
        let lock = open()?;
        ensure!(take(&lock, of_unit(unit))?, "another container runs as '{unit}'");
        let mut addresses = Vec::with_capacity(attachments.len());
        for attachment in attachments {
            let subnets = attachment.bridge.subnets.iter();
            let of_one: Result<Vec<IpAddr>> = subnets.map(|subnet| choose(&lock, attachment, subnet, unit)).collect();
            addresses.push(of_one?);
        }
        Ok(Some(Self { addresses, lock }))
    }
}

fn choose(lock: &OwnedFd, attachment: &Attachment, subnet: &Subnet, unit: &str) -> Result<IpAddr> {
    let name = &attachment.bridge.name;
    if let Some(fixed) = attachment
        .addresses
        .iter()
        .find(|address| subnet.block.contains(**address))
    {
        ensure!(
            take(lock, of_address(*fixed))?,
            "the address {fixed} on network '{name}' is taken by another container"
        );
        return Ok(*fixed);
    }
    for address in subnet.candidates(unit).take(TRIES) {
        if take(lock, of_address(address))? {
            return Ok(address);
        }
    }
    bail!("every address of {} on network '{name}' is taken", subnet.block)
}

fn open() -> Result<OwnedFd> {
    lock::open(Path::new(LOCKS)).with_context(|| format!("opening '{LOCKS}'"))
}

fn take(lock: &OwnedFd, position: i64) -> Result<bool> {
    lock::lock_byte(lock, position).with_context(|| format!("locking '{LOCKS}'"))
}

/// An address of IPv4 is a byte of its own; of the others so many are told apart that no two of a machine are the same.
fn of_address(address: IpAddr) -> i64 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => ADDRESSES + remainder(&address.octets()),
    }
}

fn of_unit(unit: &str) -> i64 {
    UNITS + remainder(unit.as_bytes())
}

fn remainder(bytes: &[u8]) -> i64 {
    (hash(bytes) % MANY).cast_signed()
}
