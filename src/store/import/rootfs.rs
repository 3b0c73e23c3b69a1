//! Makes an image of a bare root file system: one layer, and a configuration from the `--change` instructions.
//!
//! Neither has a date, so the same input always gives the same digest.

use std::fs::File;
use std::io::{BufWriter, Seek};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::image::media_type::OCI_CONFIG;
use crate::image::platform;
use crate::store::Store;
use crate::store::change::Execution;
use crate::store::import::layer::{self, Expected, Unpack};
use crate::store::import::{Imported, Planned, Request, stage_metadata};
use crate::store::pack::pack;
use crate::store::staging::Staging;

impl Store {
    /// Imports an archive of a root file system, whose bytes become the layer's blob.
    pub fn import_rootfs(&self, archive: File, request: &Request, staging: &Staging) -> Result<Vec<Imported>> {
        let name = request
            .name
            .clone()
            .context("a root file system has no name of its own: give one with '--name'")?;
        let execution = Execution::from_changes(&request.changes)?;
        let expected = Expected {
            digest: None,
            size: None,
            diff_id: None,
        };
        let done = layer::import(archive, &expected, Unpack::Over(&[]), staging)?;
        let config = json!({
            "architecture": platform::architecture(),
            "os": platform::OS,
            "config": execution,
            "rootfs": { "type": "layers", "diff_ids": [done.diff_id] },
            "history": [{ "created_by": "coracle image import" }],
        });
        let config = serde_json::to_vec(&config).context("making the image configuration")?;
        let image = Planned {
            references: vec![name],
            manifest: None,
            config: (config, OCI_CONFIG.to_owned()),
            layers: Vec::new(),
            index_digest: None,
        };
        let entries = stage_metadata(&image, &[done], staging)?;
        self.publish(entries, staging)
    }

    /// Imports a directory: it is written as an archive first.
    pub fn import_directory(&self, path: &Path, request: &Request, staging: &Staging) -> Result<Vec<Imported>> {
        let inside = self
            .root()
            .canonicalize()
            .is_ok_and(|root| path.canonicalize().is_ok_and(|path| root.starts_with(path)));
        ensure!(!inside, "the store itself lies in it");
        let archive = staging.path.join("archive");
        let file = File::options().read(true).write(true).create_new(true).open(&archive);
        let mut file = file.with_context(|| format!("making '{}'", archive.display()))?;
        pack(path, BufWriter::with_capacity(128 << 10, &file))?;
        file.rewind().context("reading the archive again")?;
        self.import_rootfs(file, request, staging)
    }
}
