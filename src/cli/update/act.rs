//! Restarts what is due, and goes back where that does not come up.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::cli::scope::Scope;
use crate::cli::update::decide::{Candidate, Change};
use crate::cli::update::{Outcome, Row};
use crate::run::condition::Conditions;
use crate::store::refuse::Returned;
use crate::store::{Held, Store};
use crate::systemd::control::main_process;
use crate::systemd::jobs::{Job, carry_out as run_job};
use crate::systemd::look::{self, Closeness};
use crate::systemd::{Manager, Question};

/// How long a container must stay up after it was ready, so that one that falls down at once is seen.
const STAYS_UP: Duration = Duration::from_secs(2);

/// How often it is looked at.
const GLANCE: Duration = Duration::from_millis(200);

/// Does it, image by image.
pub(super) fn carry_out(scope: &Scope, store: &Store, candidates: Vec<Candidate>) -> Vec<Row> {
    let (mut rows, mut changes) = (Vec::new(), Vec::new());
    for Candidate { row, change } in candidates {
        changes.extend(change.map(|change| (rows.len(), change)));
        rows.push(row);
    }
    let mut done = Vec::new();
    for (_, Change { reference, .. }) in &changes {
        if done.contains(&reference) {
            continue;
        }
        done.push(reference);
        let group = changes.iter().filter(|(_, change)| change.reference == *reference);
        update(scope, store, &group.collect::<Vec<_>>(), &mut rows);
    }
    rows
}

/// The containers of one name.
fn update(scope: &Scope, store: &Store, group: &[&(usize, Change)], rows: &mut [Row]) {
    let manager = scope.service_manager();
    // For a moment no container has them.
    let held: Vec<Result<Held>> = group.iter().map(|(_, change)| hold(store, change)).collect();
    for (position, ((index, change), held)) in group.iter().zip(&held).enumerate() {
        let unit = rows[*index].unit.clone();
        if let Err(error) = held {
            let remark = format!("not restarted, since there is no way back: {error:#}");
            tell(&mut rows[*index], Outcome::Failed, remark);
            continue;
        }
        if let Some(why) = hindrance(manager, &unit) {
            tell(&mut rows[*index], Outcome::Skipped, format!("left as it was: {why}"));
            continue;
        }
        let Err(error) = restart(manager, &unit) else {
            tell(&mut rows[*index], Outcome::Updated, String::new());
            tracing::info!(unit, image = %change.reference, from = %change.old, to = %change.new, "updated '{unit}'");
            continue;
        };
        let why = format!("{error:#}");
        tracing::warn!(unit, image = %change.reference, refused = %change.new, "refused the new image of '{unit}': {why}");
        go_back(manager, store, &group[..=position], rows, &why);
        for (index, _) in &group[position + 1..] {
            let remark = format!("left as it was, since '{unit}' did not come up");
            tell(&mut rows[*index], Outcome::Skipped, remark);
        }
        return;
    }
}

/// What would keep it from starting again with whatever image: a condition in `[Unit]`, which the shim has among its arguments.
fn hindrance(manager: Manager, unit: &str) -> Option<String> {
    let main = main_process(manager, unit).ok()??;
    let arguments = main.arguments.iter().map(String::as_str).skip(3);
    let arguments: Vec<&str> = arguments.collect();
    let error = Conditions::of_arguments(&arguments).ask().err()?;
    Some(format!("{error:#}"))
}

fn hold(store: &Store, change: &Change) -> Result<Held> {
    store.hold(&store.find_manifest(&change.reference, &change.old)?)
}

/// Gives the name back, and restarts all of the group that were restarted. The last of them is the one that did not come up.
fn go_back(manager: Manager, store: &Store, group: &[&(usize, Change)], rows: &mut [Row], why: &str) {
    let Some((last, change)) = group.last().copied() else {
        return;
    };
    let refused = match store.go_back(&change.reference, &change.new, &change.old) {
        Ok(Returned::Yes(name)) => format!("the refused image is '{name}' now"),
        Ok(Returned::Moved) => format!("'{}' leads to a third image by now, which was taken", change.reference),
        Err(error) => {
            let remark = format!("{why}; and there is no way back: {error:#}");
            return tell(&mut rows[*last], Outcome::Failed, remark);
        }
    };
    let culprit = rows[*last].name.clone();
    for (index, _) in group {
        let why = match index == last {
            true => why.to_owned(),
            false if rows[*index].outcome == Outcome::Failed => continue,
            false => format!("'{culprit}' did not come up"),
        };
        match restart(manager, &rows[*index].unit) {
            Ok(()) => tell(&mut rows[*index], Outcome::WentBack, format!("{why}; {refused}")),
            Err(error) => {
                let remark = format!("{why}; {refused}; and the old one does not come up either: {error:#}");
                tell(&mut rows[*index], Outcome::Failed, remark);
            }
        }
    }
}

fn tell(row: &mut Row, outcome: Outcome, remark: String) {
    row.outcome = outcome;
    row.remark = remark;
}

/// Restarts it, waits until it is ready, and looks for a moment whether it stays so.
fn restart(manager: Manager, unit: &str) -> Result<()> {
    if let Err(error) = run_job(manager, Job::Restart, unit) {
        let said = state(manager, unit).map(|unit| unit.status).unwrap_or_default();
        return match said.is_empty() {
            true => Err(error),
            false => Err(error.context(said)),
        };
    }
    let mut known = state(manager, unit)?;
    let begun = Instant::now();
    while begun.elapsed() < STAYS_UP {
        sleep(GLANCE);
        let now = state(manager, unit)?;
        match fate(&known, &now) {
            Fate::Lives => known = now,
            Fate::Ends => {}
            Fate::Done => return Ok(()),
            Fate::Fell => bail!(
                "'{unit}' was ready, and ended {:.1} s later ({})",
                begun.elapsed().as_secs_f32(),
                match now.result.as_str() {
                    "" => "and was started again",
                    why => why,
                }
            ),
        }
    }
    Ok(())
}

/// What has become of a container since it was last seen up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lives,
    /// It is ending, well so far.
    Ends,
    /// It has done what it was for, or was idle.
    Done,
    Fell,
}

fn fate(known: &look::Unit, now: &look::Unit) -> Fate {
    match (now.active.as_str(), now.sub.as_str(), now.result.as_str()) {
        // It has ended, and will be started again after a pause.
        (_, "auto-restart" | "auto-restart-queued", _) => Fate::Fell,
        // One that was idle, and has a client again, is another run, but none that systemd has begun by itself.
        _ if now.is_up() && (now.invocation == known.invocation || now.restarts <= known.restarts) => Fate::Lives,
        ("deactivating", _, "success") => Fate::Ends,
        ("inactive", _, "success") => Fate::Done,
        _ => Fate::Fell,
    }
}

fn state(manager: Manager, unit: &str) -> Result<look::Unit> {
    let question = Question {
        names: vec![unit.to_owned()],
        patterns: Vec::new(),
    };
    let mut units = look::units(manager, &question, Closeness::All)?;
    units
        .remove(unit)
        .with_context(|| format!("systemd does not know '{unit}'"))
}

#[cfg(test)]
mod tests {
    use super::{Fate, fate};
    use crate::systemd::look::Unit;

    fn unit([active, sub, result]: [&str; 3], invocation: &str, restarts: u32) -> Unit {
        Unit {
            active: active.to_owned(),
            sub: sub.to_owned(),
            result: result.to_owned(),
            invocation: invocation.to_owned(),
            restarts,
            ..Unit::default()
        }
    }

    #[test]
    fn an_idle_stop_is_no_fall() {
        let known = unit(["active", "running", ""], "a", 0);
        let of = |words, invocation, restarts| fate(&known, &unit(words, invocation, restarts));
        assert_eq!(of(["active", "running", ""], "a", 0), Fate::Lives);
        assert_eq!(of(["deactivating", "stop-sigterm", "success"], "", 0), Fate::Ends);
        assert_eq!(of(["inactive", "dead", "success"], "", 0), Fate::Done);
        // A client has started it again between two looks; so has systemd, after a failure.
        assert_eq!(of(["activating", "start", ""], "b", 0), Fate::Lives);
        assert_eq!(of(["active", "running", ""], "b", 1), Fate::Fell);
        assert_eq!(of(["activating", "auto-restart", ""], "a", 0), Fate::Fell);
        assert_eq!(of(["deactivating", "stop-post", "exit-code"], "", 0), Fate::Fell);
        assert_eq!(of(["failed", "failed", "signal"], "", 0), Fate::Fell);
    }
}
