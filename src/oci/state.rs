//! `state`, `list` and `ps`: what there is and what it does.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::oci::container::{Directory, Record};

/// A container's state: what the specification asks for, and what engines besides expect of a runtime.
///
/// # Errors
/// There is no such container.
pub fn state(directory: &Directory) -> Result<Value> {
    let record = directory.read()?;
    let status = directory.status(&record);
    let mut state = directory.state(&record, status);
    if let Some(fields) = state.as_object_mut() {
        fields.insert("rootfs".to_owned(), json!(record.rootfs));
        fields.insert("created".to_owned(), json!(record.created));
        fields.insert("owner".to_owned(), json!(owner(&directory.path)));
    }
    Ok(state)
}

/// The states of all containers below `root`, by name.
///
/// # Errors
/// The directory cannot be read.
pub fn list(root: &Path) -> Result<Vec<Value>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("reading '{}'", root.display()))?,
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    // One that is made or removed at this moment has no state.
    let known = names
        .iter()
        .filter_map(|name| state(&Directory::of(root, name).ok()?).ok());
    Ok(known.collect())
}

/// The user who made it.
fn owner(path: &Path) -> String {
    let uid = fs::metadata(path).map_or(0, |metadata| metadata.uid());
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let entry = lines.find(|entry| entry.get(2).and_then(|number| number.parse().ok()) == Some(uid));
    entry
        .and_then(|entry| entry.first().map(|name| (*name).to_owned()))
        .unwrap_or_else(|| uid.to_string())
}

/// The states as lines of a table.
#[must_use]
pub fn table(states: &[Value]) -> Vec<String> {
    let columns = ["id", "pid", "status", "bundle", "created", "owner"];
    let mut rows = vec![columns.map(str::to_uppercase)];
    rows.extend(states.iter().map(|state| {
        columns.map(|column| match state.get(column) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        })
    }));
    aligned(&rows)
}

/// The processes of a container, as lines of a table.
#[must_use]
pub fn processes(record: &Record) -> Vec<String> {
    let mut rows = vec![["UID", "PID", "PPID", "CMD"].map(str::to_owned)];
    for pid in record.cgroup.processes() {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = read("status");
        let field = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.split_whitespace().next())
                .unwrap_or("?")
                .to_owned()
        };
        let command = read("cmdline").replace('\0', " ");
        let command = match command.trim() {
            "" => format!("[{}]", field("Name")),
            command => command.escape_debug().to_string(),
        };
        rows.push([field("Uid"), pid.to_string(), field("PPid"), command]);
    }
    aligned(&rows)
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
