//! `coracle image`: the images of this machine.
//!
//! Nothing here needs the network or a service: the store is a directory.

pub mod import;
pub mod inspect;
pub mod keep;
pub mod list;
pub mod rm;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::cli::journal;
use crate::cli::output::Output;
use crate::image::reference::Reference;

/// Import, list, inspect and remove images
///
/// The store is an OCI image layout with each layer unpacked once beside it: /var/lib/coracle, or ~/.local/share/coracle with --user.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  docker save nginx:1.27 | coracle image import -\n  coracle image list")]
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
    Import(import::Arguments),
    List(list::Arguments),
    Inspect(inspect::Arguments),
    Rm(rm::Arguments),
    #[command(hide = true)]
    Keep(keep::Arguments),
}

/// Does what was typed.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    journal::open();
    match &arguments.verb {
        Verb::Import(arguments) => import::run(arguments, output),
        Verb::List(arguments) => list::run(arguments, output),
        Verb::Inspect(arguments) => inspect::run(arguments, output),
        Verb::Rm(arguments) => rm::run(arguments, output),
        Verb::Keep(arguments) => keep::run(arguments),
    }
}

/// Reads a reference that was typed.
fn reference(text: &str) -> Result<Reference> {
    text.parse().with_context(|| format!("reading the image name '{text}'"))
}
