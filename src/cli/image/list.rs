//! `coracle image list`: a table of the images.

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::cli::image::Format;
use crate::store::Store;
use crate::store::inventory::Summary;

/// What was typed.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
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

/// The images as text, sorted by name.
pub fn run(arguments: &Arguments, store: &Store) -> Result<String> {
    let images = store.list()?;
    match arguments.format {
        Format::Text => Ok(table(&images)),
        Format::Json => {
            let rows: Vec<Row<'_>> = images.iter().map(row).collect();
            Ok(serde_json::to_string_pretty(&rows).context("writing JSON")? + "\n")
        }
    }
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

fn table(images: &[Summary]) -> String {
    let mut rows = vec![["REFERENCE", "DIGEST", "SIZE", "CREATED"].map(str::to_owned)];
    for image in images {
        let (size, created) = match &image.problem {
            Some(problem) => ("-".to_owned(), problem.clone()),
            None => (size(image.size), image.created.as_deref().map_or("-", day).to_owned()),
        };
        rows.push([image.name.clone(), image.digest.short().to_owned(), size, created]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second, third) = (width(0), width(1), width(2));
    let line = |[name, digest, size, created]: &[String; 4]| {
        format!("{name:first$}  {digest:second$}  {size:>third$}  {created}\n")
    };
    rows.iter().map(line).collect()
}

/// The date of an RFC 3339 time.
fn day(created: &str) -> &str {
    created.split('T').next().unwrap_or(created)
}

/// Bytes as people read them, with one decimal.
pub fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes.saturating_mul(10), 0);
    while value >= 10 * 1024 && unit < 4 {
        value = value.saturating_add(512) / 1024;
        unit += 1;
    }
    let unit = ["B", "K", "M", "G", "T"][unit];
    if unit == "B" { format!("{bytes}B") } else { format!("{}.{}{unit}", value / 10, value % 10) }
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
