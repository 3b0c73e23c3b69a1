//! Builds archives and layouts, good ones and hostile ones, byte by byte where no tool would write them.

use std::fs;
use std::io::Write;
use std::path::Path;

use coracle::image::digest::Digest;
use coracle::image::platform;
use serde_json::{Value, json};
use tar::{EntryType, Header};

/// A tar archive in the making.
#[derive(Default, Clone)]
pub struct Tar(Vec<u8>);

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Any entry; `change` has the last word on the header.
    pub fn entry(
        mut self,
        path: &str,
        kind: EntryType,
        link: &str,
        data: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len() as u64);
        header.set_device_major(0).unwrap();
        header.set_device_minor(0).unwrap();
        change(&mut header);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(data);
        self.0.extend(vec![0; (512 - data.len() % 512) % 512]);
        self
    }

    pub fn file(self, path: &str, data: &str) -> Self {
        self.entry(path, EntryType::Regular, "", data.as_bytes(), |_| {})
    }

    pub fn dir(self, path: &str) -> Self {
        self.entry(path, EntryType::Directory, "", b"", |_| {})
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path, EntryType::Symlink, target, b"", |_| {})
    }

    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, EntryType::Link, target, b"", |_| {})
    }

    /// A PAX header for the entry that follows.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = 3 + key.len() + value.len();
            let mut length = rest + 1;
            while length.to_string().len() + rest != length {
                length += 1;
            }
            write!(data, "{length} {key}=").unwrap();
            data.extend(*value);
            data.push(b'\n');
        }
        self.entry("PaxHeader", EntryType::XHeader, "", &data, |_| {})
    }

    /// A GNU long name for the entry that follows.
    pub fn long_name(self, name: &str) -> Self {
        self.entry(
            "././@LongLink",
            EntryType::GNULongName,
            "",
            format!("{name}\0").as_bytes(),
            |_| {},
        )
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

/// One layer: the blob, and the uncompressed archive's digest.
#[derive(Clone)]
pub struct Layer {
    pub blob: Vec<u8>,
    pub diff_id: Digest,
    pub media_type: &'static str,
}

pub fn plain_layer(tar: Tar) -> Layer {
    let blob = tar.finish();
    Layer {
        diff_id: Digest::of(&blob),
        blob,
        media_type: "application/vnd.oci.image.layer.v1.tar",
    }
}

pub fn gzip_layer(tar: Tar) -> Layer {
    let plain = tar.finish();
    Layer {
        diff_id: Digest::of(&plain),
        blob: gzip(&plain),
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip",
    }
}

pub fn zstd_layer(tar: Tar) -> Layer {
    let plain = tar.finish();
    Layer {
        diff_id: Digest::of(&plain),
        blob: zstd(&plain),
        media_type: "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

pub fn config(architecture: &str, layers: &[Layer]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    // The odd spacing shows whether the bytes are kept.
    format!(
        " {} ",
        json!({
            "architecture": architecture, "os": "linux", "created": "2026-01-02T03:04:05Z",
            "config": { "Cmd": ["/bin/x"], "Env": ["A=1"], "Volumes": null, "Labels": null },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        })
    )
    .into_bytes()
}

fn put(directory: &Path, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
    fs::write(directory.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    digest
}

/// Puts an image into a layout, and gives its descriptor.
pub fn put_image(directory: &Path, architecture: &str, layers: &[Layer]) -> Value {
    let config = config(architecture, layers);
    let descriptors: Vec<Value> = layers
        .iter()
        .map(|layer| json!({ "mediaType": layer.media_type, "digest": put(directory, &layer.blob), "size": layer.blob.len() }))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": put(directory, &config), "size": config.len() },
        "layers": descriptors,
        "annotations": { "kept": "byte for byte" },
    });
    let manifest = serde_json::to_vec_pretty(&manifest).unwrap();
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": put(directory, &manifest), "size": manifest.len(),
        "platform": { "os": "linux", "architecture": architecture },
    })
}

pub fn put_index(directory: &Path, manifests: &[Value]) -> Value {
    let index =
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests });
    let index = serde_json::to_vec(&index).unwrap();
    json!({ "mediaType": "application/vnd.oci.image.index.v1+json", "digest": put(directory, &index), "size": index.len() })
}

pub fn named(mut descriptor: Value, name: &str) -> Value {
    descriptor["annotations"]["org.opencontainers.image.ref.name"] = name.into();
    descriptor
}

pub fn put_layout(directory: &Path, manifests: &[Value]) {
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(
        directory.join("index.json"),
        json!({ "schemaVersion": 2, "manifests": manifests }).to_string(),
    )
    .unwrap();
}

/// A layout with one image for this machine.
pub fn layout(directory: &Path, name: &str, layers: &[Layer]) {
    fs::create_dir_all(directory).unwrap();
    let image = put_image(directory, platform::architecture(), layers);
    put_layout(directory, &[named(image, name)]);
}

/// A directory as an archive, as skopeo writes `oci-archive`.
pub fn archive_of(directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    coracle::store::pack::pack(directory, &mut bytes).unwrap();
    bytes
}
