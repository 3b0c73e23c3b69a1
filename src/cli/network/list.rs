//! `coracle network list`: each network with its subnets, and the containers that are on it now.

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::cli::output::{Cell, Format, Output};
use crate::cli::scope::Scope;
use crate::definition::network::{DEFAULT, Loaded};
use crate::definition::places::networks;
use crate::run::network::Files;
use crate::run::network::sweep::units;

/// List the networks and who is on them
///
/// Networks are what NAME.network.toml defines, and 'bridge', the default one. The containers are those that run, with their addresses.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coracle network list\n  coracle network list --format json | jq '.[].containers'")]
pub struct Arguments {
    /// Whose networks.
    #[command(flatten)]
    pub scope: Scope,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
}

#[derive(Serialize)]
struct Row {
    /// What `Network=` calls it.
    name: String,
    interface: String,
    subnets: Vec<String>,
    internal: bool,
    source: Option<String>,
    mistakes: usize,
    /// Units with their addresses.
    containers: BTreeMap<String, Vec<String>>,
}

/// Prints the networks, sorted by name.
pub fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<ExitCode> {
    let running = match arguments.scope.root {
        Some(_) => Vec::new(),
        None => requests(),
    };
    let networks = networks::load_all(&arguments.scope.places());
    let rows: Vec<Row> = networks.into_values().map(|network| row(network, &running)).collect();
    match arguments.format {
        Format::Json => output.json(&rows)?,
        Format::Table => {
            let rows: Vec<_> = rows.iter().map(cells).collect();
            output.table(&["NETWORK", "INTERFACE", "SUBNETS", "CONTAINERS"], &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What netavark was told of each container on a bridge.
fn requests() -> Vec<(String, Value)> {
    let request = |unit: String| {
        let text = fs::read_to_string(Files::of(&unit).request).ok()?;
        Some((unit, serde_json::from_str(&text).ok()?))
    };
    units().into_iter().filter_map(request).collect()
}

fn row(network: Loaded, running: &[(String, Value)]) -> Row {
    let definition = network.definition;
    let addresses = |request: &Value| -> Option<Vec<String>> {
        let addresses = request["networks"].get(&definition.bridge.name)?["static_ips"].as_array()?;
        Some(addresses.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    };
    let containers = running
        .iter()
        .filter_map(|(unit, request)| Some((unit.clone(), addresses(request)?)))
        .collect();
    let source = definition.source.to_string_lossy().into_owned();
    Row {
        containers,
        name: definition.name,
        interface: definition.bridge.interface,
        subnets: definition
            .bridge
            .subnets
            .iter()
            .map(|subnet| subnet.block.to_string())
            .collect(),
        internal: definition.bridge.internal,
        source: (!source.is_empty()).then_some(source),
        mistakes: network.diagnostics.len(),
    }
}

fn cells(row: &Row) -> Vec<Cell> {
    let reference = match row.name.as_str() {
        DEFAULT => row.name.clone(),
        name => format!("{name}.network"),
    };
    let of_one = |(unit, addresses): (&String, &Vec<String>)| {
        let name = unit.strip_suffix(".service").unwrap_or(unit);
        format!("{name} ({})", addresses.join(", "))
    };
    let containers: Vec<String> = row.containers.iter().map(of_one).collect();
    let containers = if containers.is_empty() {
        "-".to_owned()
    } else {
        containers.join(", ")
    };
    vec![
        Cell::plain(reference),
        Cell::plain(row.interface.clone()),
        Cell::plain(row.subnets.join(", ")),
        Cell::plain(containers),
    ]
}
