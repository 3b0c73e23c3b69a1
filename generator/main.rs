//! `coracle-generator`: systemd runs it at boot and at every daemon-reload, and waits for it. systemd.generator(7).
//!
//! Everything it knows is in [`coracle::generate`]; here is only what a program has and a library has not.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use coracle::generate::{invocation, run};

fn main() -> ExitCode {
    let done = invocation::read(env::args_os(), |name| env::var_os(name)).and_then(|invocation| run::run(&invocation));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody can be told that standard error is closed.
            _ = writeln!(io::stderr(), "coracle-generator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
