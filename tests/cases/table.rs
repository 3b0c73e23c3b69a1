//! The table of servers in README.md: what the tests have seen is what stands there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Where in the file it is: behind this line, between its head and the line of its end.
const BEGIN: &str = "<!-- servers: UPDATE=1 cargo test --test system servers -->\n";
const END: &str = "<!-- end of servers -->\n";
const HEAD: &str = "| server | version | language | from | binds, left to itself | activation | seen |\n\
                    | --- | --- | --- | --- | --- | --- | --- |\n";

/// Two trials may want to write it.
static WRITING: Mutex<()> = Mutex::new(());

/// The rows in what a case has printed.
pub(crate) fn rows(output: &[u8]) -> Vec<String> {
    let output = String::from_utf8_lossy(output);
    let rows = output.lines().filter_map(|line| line.strip_prefix("row: "));
    rows.map(str::to_owned).collect()
}

/// Compares rows with those in the file, or puts them there.
pub(crate) fn compare(file: &Path, rows: &[String]) -> Result<(), String> {
    if rows.is_empty() {
        return Ok(());
    }
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let text = fs::read_to_string(file).map_err(|error| format!("reading '{}': {error}", file.display()))?;
    let (before, table, after) = split(&text).ok_or("README.md has no table of servers")?;
    let mut known: BTreeMap<_, _> = table.lines().map(|row| (place(row), row)).collect();
    let is_other = |row: &&String| {
        known
            .get(&place(row))
            .is_none_or(|known| without_version(known) != without_version(row))
    };
    let others: Vec<_> = rows.iter().filter(is_other).cloned().collect();
    if std::env::var_os("UPDATE").is_some() {
        known.extend(rows.iter().map(|row| (place(row), row.as_str())));
        let table: String = known.values().map(|row| format!("{row}\n")).collect();
        let text = format!("{before}{BEGIN}{HEAD}{table}{END}{after}");
        return fs::write(file, text).map_err(|error| format!("writing '{}': {error}", file.display()));
    }
    if others.is_empty() {
        return Ok(());
    }
    Err(format!(
        "seen, and not in README.md (UPDATE=1 writes it there):\n{}\n",
        others.join("\n")
    ))
}

/// The names of the servers in the file's table.
pub(crate) fn names(text: &str) -> Vec<String> {
    let rows = split(text).map_or("", |(_, table, _)| table).lines();
    rows.map(|row| cell(row, 1).to_owned()).collect()
}

/// What is before the table, its rows, and what is behind it.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (table, after) = rest.split_once(END)?;
    Some((before, table.strip_prefix(HEAD).unwrap_or(table), after))
}

fn cell(row: &str, index: usize) -> &str {
    row.split('|').nth(index).unwrap_or_default().trim()
}

/// The rows are in the order of languages and names.
fn place(row: &str) -> (String, String) {
    (cell(row, 3).to_lowercase(), cell(row, 1).to_owned())
}

fn without_version(row: &str) -> Vec<&str> {
    let cells = row.split('|').map(str::trim).enumerate();
    cells.filter(|(index, _)| *index != 2).map(|(_, cell)| cell).collect()
}
