//! Which nodes a container's `/dev` has, and which devices its control group lets it use.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::stat::{Mode, SFlag, makedev};

use crate::oci::config::{self, DeviceRule};
use crate::plan::device::NODES;

/// A node that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Absolute, in the container.
    pub path: PathBuf,
    /// Character, block or FIFO.
    pub kind: SFlag,
    /// The device.
    pub numbers: u64,
    /// Its permissions.
    pub mode: Mode,
    /// Its owner and group inside.
    pub owner: (u32, u32),
}

/// The nodes of a container: those that all have (runtime-spec config-linux.md, "Default Devices"), unless they are named, and those that are.
///
/// # Errors
/// A type or a path that cannot be.
pub fn nodes(devices: &[config::Device]) -> Result<Vec<Node>> {
    let mut nodes = Vec::with_capacity(NODES.len() + devices.len());
    for device in devices {
        nodes.push(node(device).with_context(|| format!("the device '{}'", device.path.display()))?);
    }
    for (name, major, minor) in NODES {
        let path = Path::new("/dev").join(name);
        if nodes.iter().all(|node: &Node| node.path != path) {
            nodes.push(Node {
                path,
                kind: SFlag::S_IFCHR,
                numbers: makedev(major, minor),
                mode: Mode::from_bits_truncate(0o666),
                owner: (0, 0),
            });
        }
    }
    Ok(nodes)
}

fn node(device: &config::Device) -> Result<Node> {
    let kind = match device.kind.as_str() {
        "c" | "u" => SFlag::S_IFCHR,
        "b" => SFlag::S_IFBLK,
        "p" => SFlag::S_IFIFO,
        other => bail!("'{other}' is no type of node: it is 'c', 'b', 'u' or 'p'"),
    };
    ensure!(
        device.path.is_absolute()
            && device.path.file_name().is_some()
            && device.path.components().all(|part| part != Component::ParentDir),
        "its path is not absolute"
    );
    Ok(Node {
        path: device.path.clone(),
        kind,
        numbers: makedev(device.major, device.minor),
        mode: Mode::from_bits_truncate(device.file_mode.unwrap_or(0o666) & 0o7777),
        owner: (device.uid.unwrap_or(0), device.gid.unwrap_or(0)),
    })
}

/// One rule of the device policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Whether it allows or denies.
    pub verdict: Verdict,
    /// `c`, `b`, or `a` for both.
    pub kind: char,
    /// The major number, or any.
    pub major: Option<u32>,
    /// The minor number, or any.
    pub minor: Option<u32>,
    /// Of reading, writing and making nodes, what it speaks of: 4, 2 and 1.
    pub access: u32,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They may be used.
    Allow,
    /// They may not.
    Deny,
}

/// Read, write, make a node.
const ALL: u32 = 7;

/// The policy of a container; the last rule that fits counts. None where the file has none, and the control group is left alone.
///
/// # Errors
/// A type, a number or an access that cannot be.
pub fn policy(rules: &[DeviceRule]) -> Result<Option<Vec<Rule>>> {
    if rules.is_empty() {
        return Ok(None);
    }
    let mut policy = Vec::with_capacity(rules.len() + 12);
    for rule in rules {
        policy.push(parse(rule)?);
    }
    let is_open = matches!(
        policy.last(),
        Some(Rule {
            verdict: Verdict::Allow,
            kind: 'a',
            major: None,
            minor: None,
            access: ALL
        })
    );
    if !is_open {
        policy.extend(usual());
    }
    Ok(Some(policy))
}

/// What programs cannot do without: the nodes that all have, their terminals, and making nodes, which opens none.
fn usual() -> impl Iterator<Item = Rule> {
    let node = |kind, major, minor, access| Rule {
        verdict: Verdict::Allow,
        kind,
        major,
        minor,
        access,
    };
    let known = NODES.map(|(_, major, minor)| (major, Some(minor)));
    let terminals = [(136, None), (5, Some(1)), (5, Some(2))];
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    [node('c', None, None, 1), node('b', None, None, 1)].into_iter().chain(
        known
            .into_iter()
            .chain(terminals)
            .map(move |(major, minor)| node('c', Some(small(major)), minor.map(small), ALL)),
    )
}

fn parse(rule: &DeviceRule) -> Result<Rule> {
    let kind = match rule.kind.as_deref().unwrap_or("a") {
        "" | "a" => 'a',
        "c" | "u" => 'c',
        "b" => 'b',
        other => bail!("'{other}' is no type of device: it is 'a', 'b' or 'c'"),
    };
    let number = |number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number)
            .map(Some)
            .with_context(|| format!("'{number}' is no number of a device")),
    };
    let mut access = 0;
    for letter in rule.access.as_deref().unwrap_or("rwm").chars() {
        access |= match letter {
            'r' => 4,
            'w' => 2,
            'm' => 1,
            other => bail!("'{other}' is no access to a device: it is 'r', 'w' and 'm'"),
        };
    }
    Ok(Rule {
        verdict: if rule.allow { Verdict::Allow } else { Verdict::Deny },
        kind,
        major: number(rule.major)?,
        minor: number(rule.minor)?,
        access: if access == 0 { ALL } else { access },
    })
}
