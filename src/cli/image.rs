//! `coracle image`: the images of this machine.
//!
//! Nothing here needs the network or a service: the store is a directory.

pub mod import;
pub mod inspect;
pub mod list;
pub mod rm;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::cli::output::Output;
use crate::image::reference::Reference;

/// What was typed behind `coracle image`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Import an image from a file or directory
    Import(import::Arguments),
    /// List the images
    List(list::Arguments),
    /// Show an image's digest, configuration and layers as JSON
    Inspect(inspect::Arguments),
    /// Remove images
    Rm(rm::Arguments),
}

/// Does what was typed.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    match &arguments.verb {
        Verb::Import(arguments) => import::run(arguments, output),
        Verb::List(arguments) => list::run(arguments, output),
        Verb::Inspect(arguments) => inspect::run(arguments, output),
        Verb::Rm(arguments) => rm::run(arguments, output),
    }
}

/// Reads a reference that was typed.
fn reference(text: &str) -> Result<Reference> {
    text.parse().with_context(|| format!("reading the image name '{text}'"))
}
