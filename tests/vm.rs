//! The tests that need a kernel of their own: each folder of `tests/vm` in a virtual machine, which boots once for all of them.
//!
//! A case is `CASE/test`, a short script in the manner of `tests/system`, and `CASE/root`, files that are laid over the machine's root
//! first. A case that has a `CASE/test.2` goes on with it after a reboot, and so forth. tests/machine/vm boots the machine, and
//! tests/machine/guest runs the cases in it, in the order of their names.
//!
//! No case is ever skipped: where the machine does not come up, or goes before its time, all that it still owed have failed. One case
//! by hand: `tests/machine/vm tests/vm/CASE`, or `cargo test --test vm CASE`.

#[path = "cases/folder.rs"]
mod folder;
#[path = "cases/machine.rs"]
mod machine;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};

use folder::{cases, name};
use machine::{is_wanted, prepare};

/// What is known of the cases so far, and who waits for more.
#[derive(Default)]
struct Results {
    known: Mutex<Known>,
    changed: Condvar,
}

#[derive(Default)]
struct Known {
    /// By case; the text of what failed.
    cases: HashMap<String, Result<(), String>>,
    /// Why there will be no more.
    end: Option<String>,
}

fn main() {
    let mut arguments = Arguments::from_args();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let results = Arc::new(Results::default());
    let cases = cases("vm");
    let trials: Vec<_> = cases.iter().map(|case| trial(case, &results)).collect();
    let wanted: Vec<_> = cases
        .iter()
        .filter(|case| is_wanted(&arguments, &format!("vm::{}", name(case))))
        .collect();
    // Trials only wait. With one for each case none hides another's result until its own turn.
    arguments.test_threads = arguments.test_threads.or(Some(cases.len().max(1)));
    if !arguments.list && !wanted.is_empty() {
        prepare("disks");
        boot(tree, &wanted, Arc::clone(&results));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(case: &Path, results: &Arc<Results>) -> Trial {
    let (name, results) = (name(case).to_owned(), Arc::clone(results));
    Trial::test(format!("vm::{name}"), move || {
        let mut known = results.known.lock().expect("the results");
        loop {
            match (known.cases.remove(&name), &known.end) {
                (Some(result), _) => return result.map_err(Failed::from),
                (None, Some(end)) => return Err(Failed::from(end.as_str())),
                (None, None) => known = results.changed.wait(known).expect("the results"),
            }
        }
    })
}

/// Starts the machine, and a thread that listens to it.
fn boot(tree: &Path, cases: &[&PathBuf], results: Arc<Results>) {
    let machine = Command::new(tree.join("tests/machine/vm"))
        .args(cases)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    std::thread::spawn(move || {
        let end = match machine {
            Ok(machine) => listen(machine, &results),
            Err(error) => format!("starting 'tests/machine/vm': {error}"),
        };
        results.known.lock().expect("the results").end = Some(end);
        results.changed.notify_all();
    });
}

/// Takes in what the machine says, until it is off; the text is why it says no more.
fn listen(mut machine: Child, results: &Results) -> String {
    let complaints = machine.stderr.take().map(|mut stderr| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    });
    let mut said: HashMap<String, String> = HashMap::new();
    let mut running = String::new();
    let lines = machine.stdout.take().map(BufReader::new);
    for line in lines
        .into_iter()
        .flat_map(|lines| lines.split(b'\n'))
        .map_while(Result::ok)
    {
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if let Some(case) = line.strip_prefix(">>> ") {
            case.clone_into(&mut running);
        } else if let Some((case, end)) = line.strip_prefix("<<< ").and_then(|line| line.split_once(' ')) {
            let text = said.remove(case).unwrap_or_default();
            let result = if end.starts_with("ok ") { Ok(()) } else { Err(text) };
            results
                .known
                .lock()
                .expect("the results")
                .cases
                .insert(case.to_owned(), result);
            results.changed.notify_all();
        } else {
            let text = said.entry(running.clone()).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    let status = machine
        .wait()
        .map_or_else(|error| error.to_string(), |status| status.to_string());
    let complaints = complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let last = said.remove(&running).unwrap_or_default();
    format!("the machine went off before this case was done ({status}; last in '{running}')\n{last}{complaints}")
}
