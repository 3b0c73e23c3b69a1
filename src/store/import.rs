//! Brings images into the store: plan what is there, write it into a staging directory, verify, sync once, rename, name it.
//!
//! Killed at any byte, the store is as it was, or as it should be; what is left in the staging directory has no lock and goes with
//! the next writer. A layer that the store has already is not unpacked again, and two imports of one layer wait for each other.

pub mod docker;
pub mod layer;
pub mod oci;
pub mod rootfs;

use std::fs::{self, File};
use std::io::{Read, Write};

use anyhow::{Context, Result, bail, ensure};

use crate::image::digest::Digest;
use crate::image::media_type::OCI_MANIFEST;
use crate::image::reference::Reference;
use crate::store::blob::{Descriptor, Manifest};
use crate::store::import::layer::{Done, Expected, Unpack};
use crate::store::index::{Entry, INDEX_DIGEST};
use crate::store::source::{Files, Location, Source};
use crate::store::staging::{Staging, sync_directory};
use crate::store::{Store, diff_ids, parse_config, require_this_platform};

/// What to import.
#[derive(Debug, Clone)]
pub struct Request {
    /// From where.
    pub location: Location,
    /// Under which name; without it, the one that the source has.
    pub name: Option<Reference>,
    /// Dockerfile instructions for a root file system, see [`crate::store::change`].
    pub changes: Vec<String>,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The name.
    pub reference: Reference,
    /// The manifest's digest.
    pub digest: Digest,
    /// How many device nodes were left out, which only the host's root can make.
    pub left_out: u64,
}

/// An image as it was found in a source.
#[derive(Debug)]
pub struct Planned {
    /// Its names.
    pub references: Vec<Reference>,
    /// Its manifest, byte for byte, with its media type; without one, it is made.
    pub manifest: Option<(Vec<u8>, String)>,
    /// Its configuration, byte for byte, with its media type.
    pub config: (Vec<u8>, String),
    /// Its layers, lowest first.
    pub layers: Vec<PlannedLayer>,
    /// The multi-platform index it was chosen from.
    pub index_digest: Option<Digest>,
}

/// A layer as a source has it.
#[derive(Debug)]
pub struct PlannedLayer {
    /// Where in the source.
    pub path: String,
    /// The digest of the blob, if the source says it.
    pub digest: Option<Digest>,
    /// The size of the blob, if the source says it.
    pub size: Option<u64>,
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
}

impl Store {
    /// Imports what `request` names.
    pub fn import(&self, request: &Request) -> Result<Vec<Imported>> {
        let _adding = self.begin_adding()?;
        let staging = self.stage()?;
        for name in ["blobs", "layers"] {
            let path = staging.path.join(name);
            fs::create_dir(&path).with_context(|| format!("making '{}'", path.display()))?;
        }
        let source = request.location.open(&staging)?;
        let context = || format!("importing '{}'", request.location.path.display());
        let is_rootfs = matches!(source, Source::Dir(_) | Source::Tar(_));
        ensure!(
            is_rootfs || request.changes.is_empty(),
            "'--change' is for root file systems: an image says itself how it is run"
        );
        let (files, planned) = match source {
            Source::Dir(path) => return self.import_directory(&path, request, &staging).with_context(context),
            Source::Tar(file) => return self.import_rootfs(file, request, &staging).with_context(context),
            Source::Oci(files) => {
                let planned = oci::plan(&files, request).with_context(context)?;
                (files, planned)
            }
            Source::Docker(archive) => {
                let files = Files::Archive(archive);
                let planned = docker::plan(&files, request).with_context(context)?;
                (files, planned)
            }
        };
        self.import_images(&files, &planned, &staging).with_context(context)
    }

    fn import_images(&self, files: &Files, planned: &[Planned], staging: &Staging) -> Result<Vec<Imported>> {
        let wanted: Vec<Digest> = planned
            .iter()
            .flat_map(|image| &image.layers)
            .map(|l| l.diff_id.clone())
            .collect();
        let _locks = self.lock_layers(&wanted)?;
        let mut entries = Vec::new();
        for image in planned {
            let mut layers = Vec::with_capacity(image.layers.len());
            for planned in &image.layers {
                layers.push(self.import_layer(files, planned, &layers, staging)?);
            }
            entries.extend(stage_metadata(image, &layers, staging)?);
        }
        self.publish(entries, staging)
    }

    fn import_layer(&self, files: &Files, layer: &PlannedLayer, below: &[Done], staging: &Staging) -> Result<Done> {
        let place = |name: &str| staging.path.join("layers").join(name);
        let unpacked = |name: &str| {
            [self.layer_path(name), place(name)]
                .into_iter()
                .find(|path| path.is_dir())
        };
        let is_unpacked = unpacked(layer.diff_id.hex()).is_some();
        // Without a manifest, the blob is what the archive is mostly made of: an uncompressed layer.
        let digest = layer.digest.as_ref().unwrap_or(&layer.diff_id);
        let has_blob = |path: std::path::PathBuf| fs::metadata(path).ok().map(|found| found.len());
        let blob = has_blob(self.blob_path(digest)).or_else(|| has_blob(staging.path.join("blobs").join(digest.hex())));
        if let (true, Some(size)) = (is_unpacked, blob) {
            ensure!(
                layer.size.is_none_or(|expected| expected == size),
                "the manifest has a wrong size for layer '{digest}'"
            );
            return Ok(Done::known(digest.clone(), size, layer.diff_id.clone()));
        }
        let context = || format!("importing layer '{digest}'");
        let expected = Expected {
            digest: layer.digest.as_ref(),
            size: layer.size,
            diff_id: Some(&layer.diff_id),
        };
        let lower: Vec<_> = below
            .iter()
            .rev()
            .filter_map(|layer| unpacked(layer.diff_id.hex()))
            .collect();
        let unpack = if is_unpacked { Unpack::No } else { Unpack::Over(&lower) };
        let reader = files.open(&layer.path).with_context(context)?;
        layer::import(reader, &expected, unpack, staging).with_context(context)
    }

    /// Moves everything from the staging directory to its place, and then names it.
    pub fn publish(&self, entries: Vec<Entry>, staging: &Staging) -> Result<Vec<Imported>> {
        staging.sync()?;
        for (name, place) in [
            ("layers", self.layers_path()),
            ("blobs", self.root().join("blobs/sha256")),
        ] {
            let from = staging.path.join(name);
            let context = || format!("moving '{}' to '{}'", from.display(), place.display());
            for entry in fs::read_dir(&from).with_context(context)? {
                let entry = entry.with_context(context)?;
                let to = place.join(entry.file_name());
                // What is there already is the same, and perhaps in use.
                match rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    entry.path(),
                    rustix::fs::CWD,
                    &to,
                    rustix::fs::RenameFlags::NOREPLACE,
                ) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(errno) => return Err(errno).with_context(context),
                }
            }
            sync_directory(&place)?;
        }
        let mut imported = Vec::with_capacity(entries.len());
        for entry in &entries {
            let reference = entry
                .name()
                .context("an image without a name")?
                .parse()
                .context("an image without a name")?;
            imported.push(Imported {
                reference,
                digest: entry.digest.clone(),
                left_out: staging.left_out.get(),
            });
        }
        if entries.is_empty() {
            return Ok(imported);
        }
        self.update_index(|index| {
            for entry in entries {
                index.manifests.retain(|other| other.name() != entry.name());
                index.manifests.push(entry);
            }
        })?;
        Ok(imported)
    }
}

/// Writes an image's manifest and configuration into the staging directory, and makes the index's entries for it.
pub fn stage_metadata(image: &Planned, layers: &[Done], staging: &Staging) -> Result<Vec<Entry>> {
    let (config, config_type) = &image.config;
    let (manifest, media_type) = match &image.manifest {
        Some((bytes, media_type)) => (bytes.clone(), media_type.clone()),
        None => (make_manifest(config, config_type, layers)?, OCI_MANIFEST.to_owned()),
    };
    stage_blob(config, staging)?;
    stage_blob(&manifest, staging)?;
    let digest = Digest::of(&manifest);
    let mut entries = Vec::new();
    for reference in &image.references {
        let mut entry = Entry::new(reference, &media_type, digest.clone(), manifest.len() as u64);
        if let Some(index_digest) = &image.index_digest {
            entry
                .annotations
                .insert(INDEX_DIGEST.to_owned(), index_digest.to_string());
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn make_manifest(config: &[u8], config_type: &str, layers: &[Done]) -> Result<Vec<u8>> {
    let layer = |layer: &Done| Descriptor {
        media_type: layer.media_type().to_owned(),
        digest: layer.digest.clone(),
        size: layer.size,
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: Descriptor {
            media_type: config_type.to_owned(),
            digest: Digest::of(config),
            size: config.len() as u64,
        },
        layers: layers.iter().map(layer).collect(),
    };
    serde_json::to_vec(&manifest).context("making the manifest")
}

fn stage_blob(bytes: &[u8], staging: &Staging) -> Result<()> {
    let path = staging.path.join("blobs").join(Digest::of(bytes).hex());
    let context = || format!("writing '{}'", path.display());
    File::create(&path)
        .and_then(|mut file| file.write_all(bytes))
        .with_context(context)
}

/// The names to import an image under: the one that was asked for, or its own.
pub fn choose_names(request: &Request, own: Vec<Reference>) -> Result<Vec<Reference>> {
    match &request.name {
        Some(name) => Ok(vec![name.clone()]),
        None if own.is_empty() => bail!("the image has no full name of its own: give one with '--name'"),
        None => Ok(own),
    }
}

/// Parses a configuration that is to be imported, and gives its layers.
pub fn check_config(bytes: &[u8]) -> Result<Vec<Digest>> {
    let config = parse_config(bytes)?;
    require_this_platform(&config)?;
    diff_ids(&config)
}

/// Reads a manifest, index or configuration of a layout, and verifies it.
pub fn read_verified(files: &Files, digest: &Digest) -> Result<Vec<u8>> {
    let bytes = files.read(&blob_name(digest))?;
    let actual = Digest::of(&bytes);
    ensure!(actual == *digest, "blob '{digest}' is corrupt: its digest is {actual}");
    Ok(bytes)
}

/// The path of a blob in a layout.
#[must_use]
pub fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Reads a whole stream and throws it away.
pub fn drain(mut reader: impl Read) -> std::io::Result<u64> {
    std::io::copy(&mut reader, &mut std::io::sink())
}
