//! `coracle volume list`: a table of the volumes.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::cli::output::{Cell, Format, Output, Paint};
use crate::cli::scope::Scope;
use crate::cli::volume::{Use, marks, users, users_of};
use crate::store::Store;

/// List the volumes
///
/// Not on a terminal, the columns are separated by tabs and have no heading: name, whether a running container uses it, how many definitions
/// name it, its directory.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coracle volume list\n  coracle volume list --format json | jq -r '.[].name'")]
pub struct Arguments {
    /// Whose store and definitions.
    #[command(flatten)]
    pub scope: Scope,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
}

#[derive(Serialize)]
struct Row {
    name: String,
    path: String,
    state: Option<&'static str>,
    definitions: Vec<String>,
}

/// Prints the volumes, sorted by name.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    let volumes = Store::open(&arguments.scope.store())?.volumes();
    let users = users(&arguments.scope.contents());
    let marks = marks(&arguments.scope);
    let row = |name: String| Row {
        path: volumes.path(&name).display().to_string(),
        state: Use::of(&name, marks.as_ref()).word(),
        definitions: users_of(&users, &name)
            .iter()
            .map(|source| source.display().to_string())
            .collect(),
        name,
    };
    let rows: Vec<Row> = volumes.names()?.into_iter().map(row).collect();
    match arguments.format {
        Format::Json => output.json(&rows)?,
        Format::Table => {
            let rows: Vec<_> = rows.iter().map(cells).collect();
            output.table(&["NAME", "STATE", "DEFINITIONS", "PATH"], &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn cells(row: &Row) -> Vec<Cell> {
    let paint = match row.state {
        Some("in-use") => Paint::Green,
        _ => Paint::Dim,
    };
    vec![
        Cell::new(row.name.clone(), Paint::Bold),
        Cell::new(row.state.unwrap_or_default(), paint),
        Cell::plain(row.definitions.len().to_string()),
        Cell::plain(row.path.clone()),
    ]
}
