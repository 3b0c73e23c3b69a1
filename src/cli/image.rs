//! `coracle image`: the images of this machine.
//!
//! Nothing here needs the network or a service: the store is a directory.

pub mod import;
pub mod inspect;
pub mod list;
pub mod rm;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};

use crate::image::reference::Reference;
use crate::store::Store;

/// What was typed behind `coracle image`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The store, where it is not the usual one
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub store: Option<PathBuf>,
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
    /// Show an image's digest, configuration and layers
    Inspect(inspect::Arguments),
    /// Remove images
    Rm(rm::Arguments),
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// A definition that names an image, so that the image is not removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The image.
    pub reference: Reference,
    /// The definition's file.
    pub definition: PathBuf,
}

/// Does what was typed. `default_store` is where images are unless `--store` says otherwise; `users` finds the definitions that name
/// images, and is only asked by the verbs that remove.
pub fn run(
    arguments: &Arguments,
    default_store: &Path,
    users: impl FnOnce() -> Result<Vec<User>>,
    output: &mut impl Write,
) -> Result<()> {
    let store = Store::open(arguments.store.as_deref().unwrap_or(default_store))?;
    let text = match &arguments.verb {
        Verb::Import(arguments) => import::run(arguments, &store)?,
        Verb::List(arguments) => list::run(arguments, &store)?,
        Verb::Inspect(arguments) => inspect::run(arguments, &store)?,
        Verb::Rm(arguments) => return rm::run(arguments, &store, &users()?, output),
    };
    output.write_all(text.as_bytes()).context("writing the output")
}

/// Reads a reference that was typed.
pub fn reference(text: &str) -> Result<Reference> {
    text.parse().with_context(|| format!("reading the image name '{text}'"))
}
