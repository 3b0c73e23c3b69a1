//! Where an image is imported from: `[TRANSPORT:]PATH[:NAME]`, and what is found there.
//!
//! The transports have skopeo's names (containers-transports(5)). Without one, the content decides. Files of a layout are opened by
//! fixed names or by digest, never by a path that an image controls, or by their place in an archive.

pub mod archive;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

use crate::store::blob::read_bounded;
use crate::store::compress::{Compression, inflate};
use crate::store::source::archive::{Archive, Content};
use crate::store::staging::Staging;

/// The form in which an image is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A directory that is an OCI image layout.
    Oci,
    /// The same as a tar archive.
    OciArchive,
    /// What `docker save` and `podman save` write.
    DockerArchive,
    /// A directory that is a root file system.
    Dir,
    /// A tar archive of a root file system.
    Tar,
}

/// What the user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The transport, if one was named.
    pub format: Option<Format>,
    /// The file or directory; `-` is standard input.
    pub path: PathBuf,
    /// Which image, where there are several.
    pub name: Option<String>,
}

/// What is there, opened.
#[derive(Debug)]
pub enum Source {
    /// An OCI layout.
    Oci(Files),
    /// A Docker archive.
    Docker(Archive),
    /// A root file system as a directory.
    Dir(PathBuf),
    /// A root file system as an archive.
    Tar(File),
}

/// The files of a layout.
#[derive(Debug)]
pub enum Files {
    /// On disk.
    Directory(PathBuf),
    /// Within an archive.
    Archive(Archive),
}

impl FromStr for Format {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "oci" => Self::Oci,
            "oci-archive" => Self::OciArchive,
            "docker-archive" => Self::DockerArchive,
            "dir" => Self::Dir,
            "tar" => Self::Tar,
            _ => bail!("unknown format '{text}': expected oci, oci-archive, docker-archive, dir or tar"),
        })
    }
}

impl Location {
    /// Splits `[TRANSPORT:]PATH[:NAME]`. A file that exists under the whole text is meant itself.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let whole = |format: Option<Format>, path: &str| Self {
            format,
            path: path.into(),
            name: None,
        };
        if Path::new(text).exists() {
            return whole(None, text);
        }
        let (format, rest) = match text.split_once(':') {
            Some((word, rest)) if word.parse::<Format>().is_ok() => (word.parse().ok(), rest),
            _ => (None, text),
        };
        match rest.split_once(':') {
            Some((path, name)) if !Path::new(rest).exists() => Self {
                format,
                path: path.into(),
                name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            },
            _ => whole(format, rest),
        }
    }

    /// Opens what is there. What cannot be read in place is written to the staging directory first.
    pub fn open(&self, staging: &Staging) -> Result<Source> {
        let context = || format!("opening '{}'", self.path.display());
        if self.path.as_os_str() == "-" {
            return self.open_file(spool(std::io::stdin().lock(), staging, "input")?, staging);
        }
        if std::fs::metadata(&self.path).with_context(context)?.is_dir() {
            let is_layout = self.path.join("oci-layout").is_file() && self.path.join("index.json").is_file();
            return match self.format {
                Some(Format::Oci) => Ok(Source::Oci(Files::Directory(self.path.clone()))),
                None if is_layout => Ok(Source::Oci(Files::Directory(self.path.clone()))),
                None | Some(Format::Dir) => Ok(Source::Dir(self.path.clone())),
                Some(_) => bail!("'{}' is a directory, not an archive", self.path.display()),
            };
        }
        ensure!(
            !matches!(self.format, Some(Format::Oci | Format::Dir)),
            "'{}' is not a directory",
            self.path.display()
        );
        self.open_file(open_regular(&self.path)?, staging)
    }

    fn open_file(&self, mut file: File, staging: &Staging) -> Result<Source> {
        let context = || format!("reading '{}'", self.path.display());
        let (compression, content) = {
            let (compression, inflated) = inflate(&mut file).with_context(context)?;
            let content = match self.format {
                Some(Format::OciArchive) => Content::Oci,
                Some(Format::DockerArchive) => Content::Docker,
                Some(Format::Tar) => Content::Rootfs,
                _ => archive::recognise(inflated).with_context(context)?,
            };
            (compression, content)
        };
        file.rewind().with_context(context)?;
        if content == Content::Rootfs {
            return Ok(Source::Tar(file));
        }
        if compression != Compression::None {
            file = spool(inflate(file).with_context(context)?.1, staging, "inflated").with_context(context)?;
        }
        let archive = Archive::scan(file).with_context(context)?;
        Ok(match content {
            Content::Oci => Source::Oci(Files::Archive(archive)),
            _ => Source::Docker(archive),
        })
    }
}

impl Files {
    /// Opens a file by its path in the layout.
    pub fn open(&self, path: &str) -> Result<Box<dyn Read + '_>> {
        match self {
            Self::Directory(root) => Ok(Box::new(open_regular(&root.join(path))?)),
            Self::Archive(archive) => Ok(Box::new(archive.open(path)?)),
        }
    }

    /// Reads a small file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        read_bounded(self.open(path)?).with_context(|| format!("reading '{path}'"))
    }
}

/// Opens a file that is one: a pipe or a device would never end.
pub fn open_regular(path: &Path) -> Result<File> {
    let context = || format!("opening '{}'", path.display());
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .with_context(context)?;
    ensure!(
        file.metadata().with_context(context)?.is_file(),
        "'{}' is not a regular file",
        path.display()
    );
    Ok(file)
}

/// Writes a stream into the staging directory, to be read from there.
fn spool(mut reader: impl Read, staging: &Staging, name: &str) -> Result<File> {
    let path = staging.path.join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let mut file = file.with_context(|| format!("making '{}'", path.display()))?;
    std::io::copy(&mut reader, &mut file).context("copying the source to the store")?;
    file.flush()
        .and_then(|()| file.rewind())
        .context("copying the source to the store")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{Format, Location};

    #[test]
    fn locations_are_split_as_skopeo_does() {
        let location = |format, path: &str, name: Option<&str>| Location {
            format,
            path: path.into(),
            name: name.map(str::to_owned),
        };
        for (text, expected) in [
            ("/x/nothing.tar", location(None, "/x/nothing.tar", None)),
            ("oci:/x/layout", location(Some(Format::Oci), "/x/layout", None)),
            (
                "oci:/x/layout:a/b:1",
                location(Some(Format::Oci), "/x/layout", Some("a/b:1")),
            ),
            (
                "docker-archive:x.tar",
                location(Some(Format::DockerArchive), "x.tar", None),
            ),
            ("oci-archive:x.tar:", location(Some(Format::OciArchive), "x.tar", None)),
            ("/x/layout:1.27", location(None, "/x/layout", Some("1.27"))),
        ] {
            assert_eq!(Location::parse(text), expected, "{text}");
        }
    }
}
