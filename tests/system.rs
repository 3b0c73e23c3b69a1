//! The system tests: each folder of `tests/system` under a real systemd, in both supported versions, and a few in the newest that there is.
//!
//! A case is `CASE/test`, a short script that runs inside a freshly booted machine (tests/machine/boot, with the functions of
//! tests/machine/lib.sh), and `CASE/root`, files that are laid over the machine's root first. The machine has Coracle as
//! `make install` lays it out, and a read-only image store with the images of tests/machine/images. Optional files say what a case
//! needs otherwise: `CASE/versions` names the only systemd versions that it is meant for (`252`, `257`, and `sid` for the newest that Debian has), `CASE/store` exists if it wants an empty,
//! writable store of its own, `CASE/fleet` if it wants the images of tests/machine/fleet; `CASE/machine` names the one kind of root (tests/machine/root) that has what it needs, and `CASE/scratch` the
//! directories there that must be no overlay; `CASE/seconds` says how long the script may take, where two minutes could be too short.
//!
//! A case may print rows of a table (`row: | … |`, tests/machine/servers.sh), which must stand in README.md just so, versions apart: those are
//! Debian's to move. `UPDATE=1` writes what was seen there.
//!
//! Two trials of a run may fail once: each boots a machine of its own beside two others, and a second try tells an accident of that crowd
//! from a fault. What the first try said is printed whole, and wants to be read: `SECOND_TRIES=0` forbids them.
//!
//! No case is ever skipped: a machine that cannot boot one fails it and says why. One case by hand, with a shell where it fails:
//! `make machine CASE=nginx`. All runs of one kind of name: `cargo test --test system nginx`.

#[path = "cases/folder.rs"]
mod folder;
#[path = "cases/machine.rs"]
mod machine;
#[path = "cases/table.rs"]
mod table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::{Arguments, Failed, Trial};

use folder::{cases, name};
use machine::{is_wanted, prepare};

/// The systemd versions under test, each with the Debian release that has it.
const VERSIONS: [(&str, &str); 3] = [("252", "bookworm"), ("257", "trixie"), (NEWEST, "sid")];

/// The newest that Debian has, whichever that is today: for the cases whose `versions` name it.
const NEWEST: &str = "sid";

/// How many trials of this run may still be tried again.
static SECOND_TRIES: AtomicUsize = AtomicUsize::new(2);

fn main() {
    if let Some(tries) = std::env::var_os("SECOND_TRIES") {
        let tries = tries.to_str().and_then(|tries| tries.parse().ok());
        SECOND_TRIES.store(tries.expect("SECOND_TRIES is no number"), Ordering::Relaxed);
    }
    let mut arguments = Arguments::from_args();
    if arguments.test_threads.is_none() {
        // A machine mostly waits; two a processor keep the processors busy without starving any.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        arguments.test_threads = Some(processors.clamp(1, 8) + 1);
    }
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = cases("system");
    let mut trials: Vec<_> = cases.iter().flat_map(|case| trials(tree, case)).collect();
    if !arguments.list && trials.iter().any(|trial| is_wanted(&arguments, trial.name())) {
        prepare("machines");
    }
    let servers = cases.into_iter().filter(|case| case.join("fleet").exists()).collect();
    trials.push(Trial::test("table-of-servers", move || table_of_servers(tree, servers)));
    libtest_mimic::run(&arguments, trials).exit();
}

/// Each server that is tested has its row, and no row is left of one that is not.
fn table_of_servers(tree: &Path, cases: Vec<PathBuf>) -> Result<(), Failed> {
    let folders = cases.into_iter().map(|case| case.join("root/etc/coracle"));
    let tested: BTreeSet<String> = folders
        .flat_map(|folder| std::fs::read_dir(folder).expect("reading a case's definitions"))
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    let readme = std::fs::read_to_string(tree.join("README.md"))?;
    let named: BTreeSet<String> = table::names(&readme).into_iter().collect();
    if tested == named {
        return Ok(());
    }
    let differing: Vec<_> = tested.symmetric_difference(&named).collect();
    Err(Failed::from(format!(
        "in one of the table in README.md and the tests only: {differing:?}"
    )))
}

fn trials(tree: &Path, case: &Path) -> Vec<Trial> {
    let name = name(case);
    let only = std::fs::read_to_string(case.join("versions")).ok();
    if let Ok(machine) = std::fs::read_to_string(case.join("machine")) {
        let (tree, case, machine) = (tree.to_path_buf(), case.to_path_buf(), machine.trim().to_owned());
        let name = format!("system::{name}::{machine}");
        return vec![Trial::test(name, move || run_twice(&tree, &case, &machine))];
    }
    VERSIONS
        .iter()
        .filter(|(version, _)| {
            only.as_deref().map_or(*version != NEWEST, |only| {
                only.split_whitespace().any(|word| word == *version)
            })
        })
        .map(|(version, release)| {
            let (tree, case) = (tree.to_path_buf(), case.to_path_buf());
            Trial::test(format!("system::{name}::{version}"), move || {
                run_twice(&tree, &case, release)
            })
        })
        .collect()
}

/// Runs a trial, and once more if it fails and this run may still do so.
fn run_twice(tree: &Path, case: &Path, release: &str) -> Result<(), Failed> {
    let Err(first) = run(tree, case, release) else {
        return Ok(());
    };
    let one_less = |left: usize| left.checked_sub(1);
    if SECOND_TRIES
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
        .is_err()
    {
        return Err(first);
    }
    let said = first.message().unwrap_or("nothing");
    eprintln!(
        "'{}' failed on {release}, a second try decides; the first said:\n{said}",
        name(case)
    );
    run(tree, case, release)
}

fn run(tree: &Path, case: &Path, release: &str) -> Result<(), Failed> {
    let mut command = Command::new(tree.join("tests/machine/case"));
    command.arg(case).arg(release);
    let output = command
        .output()
        .map_err(|error| format!("starting 'tests/machine/case': {error}"))?;
    if output.status.success() {
        let rows = table::rows(&output.stdout);
        return table::compare(&tree.join("README.md"), &rows).map_err(Failed::from);
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(Failed::from(text))
}
