//! `coracle completions SHELL`: completions for a shell, from the same description of the command line that parses it.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli;
use crate::cli::output::Output;

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coracle completions bash > /usr/share/bash-completion/completions/coracle")]
pub struct Arguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints them.
pub fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<ExitCode> {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut cli::Arguments::command(), "coracle", &mut script);
    output.bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}
