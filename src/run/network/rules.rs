//! The rules that netavark keeps for all networks, which it never takes away: they go with the last network.
//!
//! Podman's netavark has the same ones. So they are left alone as long as there is any network's chain among them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::run::network::netavark::path;

/// Removes them, with either of the programs that netavark knows.
///
/// # Errors
/// What those programs say.
pub fn remove() -> Result<()> {
    let table = output("nft", &["list", "table", "inet", "netavark"]);
    if !table.is_empty() && !table.contains("chain nv_") {
        run("nft", &["delete", "table", "inet", "netavark"], "")?;
    }
    for (save, restore) in [
        ("iptables-save", "iptables-restore"),
        ("ip6tables-save", "ip6tables-restore"),
    ] {
        let script = undo(&output(save, &[]));
        if !script.is_empty() {
            run(restore, &["--noflush"], &script)?;
        }
    }
    Ok(())
}

/// What iptables-restore(8) must do to take netavark's chains out of what iptables-save(8) has printed; nothing if there are none, or
/// one that is a network's.
fn undo(saved: &str) -> String {
    let chain = |line: &str| line.strip_prefix(':')?.split(' ').next().map(str::to_owned);
    let is_ours = |name: &str| name.starts_with("NETAVARK");
    let is_of_network = |name: &str| {
        let hash = name.strip_prefix("NETAVARK-");
        hash.is_some_and(|hash| hash.len() == 13 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let mut chains = saved.lines().filter_map(chain);
    if chains.any(|name| is_of_network(&name)) {
        return String::new();
    }
    let mut script = String::new();
    for table in saved.split_inclusive("COMMIT\n") {
        let ours: Vec<String> = table.lines().filter_map(chain).filter(|name| is_ours(name)).collect();
        let Some(head) = table
            .lines()
            .find(|line| line.starts_with('*'))
            .filter(|_| !ours.is_empty())
        else {
            continue;
        };
        let added = table.lines().filter_map(|line| line.strip_prefix("-A "));
        let calls =
            added.filter(|rule| !is_ours(rule) && ours.iter().any(|name| rule.ends_with(&format!("-j {name}"))));
        let deleted = calls.map(|rule| format!("-D {rule}"));
        let emptied = ours.iter().map(|name| format!("-F {name}"));
        let removed = ours.iter().map(|name| format!("-X {name}"));
        let lines: Vec<String> = deleted.chain(emptied).chain(removed).collect();
        script.push_str(&format!("{head}\n{}\nCOMMIT\n", lines.join("\n")));
    }
    script
}

/// What a program prints; nothing if it is not there or fails.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .env_clear()
        .env("PATH", path())
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}

fn run(program: &str, arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new(program)
        .env_clear()
        .env("PATH", path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("running '{program}'"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(input.as_bytes())
            .with_context(|| format!("telling '{program}' what to do"))?;
    }
    let status = child.wait().with_context(|| format!("waiting for '{program}'"))?;
    ensure!(status.success(), "'{program}' ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::undo;

    const SAVED: &str = "# Generated\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:NETAVARK_FORWARD - [0:0]\n:mine - [0:0]\n\
        -A FORWARD -m comment --comment \"netavark firewall plugin rules\" -j NETAVARK_FORWARD\n-A FORWARD -j mine\nCOMMIT\n\
        # Generated\n*nat\n:POSTROUTING ACCEPT [0:0]\n:NETAVARK-HOSTPORT-MASQ - [0:0]\n-A POSTROUTING -j NETAVARK-HOSTPORT-MASQ\n\
        -A NETAVARK-HOSTPORT-MASQ -j MASQUERADE\nCOMMIT\n*raw\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

    #[test]
    fn what_is_netavarks_goes_and_nothing_else() {
        let wanted = "*filter\n-D FORWARD -m comment --comment \"netavark firewall plugin rules\" -j NETAVARK_FORWARD\n\
            -F NETAVARK_FORWARD\n-X NETAVARK_FORWARD\nCOMMIT\n*nat\n-D POSTROUTING -j NETAVARK-HOSTPORT-MASQ\n\
            -F NETAVARK-HOSTPORT-MASQ\n-X NETAVARK-HOSTPORT-MASQ\nCOMMIT\n";
        assert_eq!(undo(SAVED), wanted);
        assert_eq!(undo(""), "");
        assert_eq!(undo("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"), "");
    }

    #[test]
    fn as_long_as_somebody_has_a_network_all_stays() {
        let saved = SAVED.replace(":mine", ":NETAVARK-F43F799324A27");
        assert_eq!(undo(&saved), "");
    }
}
