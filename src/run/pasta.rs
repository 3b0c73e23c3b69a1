//! Outgoing network without root: pasta(1), a program that stands between the container's network namespace and ordinary sockets of the
//! user's.
//!
//! It is started by the shim for the container's first process, opens an interface in there, and puts itself into the background, in the
//! unit's control group: it ends with the unit, however that ends, and there is nothing to clean up. It gets no port to listen on, since
//! systemd listens, and no address inside stands for the host's loopback.

use std::io::Read as _;
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::unistd::Pid;

use crate::definition::network::PASTA_RESOLVER;

/// Which address leads to the host's own.
const MAP_HOST: &str = "--map-guest-addr";

/// A pasta that is about to be ready.
#[derive(Debug)]
pub struct Pasta(Child);

impl Pasta {
    /// Starts it for the namespaces of process `pid`, whose identities are mapped. `host` stands for the host inside, if it is to have an address.
    ///
    /// # Errors
    /// It is not installed.
    pub fn start(pid: Pid, host: Option<IpAddr>) -> Result<Self> {
        let mut command = Command::new("pasta");
        if let Some(host) = host {
            command.args([MAP_HOST, &host.to_string()]);
        }
        let child = command
            .args([
                "--config-net",
                "--quiet",
                "--no-map-gw",
                "--dns-forward",
                &PASTA_RESOLVER.to_string(),
            ])
            // Neither way: systemd has the ports of the host, and the payload its own.
            .args(["-t", "none", "-u", "none", "-T", "none", "-U", "none"])
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("executing 'pasta', which Network=pasta needs: install it (Debian, Fedora: passt)")?;
        Ok(Self(child))
    }

    /// Waits until the interface is there.
    ///
    /// # Errors
    /// It has given up, for the reason that it told.
    pub fn await_ready(mut self) -> Result<()> {
        let status = self.0.wait().context("waiting for 'pasta'")?;
        if status.success() {
            return Ok(());
        }
        let mut said = String::new();
        if let Some(stderr) = self.0.stderr.take() {
            // Nobody else has the other end any more.
            stderr.take(4096).read_to_string(&mut said).unwrap_or_default();
        }
        // It splits some of its lines.
        let said = said.trim().replace("\n: ", ": ").replace('\n', "; ");
        match said.as_str() {
            said if said.contains(MAP_HOST) || said.contains("unrecognized option") => {
                bail!(
                    "'pasta' does not know 'host-gateway' ('AddHost', {MAP_HOST}): it takes passt 2024_08_21 or later; {said}"
                )
            }
            "" => bail!("'pasta' has given up the container's network without a word ({status})"),
            said => bail!("'pasta' has given up the container's network: {said}"),
        }
    }
}
