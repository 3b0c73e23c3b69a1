//! The system tests: each folder of `tests/system` under a real systemd, in both supported versions.
//!
//! A case is `CASE/test`, a short script that runs inside a freshly booted machine (tests/machine/boot, with the functions of
//! tests/machine/lib.sh), and `CASE/root`, files that are laid over the machine's root first. The machine has Coracle as
//! `make install` lays it out, and a read-only image store with the images of tests/machine/images. Two optional files say what a case
//! needs otherwise: `CASE/versions` names the only systemd versions that it is meant for, `CASE/store` exists if it wants an empty,
//! writable store of its own; `CASE/machine` names the one kind of root (tests/machine/root) that has what it needs, and `CASE/scratch` the
//! directories there that must be no overlay.
//!
//! No case is ever skipped: a machine that cannot boot one fails it and says why. One case by hand, with a shell where it fails:
//! `make machine CASE=nginx`. All runs of one kind of name: `cargo test --test system nginx`.

#[path = "cases/folder.rs"]
mod folder;
#[path = "cases/machine.rs"]
mod machine;

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};

use folder::{cases, name};
use machine::{is_wanted, prepare};

/// The systemd versions under test, each with the Debian release that has it.
const VERSIONS: [(&str, &str); 2] = [("252", "bookworm"), ("257", "trixie")];

fn main() {
    let mut arguments = Arguments::from_args();
    if arguments.test_threads.is_none() {
        // A machine mostly waits; two a processor keep the processors busy without starving any.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        arguments.test_threads = Some(processors.clamp(1, 8) + 1);
    }
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let trials: Vec<_> = cases("system").iter().flat_map(|case| trials(tree, case)).collect();
    if !arguments.list && trials.iter().any(|trial| is_wanted(&arguments, trial.name())) {
        prepare("machines");
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trials(tree: &Path, case: &Path) -> Vec<Trial> {
    let name = name(case);
    let only = std::fs::read_to_string(case.join("versions")).ok();
    if let Ok(machine) = std::fs::read_to_string(case.join("machine")) {
        let (tree, case, machine) = (tree.to_path_buf(), case.to_path_buf(), machine.trim().to_owned());
        let name = format!("system::{name}::{machine}");
        return vec![Trial::test(name, move || run(&tree, &case, &machine))];
    }
    VERSIONS
        .iter()
        .filter(|(version, _)| {
            only.as_deref()
                .is_none_or(|only| only.split_whitespace().any(|word| word == *version))
        })
        .map(|(version, release)| {
            let (tree, case) = (tree.to_path_buf(), case.to_path_buf());
            Trial::test(format!("system::{name}::{version}"), move || run(&tree, &case, release))
        })
        .collect()
}

fn run(tree: &Path, case: &Path, release: &str) -> Result<(), Failed> {
    let mut command = Command::new(tree.join("tests/machine/case"));
    command.arg(case).arg(release);
    let output = command
        .output()
        .map_err(|error| format!("starting 'tests/machine/case': {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(Failed::from(text))
}
