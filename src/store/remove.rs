//! Takes images out of the store, and what nothing in it needs any more.
//!
//! A layer is removed only under an exclusive lock on its directory: containers hold shared ones, in whatever mount
//! namespace they are. What is in use stays, and the next writer tries again. With its layers an image stays whole, though no name may lead
//! to it any more.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::image::digest::Digest;
use crate::image::media_type::{Kind, kind};
use crate::image::reference::Reference;
use crate::store::blob::Manifest;
use crate::store::index::{Entry, Index};
use crate::store::staging::Removing;
use crate::store::{Store, diff_ids, parse_config};

/// What to do about an image that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InUse {
    /// Nothing is removed.
    Refuse,
    /// Its name is removed, and its layers as soon as they are free.
    Force,
}

/// A layer, as far as containers are concerned.
#[derive(Debug)]
enum Claim {
    /// No container uses it, and none can begin to as long as this descriptor is open.
    Free(#[allow(dead_code)] File),
    Missing,
    InUse,
}

/// What the images of a store need.
#[derive(Debug, Default)]
struct Needed {
    blobs: BTreeSet<String>,
    layers: BTreeSet<String>,
}

impl Store {
    /// Removes an image's name, and then whatever no other image needs. Gives back the full name.
    pub fn remove(&self, reference: &Reference, in_use: InUse) -> Result<String> {
        let removing = self.begin_removing()?;
        let mut index = Index::read(self.root())?;
        let Some(entry) = index.find(reference).cloned() else {
            bail!("image '{reference}' is not in the store '{}'", self.root().display());
        };
        index.manifests.retain(|other| *other != entry);
        if in_use == InUse::Refuse
            && let Ok(rest) = self.needed(&index.manifests)
            && let Ok(mine) = self.needed(std::slice::from_ref(&entry))
        {
            let views = self.views()?;
            for (layer, view) in mine
                .layers
                .difference(&rest.layers)
                .flat_map(|layer| views.iter().map(move |view| (layer, view)))
            {
                if matches!(view.claim(layer)?, Claim::InUse) {
                    bail!(
                        "image '{reference}' is in use by a running container: stop it first, or give '--force' to remove \
                         the name now and the files once they are free"
                    );
                }
            }
        }
        self.update_index(|index| index.manifests.retain(|other| *other != entry))?;
        self.collect(&removing)?;
        Ok(entry.name().map_or_else(|| reference.to_string(), str::to_owned))
    }

    /// Removes blobs and layers that no image needs and no container uses, and what killed writers have left.
    pub fn collect(&self, _right: &Removing) -> Result<()> {
        self.clear_staging()?;
        // As long as one image cannot be read, it is not known what it needs: then everything stays.
        let index = Index::read(self.root())?;
        let Ok(mut needed) = self.needed(&index.manifests) else {
            return Ok(());
        };
        self.add_running(&mut needed)?;
        for view in self.views()? {
            self.sweep(&view.layers_path(), |name| {
                if needed.layers.contains(name) {
                    return Ok(());
                }
                match view.claim(name)? {
                    Claim::Free(_lock) => view.remove_layer(name),
                    Claim::Missing | Claim::InUse => Ok(()),
                }
            })?;
        }
        let blobs = self.root().join("blobs/sha256");
        self.sweep(&blobs, |name| {
            let path = blobs.join(name);
            if needed.blobs.contains(name) {
                return Ok(());
            }
            fs::remove_file(&path).with_context(|| format!("removing '{}'", path.display()))
        })?;
        // Nobody holds a layer's lock while somebody has the right to remove.
        let locks = self.root().join("locks");
        self.sweep(&locks, |name| {
            let path = locks.join(name);
            fs::remove_file(&path).with_context(|| format!("removing '{}'", path.display()))
        })
    }

    /// Adds what the images need that have no name any more and from which containers run: `coracle update` may want to go back to one.
    fn add_running(&self, needed: &mut Needed) -> Result<()> {
        let views = self.views()?;
        let mut nameless = Vec::new();
        self.sweep(&self.root().join("blobs/sha256"), |name| {
            if !needed.blobs.contains(name) {
                nameless.push(name.to_owned());
            }
            Ok(())
        })?;
        for name in nameless {
            // Layers are nameless too, and are no manifests.
            let digest: Digest = format!("sha256:{name}").parse()?;
            let Ok((manifest, layers)) = self.read_blob(&digest).and_then(|bytes| self.parts(&bytes)) else {
                continue;
            };
            let is_in_use = |layer: &String| -> Result<bool> {
                let mut claims = views.iter().map(|view| view.claim(layer));
                claims.try_fold(false, |in_use, claim| Ok(in_use || matches!(claim?, Claim::InUse)))
            };
            let stacked = views
                .iter()
                .find_map(|view| view.stack(&layers).ok())
                .unwrap_or_default();
            let mut in_use = !stacked.is_empty();
            for layer in &stacked {
                in_use = in_use && is_in_use(layer)?;
            }
            if in_use {
                needed.blobs.extend([name, manifest.config.digest.hex().to_owned()]);
                let blobs = manifest.layers.iter().map(|layer| layer.digest.hex().to_owned());
                needed.blobs.extend(blobs);
                needed.layers.extend(layers.iter().map(|layer| layer.hex().to_owned()));
            }
        }
        Ok(())
    }

    /// A manifest and the layers of its image.
    fn parts(&self, bytes: &[u8]) -> Result<(Manifest, Vec<Digest>)> {
        let manifest = Manifest::parse(bytes)?;
        let layers = diff_ids(&parse_config(&self.read_blob(&manifest.config.digest)?)?)?;
        Ok((manifest, layers))
    }

    /// A layer is first taken out of its place, so that it is never seen half removed.
    fn remove_layer(&self, name: &str) -> Result<()> {
        let staging = self.stage()?;
        let path = self.layer_path(name);
        fs::rename(&path, staging.path.join("layer")).with_context(|| format!("removing '{}'", path.display()))
    }

    fn sweep(&self, path: &Path, mut visit: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let context = || format!("reading '{}'", path.display());
        for entry in fs::read_dir(path).with_context(context)? {
            let name = entry.with_context(context)?.file_name();
            // Only what the store itself can have made is removed.
            if let Some(name) = name
                .to_str()
                .filter(|name| format!("sha256:{name}").parse::<Digest>().is_ok())
            {
                visit(name)?;
            }
        }
        Ok(())
    }

    /// Locks a layer against new containers, if none uses it.
    fn claim(&self, layer: &str) -> Result<Claim> {
        let path = self.layer_path(layer);
        let context = || format!("locking layer '{}'", path.display());
        let directory = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Claim::Missing),
            other => other.with_context(context)?,
        };
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Claim::Free(directory)),
            Err(Errno::WOULDBLOCK) => Ok(Claim::InUse),
            Err(errno) => Err(errno).with_context(context),
        }
    }

    fn needed(&self, entries: &[Entry]) -> Result<Needed> {
        let mut needed = Needed::default();
        for entry in entries {
            self.add_needed(entry, &mut needed, 0)?;
        }
        Ok(needed)
    }

    fn add_needed(&self, entry: &Entry, needed: &mut Needed, depth: u32) -> Result<()> {
        needed.blobs.insert(entry.digest.hex().to_owned());
        let bytes = self.read_blob(&entry.digest)?;
        if kind(&entry.media_type) == Kind::Index {
            // Somebody else's tool put it here.
            ensure!(depth < 4, "image indexes are nested too deeply");
            for inner in &Index::parse(&bytes)?.manifests {
                if self.blob_path(&inner.digest).exists() {
                    self.add_needed(inner, needed, depth + 1)?;
                }
            }
            return Ok(());
        }
        let manifest = Manifest::parse(&bytes)?;
        needed.blobs.insert(manifest.config.digest.hex().to_owned());
        needed
            .blobs
            .extend(manifest.layers.iter().map(|layer| layer.digest.hex().to_owned()));
        // An artifact's configuration is not an image's, and it has no unpacked layers.
        if let Ok(config) = parse_config(&self.read_blob(&manifest.config.digest)?) {
            needed
                .layers
                .extend(diff_ids(&config)?.iter().map(|layer| layer.hex().to_owned()));
        }
        Ok(())
    }
}
