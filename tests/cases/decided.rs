//! Cases in which something is decided and nothing done: it comes out as a plan, or as an error that says why there is none.
//!
//! What is expected is the file of a case that bears the plan's name, or its file `error`. `UPDATE=1` rewrites whichever of the two is there, and
//! writes the one that fits where neither is.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::{Arguments, Trial};

use crate::folder::{cases, name};

/// Runs all cases of `tests/KIND`, whose plans stand in their files `plan`. `decide` fails where a case is none.
pub(crate) fn run(kind: &str, plan: &'static str, decide: fn(&Path) -> Result<Result<String>>) -> ! {
    let trial = |case: std::path::PathBuf| {
        Trial::test(format!("{kind}::{}", name(&case)), move || {
            let compared = decide(&case).and_then(|outcome| compare(&case, plan, &outcome));
            Ok(compared.map_err(|error| format!("{error:#}"))?)
        })
    };
    let trials = cases(kind).into_iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

fn compare(case: &Path, plan: &str, outcome: &Result<String>) -> Result<()> {
    let (name, other, got) = match outcome {
        Ok(text) => (plan, "error", text.clone()),
        Err(error) => ("error", plan, format!("{error:#}\n")),
    };
    ensure!(
        !case.join(other).exists(),
        "there is '{other}', but it came out as '{name}':\n{got}"
    );
    if env::var_os("UPDATE").is_some() {
        return fs::write(case.join(name), got).with_context(|| format!("writing '{name}'"));
    }
    let expected = fs::read_to_string(case.join(name));
    let expected = expected.with_context(|| format!("there is no '{name}', which should be\n{got}"))?;
    ensure!(
        expected == got,
        "'{name}' differs, UPDATE=1 accepts this:\n{}{}",
        lacking('-', &expected, &got),
        lacking('+', &got, &expected)
    );
    Ok(())
}

/// The lines of `these` that `those` lack, with a sign before them.
fn lacking(sign: char, these: &str, those: &str) -> String {
    let missing = these.lines().filter(|line| !those.lines().any(|other| other == *line));
    missing.map(|line| format!("{sign}{line}\n")).collect()
}
