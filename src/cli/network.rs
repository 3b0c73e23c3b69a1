//! `coracle network`: the networks that are defined.

pub mod list;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::output::Output;

/// List networks
///
/// A network is made with the first container on it, and removed with the last one: there is nothing to create or to remove.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coracle network list")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs. Each is described by its own arguments, from which its help and its manual page are made.
#[derive(Debug, Subcommand)]
#[allow(
    missing_docs,
    reason = "a comment here would stand in the help instead of that description"
)]
pub enum Verb {
    List(list::Arguments),
}

/// Does what was typed.
pub fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<ExitCode> {
    match &arguments.verb {
        Verb::List(arguments) => list::run(arguments, output),
    }
}
