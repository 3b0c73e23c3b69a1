//! The conditions and assertions of a container that sockets start, asked inside each start ([`crate::generate::condition`]).
//!
//! systemd-analyze(1) asks them, which is systemd itself: what each means stands in systemd.unit(5), and nowhere here. It takes as long as
//! a few starts do, and only definitions with conditions pay for it.

use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::unistd::geteuid;

/// Whether all hold, each of them a line of `[Unit]`.
///
/// # Errors
/// They do not, or cannot be asked.
pub fn ask(conditions: &[&str]) -> Result<()> {
    if conditions.is_empty() || is_answered_yes(&analyze(conditions)?) {
        return Ok(());
    }
    // Which it was is only of interest now: alternatives (`|`) can be asked together only, so here all of them are named.
    let mut unmet = Vec::new();
    for condition in conditions {
        let answer = analyze(&[condition])?;
        let condition = condition.replace("%%", "%");
        let complaint = String::from_utf8_lossy(&answer.stderr);
        match complaint.lines().last() {
            _ if is_answered_yes(&answer) => {}
            Some(complaint) => unmet.push(format!("'{condition}' cannot be asked: {complaint}")),
            None => unmet.push(format!("'{condition}' does not hold")),
        }
    }
    match unmet.is_empty() {
        true => bail!("the conditions in [Unit] did not hold a moment ago"),
        false => bail!("{}", unmet.join(", and ")),
    }
}

/// Its answer is its exit status; of what it says, only complaints are wanted.
fn analyze(conditions: &[&str]) -> Result<Output> {
    let manager = if geteuid().is_root() { "--system" } else { "--user" };
    Command::new("systemd-analyze")
        .args([manager, "condition", "--"])
        .args(conditions)
        .stdin(Stdio::null())
        .env_remove("NOTIFY_SOCKET")
        .envs([("SYSTEMD_LOG_LEVEL", "err"), ("SYSTEMD_LOG_TARGET", "console")])
        .output()
        .context("running 'systemd-analyze'")
}

fn is_answered_yes(answer: &Output) -> bool {
    answer.status.success()
}

#[cfg(test)]
mod tests {
    use super::ask;

    #[test]
    fn those_that_do_not_hold_are_named() {
        ask(&[]).unwrap();
        ask(&["ConditionPathExists=/", "AssertPathIsDirectory=!/etc/passwd"]).unwrap();
        ask(&["ConditionPathExists=|/nowhere", "ConditionPathExists=|/"]).unwrap();
        let said = |conditions: &[&str]| ask(conditions).unwrap_err().to_string();
        assert_eq!(
            said(&[
                "ConditionPathExists=/",
                "ConditionPathExists=!/",
                "AssertPathExists=/no where 5%%"
            ]),
            "'ConditionPathExists=!/' does not hold, and 'AssertPathExists=/no where 5%' does not hold"
        );
        assert!(said(&["ConditionNothing=/"]).starts_with("'ConditionNothing=/' cannot be asked: "));
    }
}
