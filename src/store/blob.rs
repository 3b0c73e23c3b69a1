//! The small blobs of the layout: manifests and configurations, read within limits and verified.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;
use crate::store::Store;

/// No manifest or configuration is larger: the limit that registries set.
pub const MAX_METADATA: u64 = 4 << 20;

/// What the store needs of a manifest. The manifest itself is kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u64,
    /// Absent in some OCI manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// A reference from one blob to another (image-spec descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Manifest {
    /// Parses a manifest of OCI's or Docker's schema 2.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let manifest: Self = serde_json::from_slice(bytes).context("parsing the image manifest")?;
        ensure!(
            manifest.schema_version == 2,
            "parsing the image manifest: schema version {} is not supported, only 2 is",
            manifest.schema_version
        );
        Ok(manifest)
    }
}

impl Store {
    /// The file of a blob.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root().join("blobs/sha256").join(digest.hex())
    }

    /// Reads a manifest or configuration, and verifies it.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let bytes = self.read_blob_unverified(digest)?;
        ensure!(Digest::of(&bytes) == *digest, "{}", self.corrupt(digest));
        Ok(bytes)
    }

    /// Reads a manifest or configuration for a start. It was verified when it came into the store, and its layers are not computed
    /// again either: a damaged one shows when it is parsed.
    pub fn read_blob_unverified(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let context = || format!("reading '{}'", path.display());
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("'{}' is missing: import the image again", path.display())
            }
            file => read_bounded(file.with_context(context)?).with_context(context),
        }
    }

    /// What is to be said of a blob that is not what was imported.
    #[must_use]
    pub fn corrupt(&self, digest: &Digest) -> String {
        format!(
            "'{}' is corrupt: import the image again",
            self.blob_path(digest).display()
        )
    }
}

/// Reads all of a small file, but never more than [`MAX_METADATA`].
pub fn read_bounded(reader: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_METADATA + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MAX_METADATA, "larger than {MAX_METADATA} bytes");
    Ok(bytes)
}
