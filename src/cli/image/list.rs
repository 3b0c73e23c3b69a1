//! `coracle image list`: a table of the images.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::cli::output::{Cell, Format, Output, Paint};
use crate::cli::scope::Scope;
use crate::store::Store;
use crate::store::inventory::Summary;

/// List the images
///
/// Not on a terminal, the columns are separated by tabs and have no heading: name, twelve characters of the manifest's digest, size as it is stored,
/// the day when it was built.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coracle image list\n  coracle image list --format json | jq -r '.[].reference'")]
pub struct Arguments {
    /// Whose store.
    #[command(flatten)]
    pub scope: Scope,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
}

#[derive(Serialize)]
struct Row<'a> {
    reference: &'a str,
    digest: String,
    size: u64,
    created: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
}

/// Prints the images, sorted by name.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    let images = Store::open(&arguments.scope.store())?.list()?;
    match arguments.format {
        Format::Json => output.json(&images.iter().map(row).collect::<Vec<_>>())?,
        Format::Table => {
            let rows: Vec<_> = images.iter().map(cells).collect();
            output.table(&["REFERENCE", "DIGEST", "SIZE", "CREATED"], &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(image: &Summary) -> Row<'_> {
    Row {
        reference: &image.name,
        digest: image.digest.to_string(),
        size: image.size,
        created: image.created.as_deref(),
        problem: image.problem.as_deref(),
    }
}

fn cells(image: &Summary) -> Vec<Cell> {
    let name = Cell::plain(&*image.name);
    let digest = Cell::plain(image.digest.short());
    match &image.problem {
        Some(problem) => vec![name, digest, Cell::plain("-"), Cell::new(&**problem, Paint::Red)],
        None => {
            let created = image.created.as_deref().map_or("-", day);
            vec![name, digest, Cell::plain(size(image.size)), Cell::plain(created)]
        }
    }
}

/// The date of an RFC 3339 time.
fn day(created: &str) -> &str {
    created.split('T').next().unwrap_or(created)
}

/// Bytes as people read them, with one decimal.
fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes.saturating_mul(10), 0);
    while value >= 10 * 1024 && unit < 4 {
        value = value.saturating_add(512) / 1024;
        unit += 1;
    }
    let unit = ["B", "K", "M", "G", "T"][unit];
    if unit == "B" {
        format!("{bytes}B")
    } else {
        format!("{}.{}{unit}", value / 10, value % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        assert_eq!(size(0), "0B");
        assert_eq!(size(1023), "1023B");
        assert_eq!(size(1536), "1.5K");
        assert_eq!(size(600 << 20), "600.0M");
    }
}
