//! A bundle's `config.json` in, plan out: compares what `coracle-oci create` would do, without privilege and without doing it.
//!
//! `tests/oci/CASE/config.json` is the file. `plan` is the plan; where there is an `error` instead, planning must fail with that text. `UPDATE=1`
//! rewrites whichever of the two is there, and writes the one that fits where neither is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use coracle::oci::config::Config;
use coracle::oci::plan::plan;
use coracle::plan::seccomp::profile::Kernel;
use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oci");
    let mut cases: Vec<PathBuf> = fs::read_dir(&directory)
        .expect("listing the cases")
        .map(|entry| entry.expect("listing the cases").path())
        .collect();
    cases.sort();
    let trial = |case: PathBuf| {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(format!("oci::{name}"), move || {
            Ok(compare(&case).map_err(|e| format!("{e:#}"))?)
        })
    };
    libtest_mimic::run(&arguments, cases.into_iter().map(trial).collect()).exit();
}

fn compare(case: &Path) -> Result<()> {
    let (name, got) = match decide(case) {
        Ok(plan) => ("plan", plan),
        Err(error) => ("error", format!("{error:#}\n")),
    };
    let other = if name == "error" { "plan" } else { "error" };
    ensure!(
        !case.join(other).exists(),
        "there is '{other}', but it came out as '{name}':\n{got}"
    );
    if env::var_os("UPDATE").is_some() {
        return fs::write(case.join(name), got).with_context(|| format!("writing '{name}'"));
    }
    let expected = fs::read_to_string(case.join(name));
    let expected = expected.with_context(|| format!("there is no '{name}', which should be\n{got}"))?;
    ensure!(expected == got, "'{name}' differs, UPDATE=1 accepts this:\n{got}");
    Ok(())
}

fn decide(case: &Path) -> Result<String> {
    let text = fs::read_to_string(case.join("config.json")).context("reading 'config.json'")?;
    let config: Config = serde_json::from_str(&text)?;
    let plan = plan(&config, Path::new("/bundle"), Kernel(6, 12))?;
    Ok(format!("{plan:#?}\n"))
}
