//! What a test needs before it boots machines: to know whether it has to, and all that they are made of.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Arguments;

/// Whether the trial of this name is to run: the choice that libtest makes, so that nothing is booted when none was asked for.
pub(crate) fn is_wanted(arguments: &Arguments, name: &str) -> bool {
    let is_skipped = arguments.skip.iter().any(|skip| name.contains(skip));
    let is_named = arguments.filter.as_deref().is_none_or(|filter| {
        if arguments.exact {
            name == filter
        } else {
            name.contains(filter)
        }
    });
    is_named && !is_skipped
}

/// Makes what `goal` of the Makefile says. A failure shows in every trial, since each looks for its parts itself.
pub(crate) fn prepare(goal: &str) {
    if std::env::var_os("CORACLE_PREPARED").is_none() {
        let status = Command::new("make")
            .args(["--no-print-directory", "--silent", goal])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("'make {goal}' failed: the trials below cannot run");
        }
    }
}
