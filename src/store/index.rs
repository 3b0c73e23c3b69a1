//! `index.json`: which names the store has, and the manifests they stand for.
//!
//! It is read on every start of a container, so only what is needed is parsed. Writers hold `index.lock`, and replace
//! the file as a whole; fields that other tools have written are kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::image::digest::Digest;
use crate::image::media_type;
use crate::image::reference::Reference;

/// The annotation with an image's name.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation with the digest of the multi-platform index that an image was chosen from, by which it can be named too.
pub const INDEX_DIGEST: &str = "io.coracle.image.index.digest";

const MAX_SIZE: u64 = 64 << 20;

/// The content of `index.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    schema_version: u64,
    /// The manifests, each with its name in an annotation.
    #[serde(default)]
    pub manifests: Vec<Entry>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// One descriptor in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// What the descriptor points to.
    #[serde(default)]
    pub media_type: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's size in bytes.
    pub size: u64,
    /// Among others [`REF_NAME`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            manifests: Vec::new(),
            other: Map::new(),
        }
    }
}

impl Entry {
    /// A new entry for a manifest.
    #[must_use]
    pub fn new(reference: &Reference, media_type: &str, digest: Digest, size: u64) -> Self {
        let annotations = BTreeMap::from([(REF_NAME.to_owned(), reference.to_string())]);
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations,
            other: Map::new(),
        }
    }

    /// The name as it is written.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }

    /// The operating system and architecture that the descriptor names.
    #[must_use]
    pub fn platform(&self) -> Option<(&str, &str)> {
        let platform = self.other.get("platform")?;
        Some((platform.get("os")?.as_str()?, platform.get("architecture")?.as_str()?))
    }
}

/// What [`lookup`] needs of the index: nothing is copied, and what others wrote is passed over.
#[derive(Deserialize)]
struct Names<'a> {
    #[serde(borrow, default)]
    manifests: Vec<Name<'a>>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow, default, rename = "mediaType")]
    media_type: Cow<'a, str>,
    #[serde(borrow)]
    digest: Cow<'a, str>,
    #[serde(borrow, default)]
    annotations: Annotations<'a>,
}

#[derive(Default, Deserialize)]
struct Annotations<'a> {
    #[serde(borrow, default, rename = "org.opencontainers.image.ref.name")]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "io.coracle.image.index.digest")]
    index_digest: Option<Cow<'a, str>>,
}

/// A reference as entries are compared with it.
enum Wanted {
    Name(String),
    /// With a digest, the tag counts for nothing, as everywhere.
    Digest {
        repository: String,
        digest: String,
    },
}

impl Wanted {
    fn of(reference: &Reference) -> Self {
        match reference.digest() {
            None => Self::Name(reference.to_string()),
            Some(digest) => Self::Digest {
                repository: reference.name(),
                digest: digest.to_string(),
            },
        }
    }

    fn is(&self, media_type: &str, digest: &str, name: Option<&str>, index_digest: Option<&str>) -> bool {
        if media_type::kind(media_type) == media_type::Kind::Index {
            return false;
        }
        match self {
            Self::Name(wanted) => name == Some(wanted),
            Self::Digest {
                repository,
                digest: wanted,
            } => {
                let of_repository = name.and_then(|name| name.strip_prefix(repository.as_str()));
                (digest == wanted || index_digest == Some(wanted))
                    && of_repository.is_some_and(|rest| rest.starts_with([':', '@']))
            }
        }
    }
}

/// Finds the digest of a manifest by its name, in the store at `root`. This is what every start of a container does, so it
/// reads no more than it needs.
pub fn lookup(root: &Path, reference: &Reference) -> Result<Option<Digest>> {
    let Some(bytes) = read(root)? else { return Ok(None) };
    let context = || format!("reading '{}'", root.join("index.json").display());
    let names: Names<'_> = serde_json::from_slice(&bytes).with_context(context)?;
    let wanted = Wanted::of(reference);
    let found = names.manifests.iter().find(|entry| {
        let annotations = &entry.annotations;
        wanted.is(
            &entry.media_type,
            &entry.digest,
            annotations.name.as_deref(),
            annotations.index_digest.as_deref(),
        )
    });
    found
        .map(|entry| entry.digest.parse().with_context(context))
        .transpose()
}

/// The bytes of `index.json`, if there is a store.
fn read(root: &Path) -> Result<Option<Vec<u8>>> {
    let path = root.join("index.json");
    let context = || format!("reading '{}'", path.display());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(context),
    };
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).with_context(context)?;
    ensure!(
        bytes.len() as u64 <= MAX_SIZE,
        "reading '{}': larger than {MAX_SIZE} bytes",
        path.display()
    );
    Ok(Some(bytes))
}

impl Index {
    /// Reads the index of the store at `root`; a store that is not there yet is empty.
    pub fn read(root: &Path) -> Result<Self> {
        match read(root)? {
            None => Ok(Self::default()),
            Some(bytes) => {
                Self::parse(&bytes).with_context(|| format!("reading '{}'", root.join("index.json").display()))
            }
        }
    }

    /// Parses the content of an `index.json` or of another image index.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).context("parsing the image index")
    }

    /// The manifest that a name stands for.
    #[must_use]
    pub fn find(&self, reference: &Reference) -> Option<&Entry> {
        let wanted = Wanted::of(reference);
        self.manifests.iter().find(|entry| {
            let index_digest = entry.annotations.get(INDEX_DIGEST).map(String::as_str);
            wanted.is(&entry.media_type, &entry.digest.to_string(), entry.name(), index_digest)
        })
    }

    /// The index in the form that is written to disk.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self).context("writing the image index")?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, INDEX_DIGEST, Index};
    use crate::image::digest::Digest;
    use crate::image::media_type::OCI_MANIFEST;
    use crate::image::reference::Reference;

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn finds_by_tag_and_by_digest() {
        let (manifest, list) = (Digest::of(b"manifest"), Digest::of(b"list"));
        let mut entry = Entry::new(&reference("nginx:1"), OCI_MANIFEST, manifest.clone(), 8);
        entry.annotations.insert(INDEX_DIGEST.into(), list.to_string());
        let index = Index {
            manifests: vec![entry],
            ..Index::default()
        };
        let index = Index::parse(&index.to_bytes().unwrap()).unwrap();
        for text in [
            "nginx:1",
            "docker.io/library/nginx:1",
            &format!("nginx@{manifest}"),
            &format!("nginx:9@{list}"),
        ] {
            assert!(index.find(&reference(text)).is_some(), "{text}");
        }
        for text in ["nginx", "nginx:2", "user/nginx:1", &format!("ngin@{manifest}")] {
            assert!(index.find(&reference(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn keeps_what_others_wrote() {
        let text = r#"{"schemaVersion":2,"mediaType":"m","manifests":[{"mediaType":"t","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"platform":{"os":"linux"}}],"x":[1]}"#;
        let index = Index::parse(text.as_bytes()).unwrap();
        let (before, after): (serde_json::Value, serde_json::Value) = (
            serde_json::from_str(text).unwrap(),
            serde_json::from_slice(&index.to_bytes().unwrap()).unwrap(),
        );
        assert_eq!(before, after);
    }
}
