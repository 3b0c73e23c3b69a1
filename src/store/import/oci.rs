//! Plans the import of an OCI image layout (image-spec image-layout.md): which of its images, for which platform.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::image::digest::Digest;
use crate::image::media_type::{Kind, OCI_MANIFEST, kind};
use crate::image::platform;
use crate::image::reference::Reference;
use crate::store::blob::Manifest;
use crate::store::import::{Planned, PlannedLayer, Request, blob_name, check_config, choose_names, read_verified};
use crate::store::index::{Entry, Index, REF_NAME};
use crate::store::source::Files;

/// Docker's and containerd's annotation with the full name; the standard one then has only the tag.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// An index in an index in an index: none is known to be deeper than two.
const MAX_DEPTH: u32 = 4;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

/// Finds the images to be imported.
pub fn plan(files: &Files, request: &Request) -> Result<Vec<Planned>> {
    let layout: Layout = serde_json::from_slice(&files.read("oci-layout")?).context("parsing 'oci-layout'")?;
    let version = layout.image_layout_version;
    ensure!(
        version.starts_with("1."),
        "version {version} of the image layout is not supported, only 1.0.0 is"
    );
    let index = Index::parse(&files.read("index.json")?).context("reading 'index.json'")?;

    // Manifests of one name are one image for several platforms.
    let mut groups: BTreeMap<Option<&str>, Vec<&Entry>> = BTreeMap::new();
    for entry in &index.manifests {
        groups.entry(full_name(entry)).or_default().push(entry);
    }
    let names = || {
        groups
            .keys()
            .map(|name| format!("'{}'", name.unwrap_or("(no name)")))
            .collect::<Vec<_>>()
            .join(", ")
    };
    ensure!(!groups.is_empty(), "the layout has no image");
    let mut chosen: Vec<_> = groups.iter().collect();
    if let Some(wanted) = &request.location.name {
        chosen.retain(|(_, entries)| entries.iter().any(|entry| is_named(entry, wanted)));
        ensure!(
            !chosen.is_empty(),
            "there is no image '{wanted}': there are {}",
            names()
        );
    }
    if chosen.len() > 1 && (request.name.is_some() || chosen.iter().any(|(name, _)| name.is_none())) {
        bail!(
            "there are several images: append the name of one to the path, behind a colon; there are {}",
            names()
        );
    }
    chosen
        .into_iter()
        .map(|(name, entries)| plan_image(files, request, *name, entries))
        .collect()
}

fn plan_image(files: &Files, request: &Request, name: Option<&str>, entries: &[&Entry]) -> Result<Planned> {
    // A lone tag, such as '1.27', says nothing of the repository.
    let own = name
        .filter(|name| name.contains(['/', ':', '@']))
        .and_then(|name| name.parse::<Reference>().ok());
    let references = choose_names(request, own.into_iter().collect())?;
    let mut entry = for_this_platform(entries)?.clone();
    let mut index_digest = None;
    let mut depth = 0;
    while kind(&entry.media_type) == Kind::Index {
        ensure!(depth < MAX_DEPTH, "image indexes are nested too deeply");
        depth += 1;
        index_digest.get_or_insert_with(|| entry.digest.clone());
        let inner = Index::parse(&read_verified(files, &entry.digest)?)?;
        let inner: Vec<&Entry> = inner.manifests.iter().collect();
        entry = for_this_platform(&inner)?.clone();
    }
    let is_manifest = entry.media_type.is_empty() || kind(&entry.media_type) == Kind::Manifest;
    ensure!(is_manifest, "'{}' is not an image's media type", entry.media_type);
    plan_manifest(files, references, &entry, index_digest)
}

fn plan_manifest(
    files: &Files,
    references: Vec<Reference>,
    entry: &Entry,
    index_digest: Option<Digest>,
) -> Result<Planned> {
    let bytes = read_verified(files, &entry.digest)?;
    ensure!(
        bytes.len() as u64 == entry.size,
        "the manifest has {} bytes instead of {}",
        bytes.len(),
        entry.size
    );
    let manifest = Manifest::parse(&bytes)?;
    let config = read_verified(files, &manifest.config.digest)?;
    let diff_ids = check_config(&config)?;
    ensure!(
        diff_ids.len() == manifest.layers.len(),
        "the manifest has {} layers, the configuration {}",
        manifest.layers.len(),
        diff_ids.len()
    );
    let mut layers = Vec::with_capacity(diff_ids.len());
    for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
        match kind(&layer.media_type) {
            Kind::Layer => {}
            Kind::ForeignLayer => bail!("layer '{}' is encrypted ('{}')", layer.digest, layer.media_type),
            _ => bail!(
                "layer '{}' has the unknown media type '{}'",
                layer.digest,
                layer.media_type
            ),
        }
        layers.push(PlannedLayer {
            path: blob_name(&layer.digest),
            digest: Some(layer.digest.clone()),
            size: Some(layer.size),
            diff_id,
        });
    }
    let media_type = [
        Some(entry.media_type.as_str()),
        manifest.media_type.as_deref(),
        Some(OCI_MANIFEST),
    ];
    let media_type = media_type
        .into_iter()
        .flatten()
        .find(|text| !text.is_empty())
        .unwrap_or(OCI_MANIFEST);
    Ok(Planned {
        references,
        manifest: Some((bytes, media_type.to_owned())),
        config: (config, manifest.config.media_type),
        layers,
        index_digest,
    })
}

/// The one of several manifests that this machine can run.
fn for_this_platform<'a>(entries: &[&'a Entry]) -> Result<&'a Entry> {
    let this = (platform::OS, platform::architecture());
    // Without a platform, the configuration will show whether it fits.
    if let [only] = entries
        && only.platform().is_none()
    {
        return Ok(only);
    }
    if let Some(found) = entries.iter().find(|entry| entry.platform() == Some(this)) {
        return Ok(found);
    }
    let platforms: Vec<String> = entries
        .iter()
        .map(|entry| {
            entry.platform().map_or("an unnamed one".into(), |(os, architecture)| {
                format!("{os}/{architecture}")
            })
        })
        .collect();
    bail!(
        "there is no image for this machine's {}/{}, but for {}",
        this.0,
        this.1,
        platforms.join(", ")
    )
}

fn full_name(entry: &Entry) -> Option<&str> {
    let names = &entry.annotations;
    names
        .get(CONTAINERD_NAME)
        .or_else(|| names.get(REF_NAME))
        .map(String::as_str)
}

/// Whether an entry is what the user calls `wanted`: as it is written, or as a reference.
fn is_named(entry: &Entry, wanted: &str) -> bool {
    let reference = wanted.parse::<Reference>().ok();
    [CONTAINERD_NAME, REF_NAME]
        .iter()
        .filter_map(|key| entry.annotations.get(*key))
        .any(|name| {
            name == wanted || (reference.is_some() && name.contains(['/', ':']) && name.parse().ok() == reference)
        })
}
