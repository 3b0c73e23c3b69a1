//! A tar archive that holds an image: its files are found once, and then read by name in any order.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail, ensure};

use crate::image::digest::Digest;
use crate::store::tarball::{Kind, Tarball};

/// An image archive has a few files a layer.
const MAX_FILES: usize = 100_000;
/// Old Docker archives name a layer that lies in several images by links.
const MAX_LINKS: usize = 8;

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// An OCI layout.
    Oci,
    /// `manifest.json` and what it names.
    Docker,
    /// Anything else is a root file system.
    Rootfs,
}

/// The files of an archive.
#[derive(Debug)]
pub struct Archive {
    file: File,
    entries: HashMap<String, Place>,
}

#[derive(Debug)]
enum Place {
    Data { offset: u64, length: u64 },
    Link(String),
}

/// A part of a file as a stream.
#[derive(Debug)]
pub struct Window<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Archive {
    /// Finds out where each file is.
    pub fn scan(file: File) -> Result<Self> {
        let length = file.metadata().context("looking at the archive")?.len();
        let mut entries = HashMap::new();
        let mut tarball = Tarball::new(BufReader::new(&file));
        while let Some(entry) = tarball.next_entry()? {
            let name = plain(&entry.path);
            ensure!(entries.len() < MAX_FILES, "the archive has more than {MAX_FILES} files");
            let place = match entry.kind {
                Kind::File => {
                    let (offset, size) = tarball.seek_over_data()?;
                    ensure!(
                        offset.checked_add(size).is_some_and(|end| end <= length),
                        "the archive is cut off"
                    );
                    ensure!(size == entry.size, "'{name}' is sparse");
                    Place::Data { offset, length: size }
                }
                Kind::HardLink(target) => Place::Link(plain(&target)),
                Kind::Symlink(target) => Place::Link(beside(&name, &String::from_utf8_lossy(&target))),
                _ => continue,
            };
            entries.insert(name, place);
        }
        Ok(Self { file, entries })
    }

    /// Opens a file by its name.
    pub fn open(&self, name: &str) -> Result<Window<'_>> {
        let mut at = plain(name.as_bytes());
        for _ in 0..MAX_LINKS {
            match self.entries.get(&at) {
                Some(Place::Data { offset, length }) => {
                    return Ok(Window {
                        file: &self.file,
                        offset: *offset,
                        left: *length,
                    });
                }
                Some(Place::Link(target)) => at.clone_from(target),
                None => bail!("'{name}' is not in the archive"),
            }
        }
        bail!("'{name}' is a link that leads nowhere")
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Says what an archive holds, by its names at the top; reading stops as soon as that is clear.
pub fn recognise(reader: impl Read) -> Result<Content> {
    let (mut layout, mut index, mut docker, mut any) = (false, false, false, false);
    let mut tarball = Tarball::new(reader);
    while let Some(entry) = tarball.next_entry()? {
        any = true;
        let name = plain(&entry.path);
        match name.as_str() {
            "oci-layout" => layout = true,
            "index.json" => index = true,
            "manifest.json" => docker = true,
            other if is_of_an_image(other) => {}
            _ => return Ok(Content::Rootfs),
        }
    }
    ensure!(any, "the archive is empty");
    Ok(match (layout && index, docker) {
        (true, _) => Content::Oci,
        (false, true) => Content::Docker,
        (false, false) => Content::Rootfs,
    })
}

fn is_of_an_image(name: &str) -> bool {
    let top = name.split('/').next().unwrap_or(name);
    let stem = top
        .strip_suffix(".json")
        .or_else(|| top.strip_suffix(".tar"))
        .unwrap_or(top);
    let stem = stem.strip_suffix(".tar").unwrap_or(stem);
    matches!(top, "" | "blobs" | "repositories") || format!("sha256:{stem}").parse::<Digest>().is_ok()
}

/// A name without what does not count.
fn plain(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    parts.join("/")
}

/// The target of a link, seen from the file that is the link.
fn beside(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::{beside, is_of_an_image, plain};

    #[test]
    fn names() {
        assert_eq!(plain(b"./a//b/"), "a/b");
        assert_eq!(beside("a/layer.tar", "../b/layer.tar"), "b/layer.tar");
        assert_eq!(beside("a", "../../../b"), "b");
        let hex = "0".repeat(64);
        assert!(is_of_an_image(&format!("{hex}/layer.tar")) && is_of_an_image(&format!("{hex}.json")));
        assert!(is_of_an_image("blobs/sha256/x") && !is_of_an_image("etc") && !is_of_an_image("x.json"));
    }
}
