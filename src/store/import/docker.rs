//! Plans the import of a Docker archive: `manifest.json`, and the files that it names.
//!
//! Such an archive has no OCI manifest, so one is made, always the same for the same image; the configuration is kept byte
//! for byte, and with it the image's identifier.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::image::digest::Digest;
use crate::image::media_type::OCI_CONFIG;
use crate::image::reference::Reference;
use crate::store::import::{Planned, PlannedLayer, Request, check_config, choose_names};
use crate::store::source::Files;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Finds the images to be imported.
pub fn plan(files: &Files, request: &Request) -> Result<Vec<Planned>> {
    let bytes = files.read("manifest.json")?;
    let mut items: Vec<Item> = serde_json::from_slice(&bytes).context("parsing 'manifest.json'")?;
    ensure!(!items.is_empty(), "the archive has no image");
    let names = items
        .iter()
        .map(|item| format!("'{}'", tags(item).join("', '")))
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(wanted) = &request.location.name {
        let reference: Reference = wanted.parse().with_context(|| format!("reading '{wanted}'"))?;
        items.retain(|item| {
            tags(item)
                .iter()
                .any(|tag| tag.parse().ok().as_ref() == Some(&reference))
        });
        ensure!(!items.is_empty(), "there is no image '{wanted}': there are {names}");
        for item in &mut items {
            item.repo_tags = Some(vec![reference.to_string()]);
        }
    }
    ensure!(
        items.len() == 1 || request.name.is_none(),
        "there are several images: append the name of one to the path, behind a colon; there are {names}"
    );
    items.iter().map(|item| plan_image(files, request, item)).collect()
}

fn plan_image(files: &Files, request: &Request, item: &Item) -> Result<Planned> {
    let mut own = Vec::new();
    for tag in tags(item) {
        own.push(tag.parse().with_context(|| format!("reading the name '{tag}'"))?);
    }
    let references = choose_names(request, own)?;
    let config = files.read(&item.config)?;
    // The file is named after its digest, in one way or another.
    let stem = item.config.rsplit('/').next().unwrap_or_default();
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    if let Ok(named) = format!("sha256:{stem}").parse::<Digest>() {
        let actual = Digest::of(&config);
        ensure!(
            named == actual,
            "the image configuration '{}' is corrupt: its digest is {actual}",
            item.config
        );
    }
    let diff_ids = check_config(&config)?;
    let layers = item.layers.as_deref().unwrap_or_default();
    ensure!(
        layers.len() == diff_ids.len(),
        "'manifest.json' has {} layers, the configuration {}",
        layers.len(),
        diff_ids.len()
    );
    let layer = |(path, diff_id): (&String, Digest)| PlannedLayer {
        path: path.clone(),
        digest: None,
        size: None,
        diff_id,
    };
    let layers = layers.iter().zip(diff_ids).map(layer).collect();
    Ok(Planned {
        references,
        manifest: None,
        config: (config, OCI_CONFIG.to_owned()),
        layers,
        index_digest: None,
    })
}

fn tags(item: &Item) -> &[String] {
    item.repo_tags.as_deref().unwrap_or_default()
}
