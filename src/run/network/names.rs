//! The server of names: aardvark-dns, as `coracle-dns.service`, which systemd starts when netavark has left something to answer
//! (`coracle-dns.path`), and starts again when it was killed. It ends by itself with the last container.

use std::fs;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::plan::network::{Bridges, Interface};
use crate::run::failure::{CONFIG, EXEC, Failure, OrFail as _, Priority, say};
use crate::run::network::netavark::{STATE, helper};

/// How often the servers are looked for, and how long it is from one time to the next.
const TRIES: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(2);

/// Becomes aardvark-dns.
///
/// # Errors
/// It is not installed, or cannot be executed.
pub fn serve() -> Result<(), Failure> {
    use std::os::unix::process::CommandExt as _;
    let program = helper("aardvark-dns").or_fail(CONFIG)?;
    let error = std::process::Command::new(&program)
        .args(["--config", &[STATE, "/aardvark-dns"].concat(), "-p", "53", "run"])
        .exec();
    Err::<(), _>(error)
        .with_context(|| format!("executing '{program}'"))
        .or_fail(EXEC)
}

/// Waits until somebody answers for names on the container's networks: what it asks first must not be in vain.
pub fn await_servers(bridges: &Bridges) {
    let servers = |one: &Interface| one.attachment.bridge.name_servers();
    let mut missing: Vec<IpAddr> = bridges.interfaces.iter().flat_map(servers).collect();
    for _ in 0..TRIES {
        missing.retain(|server| !is_bound(*server));
        if missing.is_empty() {
            return;
        }
        sleep(PAUSE);
    }
    let missing: Vec<String> = missing.iter().map(IpAddr::to_string).collect();
    let message = format!(
        "nobody answers for names on {}: see 'systemctl status coracle-dns.path coracle-dns.service', going on",
        missing.join(" and ")
    );
    say(Priority::Warning, &message);
}

/// Whether a socket is bound to port 53 of this address, as /proc/net/udp tells.
fn is_bound(server: IpAddr) -> bool {
    let (table, wanted) = match server {
        IpAddr::V4(address) => ("/proc/net/udp", words(&address.octets())),
        IpAddr::V6(address) => ("/proc/net/udp6", words(&address.octets())),
    };
    let Ok(table) = fs::read_to_string(table) else {
        return true;
    };
    let wanted = format!("{wanted}:0035");
    table
        .lines()
        .any(|line| line.split_ascii_whitespace().nth(1) == Some(wanted.as_str()))
}

/// An address as that table writes it: words of four bytes, each as the machine reads them.
fn words(octets: &[u8]) -> String {
    let word = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).map_or(0, u32::from_ne_bytes);
    octets.chunks(4).map(|bytes| format!("{:08X}", word(bytes))).collect()
}
