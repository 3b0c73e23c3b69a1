//! One layer: read, digest, inflate, digest again, unpack, all in one pass.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::image::digest::Digest;
use crate::image::media_type::{OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD};
use crate::store::compress::{Compression, Tee, buffered, inflate};
use crate::store::import::drain;
use crate::store::staging::Staging;
use crate::store::tarball::Tarball;
use crate::store::unpack::root::{OverlayXattrs, Root};
use crate::store::unpack::unpack;

/// What the source says of a layer.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The blob's digest.
    pub digest: Option<&'a Digest>,
    /// The blob's size.
    pub size: Option<u64>,
    /// The digest of the uncompressed archive.
    pub diff_id: Option<&'a Digest>,
}

/// Whether a layer is unpacked or only verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpack<'a> {
    /// It is new, over these layers' directories, topmost first.
    Over(&'a [PathBuf]),
    /// The store has it unpacked, and needs only the blob.
    No,
}

/// What a layer turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The blob's digest.
    pub digest: Digest,
    /// The blob's size.
    pub size: u64,
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
    compression: Compression,
}

impl Done {
    /// A layer that the store has.
    #[must_use]
    pub fn known(digest: Digest, size: u64, diff_id: Digest) -> Self {
        Self {
            digest,
            size,
            diff_id,
            compression: Compression::None,
        }
    }

    /// The media type for a manifest that is made for it.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        match self.compression {
            Compression::None => OCI_LAYER,
            Compression::Gzip => OCI_LAYER_GZIP,
            Compression::Zstd => OCI_LAYER_ZSTD,
        }
    }
}

/// Writes a layer into the staging directory: `blobs/HEX` and, unpacked, `layers/HEX`.
pub fn import(reader: impl Read, expected: &Expected<'_>, how: Unpack<'_>, staging: &Staging) -> Result<Done> {
    let blob = staging.path.join("blob");
    let tree = staging.path.join("layer");
    make_root(&tree)?;
    let copy = File::create(&blob).with_context(|| format!("making '{}'", blob.display()))?;
    // One byte more than expected shows that there is too much, without reading all of it.
    let limit = expected.size.map_or(u64::MAX, |size| size.saturating_add(1));
    let mut compressed = Tee::new(reader.take(limit), copy);
    let outcome = unpack_stream(&mut compressed, &tree, how, staging);
    let (size, digest, _) = compressed.finish()?;
    // A damaged blob fails in many ways: that it is damaged is what counts.
    if let Some(expected) = expected.size {
        ensure!(
            size <= expected,
            "the blob is larger than the {expected} bytes it should have"
        );
        ensure!(size == expected, "the blob has {size} bytes instead of {expected}");
    }
    if let Some(expected) = expected.digest {
        ensure!(
            digest == *expected,
            "the blob is corrupt: its digest is {digest} instead of {expected}"
        );
    }
    let (compression, diff_id) = outcome?;
    if let Some(expected) = expected.diff_id {
        ensure!(
            diff_id == *expected,
            "the layer is not the one that the image configuration names: uncompressed, its digest is {diff_id} instead of \
             {expected}"
        );
    }
    settle(&blob, &staging.path.join("blobs").join(digest.hex()))?;
    if matches!(how, Unpack::Over(_)) {
        settle(&tree, &staging.path.join("layers").join(diff_id.hex()))?;
    } else {
        fs::remove_dir(&tree).with_context(|| format!("removing '{}'", tree.display()))?;
    }
    Ok(Done {
        digest,
        size,
        diff_id,
        compression,
    })
}

fn unpack_stream(
    compressed: &mut impl Read,
    tree: &Path,
    how: Unpack,
    staging: &Staging,
) -> Result<(Compression, Digest)> {
    let (compression, inflated) = inflate(compressed)?;
    let mut plain = Tee::new(inflated, std::io::sink());
    if let Unpack::Over(lower) = how {
        let root = Root::open(tree, OverlayXattrs::of_this_process(), lower)?;
        let mut archive = Tarball::new(buffered(&mut plain));
        let left_out = unpack(&mut archive, &root)?;
        staging.left_out.set(staging.left_out.get() + left_out);
        drain(archive.into_inner()).context("reading to the end")?;
    }
    let (_, diff_id, _) = plain.finish()?;
    Ok((compression, diff_id))
}

/// The root of a layer whose archive does not mention it.
fn make_root(path: &Path) -> Result<()> {
    let made = DirBuilder::new().mode(0o700).create(path);
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)))
        .with_context(|| format!("making '{}'", path.display()))
}

fn settle(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("moving '{}' to '{}'", from.display(), to.display()))
}
