//! The `coracle` command: reads the command line, runs the verb, and prints the error if there is one.
//!
//! Exit status 0: done; 1: failed, or mistakes were found; 2: the command line was wrong.

use std::process::ExitCode;

use clap::Parser;
use coracle::cli::{self, Arguments};

fn main() -> ExitCode {
    match cli::run(Arguments::parse()) {
        Ok(code) => code,
        // Whoever read our output has seen enough: `coracle list | head` is no failure.
        Err(error) if error.is::<cli::output::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            cli::output::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
