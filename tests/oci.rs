//! A bundle's `config.json` in, plan out: compares what `coracle-oci create` would do, without privilege and without doing it.
//!
//! `tests/oci/CASE/config.json` is the file. `plan` is the plan, or `error` what planning must fail with.

#[path = "cases/decided.rs"]
mod decided;
#[path = "cases/folder.rs"]
mod folder;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use coracle::oci::config::Config;
use coracle::oci::plan::plan;
use coracle::plan::seccomp::profile::Kernel;

fn main() {
    decided::run("oci", "plan", decide)
}

fn decide(case: &Path) -> Result<Result<String>> {
    let text = fs::read_to_string(case.join("config.json")).context("reading 'config.json'")?;
    let plan = serde_json::from_str(&text)
        .map_err(anyhow::Error::from)
        .and_then(|config: Config| plan(&config, Path::new("/bundle"), Kernel(6, 12)));
    Ok(plan.map(|plan| format!("{plan:#?}\n")))
}
