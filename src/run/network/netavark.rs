//! Calls netavark(1), the container world's engine for networks.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::sys::stat::{Mode, umask};

use crate::run::network::Files;

/// What netavark is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Make the container's interfaces.
    Setup,
    /// Take them away, and each bridge with its last one.
    Teardown,
}

/// Where distributions install the container world's helpers.
pub const PLACES: [&str; 3] = ["/usr/libexec/podman", "/usr/lib/podman", "/usr/local/libexec/podman"];

/// What netavark and aardvark-dns know of our networks, beside and apart from Podman's.
pub const STATE: &str = "/run/coracle/.netavark";

/// One of the helpers.
///
/// # Errors
/// It is not installed.
pub fn helper(name: &str) -> Result<String> {
    let path = |place: &str| [place, "/", name].concat();
    let found = PLACES.into_iter().map(path).find(|path| Path::new(path).exists());
    found.with_context(|| format!("there is no '{name}', which bridges need: install the package '{name}'"))
}

/// Has the container of these files set up or torn down.
///
/// # Errors
/// What netavark says.
pub fn call(verb: Verb, files: &Files) -> Result<()> {
    let program = helper("netavark")?;
    // The shim has none, and what netavark writes must be nobody else's to change.
    let ours = umask(Mode::from_bits_truncate(0o022));
    let output = Command::new(&program)
        .env_clear()
        .env("PATH", path())
        // The server of names is a unit of its own, which systemd starts as soon as it has something to answer ([`super::names`]); netavark
        // would start it within the container's, where it would end with the first container.
        .args(["--config", STATE, "--aardvark-binary", "/bin/true", "--file"])
        .arg(&files.request)
        .arg(match verb {
            Verb::Setup => "setup",
            Verb::Teardown => "teardown",
        })
        .arg(&files.namespace)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    umask(ours);
    let output = output.with_context(|| format!("running '{program}'"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let error = serde_json::from_str::<serde_json::Value>(&said).ok();
    match error.as_ref().and_then(|value| value["error"].as_str()) {
        Some(error) => bail!("netavark: {error}"),
        None => bail!("netavark ended with {}: {}", output.status, said.trim()),
    }
}

/// netavark looks there for nft(8) or iptables(8), and for systemd-run(1), which it is better off without: see above.
pub(super) fn path() -> &'static str {
    let has_firewall = |place: &str| {
        ["nft", "iptables"]
            .iter()
            .any(|name| Path::new(place).join(name).exists())
    };
    if has_firewall("/usr/sbin") {
        "/usr/sbin:/sbin"
    } else {
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    }
}
