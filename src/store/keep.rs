//! Unpacks layers a second time, with other owners.
//!
//! A user's store has files of the image's root as the user's own. A container in which the user is somebody else needs others, and gets its
//! layers from the same blobs, unpacked by a process that sees identities as the container will.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;

use anyhow::{Context as _, Result};

use crate::image::reference::Reference;
use crate::store::blob::Manifest;
use crate::store::import::layer::{self, Expected, Unpack};
use crate::store::index::lookup;
use crate::store::{Store, diff_ids, parse_config};

impl Store {
    /// This store, and then one for each kind of owners that its layers lie there with besides.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn views(&self) -> Result<Vec<Self>> {
        let path = self.root().join("kept");
        let mut views = vec![self.clone()];
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(views),
            entries => entries.with_context(|| format!("reading '{}'", path.display()))?,
        };
        for entry in entries {
            let name = entry
                .with_context(|| format!("reading '{}'", path.display()))?
                .file_name();
            // Only what the store itself can have made.
            let numbers = name.to_str().and_then(|name| name.split_once('.'));
            let numbers = numbers.and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
            views.extend(numbers.map(|(user, group)| self.kept(user, group)));
        }
        Ok(views)
    }

    /// Makes the directory for such layers. It is the user's own, so this comes before the process sees identities otherwise.
    ///
    /// # Errors
    /// What mkdir(2) says.
    pub fn prepare_kept(&self) -> Result<()> {
        for path in [self.root().join("kept"), self.layers_path()] {
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(error).with_context(|| format!("making '{}'", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Unpacks the layers of an image that are not there yet.
    ///
    /// # Errors
    /// The image is not in the store or damaged, or what the kernel says of a file.
    pub fn keep(&self, reference: &Reference) -> Result<()> {
        let image = lookup(self.root(), reference)?
            .with_context(|| format!("image '{reference}' is not in the store '{}'", self.root().display()))?;
        let _adding = self.begin_adding()?;
        let manifest = Manifest::parse(&self.read_blob(&image)?)?;
        let diff_ids = diff_ids(&parse_config(&self.read_blob(&manifest.config.digest)?)?)?;
        let staging = self.stage()?;
        for name in ["blobs", "layers"] {
            let path = staging.path.join(name);
            fs::create_dir(&path).with_context(|| format!("making '{}'", path.display()))?;
        }
        let _locks = self.lock_layers(&diff_ids)?;
        let mut lower = Vec::new();
        for (blob, diff_id) in manifest.layers.iter().zip(&diff_ids) {
            let place = self.layer_path(diff_id.hex());
            let staged = staging.path.join("layers").join(diff_id.hex());
            if place.is_dir() || staged.is_dir() {
                let there = if place.is_dir() { place } else { staged };
                lower.insert(0, there);
                continue;
            }
            let path = self.blob_path(&blob.digest);
            let context = || format!("unpacking '{}'", path.display());
            let expected = Expected {
                digest: Some(&blob.digest),
                size: Some(blob.size),
                diff_id: Some(diff_id),
            };
            let file = File::open(&path).with_context(context)?;
            layer::import(file, &expected, Unpack::Over(&lower), &staging).with_context(context)?;
            lower.insert(0, staged);
        }
        self.publish(Vec::new(), &staging)?;
        Ok(())
    }
}
