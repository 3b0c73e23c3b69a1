//! Takes a name back from an image that did not come up, and gives it to the one that it had before.
//!
//! A store has no history: what an update has refused must be said by the store itself, or the next start would take it. So the name leads
//! to the old image again, and the refused one stays under its digest, with a mark by which an unattended update passes it over. Both happen in one
//! change of the index.

use anyhow::{Result, ensure};

use crate::image::digest::Digest;
use crate::image::media_type::OCI_MANIFEST;
use crate::image::reference::Reference;
use crate::store::Store;
use crate::store::blob::Manifest;
use crate::store::index::{Entry, Index, REF_NAME};

/// The annotation of an image that an update has gone back from: the name that it had.
pub const REFUSED: &str = "io.coracle.image.refused";

/// What became of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returned {
    /// It leads to the old image, and this is what the refused one is called now.
    Yes(String),
    /// It leads somewhere else by now, and stays so.
    Moved,
}

impl Store {
    /// Has `reference` name the image `old` again, if it still names `refused`.
    ///
    /// # Errors
    /// The old image is not whole any more; or what the kernel says of the index.
    pub fn go_back(&self, reference: &Reference, refused: &Digest, old: &Digest) -> Result<Returned> {
        let _naming = self.begin_naming()?;
        let image = self.find_manifest(reference, old)?;
        let bytes = self.read_blob(&image.manifest_digest)?;
        let media_type = Manifest::parse(&bytes)?.media_type;
        let mut returned = Returned::Moved;
        self.update_index(|index| {
            let Some(position) = position(index, reference, refused) else {
                return;
            };
            let mut entry = index.manifests.remove(position);
            let media_type = media_type.as_deref().unwrap_or(OCI_MANIFEST);
            let restored = Entry::new(reference, media_type, old.clone(), bytes.len() as u64);
            let name = refused_name(reference, refused);
            entry.annotations.insert(REFUSED.to_owned(), reference.to_string());
            entry.annotations.insert(REF_NAME.to_owned(), name.clone());
            index.manifests.retain(|other| other.name() != Some(name.as_str()));
            index.manifests.extend([entry, restored]);
            returned = Returned::Yes(name);
        })?;
        ensure!(
            returned == Returned::Moved || self.find(reference)?.manifest_digest == *old,
            "the name '{reference}' does not lead to the old image"
        );
        Ok(returned)
    }

    /// Whether an update has gone back from this image of `reference`.
    ///
    /// # Errors
    /// What the kernel says of the index.
    pub fn is_refused(&self, reference: &Reference, manifest: &Digest) -> Result<bool> {
        let index = Index::read(self.root())?;
        let name = reference.to_string();
        let is_it = |entry: &Entry| entry.digest == *manifest && entry.annotations.get(REFUSED) == Some(&name);
        Ok(index.manifests.iter().any(is_it))
    }
}

/// The entry that leads from the name to this image.
fn position(index: &Index, reference: &Reference, manifest: &Digest) -> Option<usize> {
    let name = reference.to_string();
    let is_it = |entry: &Entry| entry.digest == *manifest && entry.name() == Some(name.as_str());
    index.manifests.iter().position(is_it)
}

/// What a refused image is called: its digest tells it from all others, and no tag can be in the way.
fn refused_name(reference: &Reference, manifest: &Digest) -> String {
    format!("{}@{manifest}", reference.name())
}
