//! `coracle image inspect`: everything about one image, as JSON.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::image::reference;
use crate::store::Store;

/// What was typed.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The image
    #[arg(value_name = "REFERENCE")]
    pub reference: String,
}

/// The image as JSON; its configuration as it is written.
pub fn run(arguments: &Arguments, store: &Store) -> Result<String> {
    let details = store.inspect(&reference(&arguments.reference)?)?;
    let config: Value = serde_json::from_slice(&details.config).context("parsing the image configuration")?;
    let layers: Vec<Value> = details
        .layers
        .iter()
        .map(|layer| {
            json!({
                "digest": layer.blob.digest,
                "mediaType": layer.blob.media_type,
                "size": layer.blob.size,
                "diffId": layer.diff_id,
                "path": layer.path,
            })
        })
        .collect();
    let value = json!({
        "reference": details.summary.name,
        "digest": details.summary.digest,
        "mediaType": details.media_type,
        "size": details.summary.size,
        "created": details.summary.created,
        "config": config,
        "layers": layers,
    });
    Ok(serde_json::to_string_pretty(&value).context("writing JSON")? + "\n")
}
