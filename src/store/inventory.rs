//! What is in the store, for people to see.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::store::blob::{Descriptor, Manifest};
use crate::store::index::{Entry, Index};
use crate::store::{Store, diff_ids, parse_config};

/// One line of the list of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The name, as it is in the index.
    pub name: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// The size of the manifest, the configuration and all layers as blobs, in bytes.
    pub size: u64,
    /// When it was built, as it says itself (RFC 3339).
    pub created: Option<String>,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// Everything about one image.
#[derive(Debug, Clone)]
pub struct Details {
    /// The line in the list.
    pub summary: Summary,
    /// The manifest's media type.
    pub media_type: String,
    /// The configuration, byte for byte.
    pub config: Vec<u8>,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

/// A layer in both of its forms.
#[derive(Debug, Clone)]
pub struct Layer {
    /// As a blob.
    pub blob: Descriptor,
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
    /// The directory with its files.
    pub path: PathBuf,
}

impl Store {
    /// All images, by name. One that cannot be read is listed with the reason.
    pub fn list(&self) -> Result<Vec<Summary>> {
        let index = Index::read(self.root())?;
        let mut images: Vec<Summary> = index.manifests.iter().map(|entry| self.summary(entry)).collect();
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// One image with all its details.
    pub fn inspect(&self, reference: &Reference) -> Result<Details> {
        let index = Index::read(self.root())?;
        let Some(entry) = index.find(reference) else {
            bail!("image '{reference}' is not in the store '{}'", self.root().display());
        };
        self.details(entry)
            .with_context(|| format!("reading image '{reference}'"))
    }

    fn summary(&self, entry: &Entry) -> Summary {
        self.details(entry).map_or_else(
            |error| Summary {
                name: name(entry),
                digest: entry.digest.clone(),
                size: 0,
                created: None,
                problem: Some(format!("{error:#}")),
            },
            |details| details.summary,
        )
    }

    fn details(&self, entry: &Entry) -> Result<Details> {
        let manifest = Manifest::parse(&self.read_blob(&entry.digest)?)?;
        let bytes = self.read_blob(&manifest.config.digest)?;
        let config = parse_config(&bytes)?;
        let sizes = manifest.layers.iter().map(|layer| layer.size);
        let size = sizes.fold(entry.size.saturating_add(manifest.config.size), u64::saturating_add);
        let layers = manifest.layers.into_iter().zip(diff_ids(&config)?);
        let layers = layers.map(|(blob, diff_id)| Layer {
            path: self.layer_path(diff_id.hex()),
            blob,
            diff_id,
        });
        Ok(Details {
            summary: Summary {
                name: name(entry),
                digest: entry.digest.clone(),
                size,
                created: config.created().clone(),
                problem: None,
            },
            media_type: entry.media_type.clone(),
            layers: layers.collect(),
            config: bytes,
        })
    }
}

fn name(entry: &Entry) -> String {
    entry.name().unwrap_or("(no name)").to_owned()
}
