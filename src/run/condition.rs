//! The conditions and assertions of a container that sockets start ([`crate::generate::condition`]).
//!
//! systemd-analyze(1) asks them, which is systemd itself: what each means stands in systemd.unit(5), and nowhere here. It takes longer than
//! the rest of a start does, and only definitions with conditions pay for it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::unistd::geteuid;

use crate::run::failure::{Priority, say};

/// The lines of `[Unit]`, in their final form.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// Those to be asked at each start.
    coming_and_going: &'a [&'a str],
    /// Those about the machine. Where a socket was passed they hold, since it is they that opened it.
    lasting: &'a [&'a str],
}

impl<'a> Conditions<'a> {
    /// From the shim's arguments: the latter stand behind `--`.
    #[must_use]
    pub fn of_arguments(arguments: &'a [&'a str]) -> Self {
        let place = arguments.iter().position(|word| *word == "--");
        let (coming_and_going, lasting) = arguments.split_at(place.unwrap_or(arguments.len()));
        Self {
            coming_and_going,
            lasting: lasting.get(1..).unwrap_or_default(),
        }
    }

    /// Makes sure that what comes and goes is there now.
    ///
    /// # Errors
    /// It is not, or cannot be asked for.
    pub fn ask(&self) -> Result<()> {
        ask(self.coming_and_going)
    }

    /// Why a container is not meant for this machine, if it is not: what systemd would skip it for.
    ///
    /// # Errors
    /// What systemd would have it fail for: an assertion does not hold, or nothing can be asked.
    pub fn skipped(&self) -> Result<Option<String>> {
        let (assertions, conditions): (Vec<&str>, Vec<&str>) = self.lasting.iter().partition(|one| is_assertion(one));
        ask(&assertions)?;
        unmet(&conditions)
    }
}

fn is_assertion(condition: &str) -> bool {
    condition.starts_with("Assert")
}

fn is_alternative(condition: &str) -> bool {
    let value = condition.split_once('=').map(|(_, value)| value);
    value.is_some_and(|value| value.starts_with('|'))
}

/// Makes sure that all of `conditions` hold.
///
/// # Errors
/// They do not, or cannot be asked.
fn ask(conditions: &[&str]) -> Result<()> {
    match unmet(conditions)? {
        None => Ok(()),
        Some(unmet) => bail!("{unmet}"),
    }
}

/// What of them does not hold, in one sentence.
fn unmet(conditions: &[&str]) -> Result<Option<String>> {
    // One that has become empty, as by `%i` without an instance, would take back the others.
    let (empty, asked): (Vec<&str>, Vec<&str>) = conditions.iter().partition(|condition| condition.ends_with('='));
    let complain = |complaint: &str| say(Priority::Warning, complaint);
    empty
        .iter()
        .for_each(|condition| complain(&format!("'{condition}' says nothing, ignoring")));
    if asked.is_empty() {
        return Ok(None);
    }
    let answer = analyze(&asked)?;
    if answer.status.success() {
        String::from_utf8_lossy(&answer.stderr).lines().for_each(complain);
        return Ok(None);
    }
    // Which it was is only of interest now.
    let mut unmet = Vec::new();
    for group in groups(&asked) {
        unmet.extend(complaint(&group, &analyze(&group)?));
    }
    Ok(Some(match unmet.is_empty() {
        true => "the conditions in [Unit] did not hold a moment ago".to_owned(),
        false => unmet.join(", and "),
    }))
}

/// Those that are judged together: each alone, but the alternatives (`|`) of a family.
fn groups<'c>(conditions: &[&'c str]) -> Vec<Vec<&'c str>> {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for condition in conditions {
        let is_alike = |one: &str| is_alternative(one) && is_assertion(one) == is_assertion(condition);
        let mut others = groups.iter_mut();
        let group = others.find(|group| is_alternative(condition) && is_alike(group[0]));
        match group {
            Some(group) => group.push(condition),
            None => groups.push(vec![condition]),
        }
    }
    groups
}

/// What is to be said of a group after this answer.
fn complaint(group: &[&str], answer: &Output) -> Option<String> {
    let quoted: Vec<String> = group.iter().map(|condition| format!("'{condition}'")).collect();
    let all = quoted.join(" or ");
    let said = String::from_utf8_lossy(&answer.stderr);
    match (answer.status.code(), said.lines().last()) {
        (Some(0), _) => None,
        (None, _) => Some(format!(
            "{all} cannot be asked: systemd-analyze was killed by signal {}",
            answer.status.signal().unwrap_or_default()
        )),
        (Some(_), Some(said)) => Some(format!("{all} cannot be asked: {said}")),
        (Some(_), None) => Some(format!("{all} does not hold")),
    }
}

/// Its answer is its exit status; of what it says, only complaints are wanted.
fn analyze(conditions: &[&str]) -> Result<Output> {
    let manager = if geteuid().is_root() { "--system" } else { "--user" };
    Command::new("systemd-analyze")
        .args([manager, "condition", "--"])
        // Specifiers are resolved already, by who knows the unit.
        .args(conditions.iter().map(|condition| condition.replace('%', "%%")))
        .stdin(Stdio::null())
        .env_remove("NOTIFY_SOCKET")
        .envs([("SYSTEMD_LOG_LEVEL", "warning"), ("SYSTEMD_LOG_TARGET", "console")])
        .output()
        .context("running 'systemd-analyze'")
}

#[cfg(test)]
mod tests {
    use super::{Conditions, ask};

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
                "AssertPathExists=/no where 5%"
            ]),
            "'ConditionPathExists=!/' does not hold, and 'AssertPathExists=/no where 5%' does not hold"
        );
        assert!(said(&["ConditionNothing=/"]).starts_with("'ConditionNothing=/' cannot be asked: "));
    }

    #[test]
    fn of_alternatives_one_is_enough() {
        let alternatives = ["ConditionPathExists=|/nowhere", "ConditionPathExists=|/elsewhere"];
        let all = [&alternatives[..], &["AssertPathExists=|/", "ConditionPathExists=/"]].concat();
        assert_eq!(
            ask(&all).unwrap_err().to_string(),
            "'ConditionPathExists=|/nowhere' or 'ConditionPathExists=|/elsewhere' does not hold"
        );
    }

    #[test]
    fn one_that_has_become_empty_takes_nothing_back() {
        ask(&["ConditionPathExists="]).unwrap();
        let error = ask(&["ConditionPathExists=/nowhere", "ConditionPathExists="]).unwrap_err();
        assert_eq!(error.to_string(), "'ConditionPathExists=/nowhere' does not hold");
    }

    #[test]
    fn arguments_are_told_apart() {
        let conditions = Conditions::of_arguments(&["a", "--", "b", "c"]);
        assert_eq!(
            (conditions.coming_and_going, conditions.lasting),
            (&["a"][..], &["b", "c"][..])
        );
        let conditions = Conditions::of_arguments(&["a"]);
        assert_eq!((conditions.coming_and_going, conditions.lasting), (&["a"][..], &[][..]));
    }

    #[test]
    fn another_machine_is_skipped_or_fails() {
        let skipped = |lasting: &[&str]| {
            let arguments = [&["--"], lasting].concat();
            Conditions::of_arguments(&arguments).skipped()
        };
        assert_eq!(skipped(&[]).unwrap(), None);
        let said = skipped(&["ConditionPathExists=!/", "AssertPathExists=/"]).unwrap();
        assert_eq!(said.as_deref(), Some("'ConditionPathExists=!/' does not hold"));
        let error = skipped(&["ConditionPathExists=!/", "AssertPathExists=!/"]).unwrap_err();
        assert_eq!(error.to_string(), "'AssertPathExists=!/' does not hold");
    }
}
