//! `coracle image inspect`: everything about one image, as JSON.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::image::reference;
use crate::cli::output::Output;
use crate::cli::scope::Scope;
use crate::store::Store;

/// Show an image's digest, configuration and layers as JSON
///
/// The configuration is printed as it is written in the image (OCI image-spec, config.md).
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coracle image inspect docker.io/library/nginx:1.27 | jq .config.config.Cmd")]
pub struct Arguments {
    /// The image
    #[arg(value_name = "REFERENCE")]
    pub reference: String,
    /// Whose store.
    #[command(flatten)]
    pub scope: Scope,
}

/// Prints the image; its configuration as it is written.
pub fn run<W: Write>(arguments: &Arguments, output: &mut Output<W>) -> Result<ExitCode> {
    let store = Store::open(&arguments.scope.store())?;
    let details = store.inspect(&reference(&arguments.reference)?)?;
    let config: Value = serde_json::from_slice(&details.config).context("parsing the image configuration")?;
    let mut layers = Vec::with_capacity(details.layers.len());
    for layer in &details.layers {
        layers.push(json!({
            "digest": layer.blob.digest,
            "mediaType": layer.blob.media_type,
            "size": layer.blob.size,
            "diffId": layer.diff_id,
            "path": layer.path,
        }));
    }
    output.json(&json!({
        "reference": details.summary.name,
        "digest": details.summary.digest,
        "mediaType": details.media_type,
        "size": details.summary.size,
        "created": details.summary.created,
        "config": config,
        "layers": layers,
    }))?;
    Ok(ExitCode::SUCCESS)
}
