//! Entries as a tar archive: what `-` stands for.

use std::ffi::OsStr;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use tar::{Builder, EntryType, Header};

use crate::cli::cp::{Sink, shown};
use crate::store::tarball::{Entry, Kind, Tarball};

/// An archive that is being written.
pub(super) struct Archive<W: Write>(Builder<W>);

impl<W: Write> Archive<W> {
    pub(super) fn new(writer: W) -> Self {
        Self(Builder::new(writer))
    }

    pub(super) fn finish(self) -> Result<()> {
        let mut writer = self.0.into_inner().context("finishing the archive")?;
        writer.flush().context("finishing the archive")
    }
}

impl<W: Write> Sink for Archive<W> {
    fn take(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(entry.uid.into());
        header.set_gid(entry.gid.into());
        header.set_mtime(u64::try_from(entry.mtime.0).unwrap_or(0));
        header.set_size(entry.size);
        let name = if entry.path.is_empty() {
            b"."
        } else {
            entry.path.as_slice()
        };
        let name = Path::new(OsStr::from_bytes(name));
        match &entry.kind {
            Kind::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                self.0.append_link(&mut header, name, OsStr::from_bytes(target))?;
            }
            Kind::Directory => {
                header.set_entry_type(EntryType::Directory);
                self.0.append_data(&mut header, name, io::empty())?;
            }
            Kind::File => {
                header.set_entry_type(EntryType::Regular);
                // A file that shrinks meanwhile still has the size that was said.
                let content = content.chain(io::repeat(0)).take(entry.size);
                self.0.append_data(&mut header, name, content)?;
            }
            _ => {
                header.set_entry_type(EntryType::Fifo);
                self.0.append_data(&mut header, name, io::empty())?;
            }
        }
        Ok(())
    }
}

/// Gives `sink` all entries of the archive in `reader`, below `name`.
pub(super) fn unpack(reader: impl Read, sink: &mut impl Sink) -> Result<()> {
    let mut archive = Tarball::new(reader);
    while let Some(entry) = archive.next_entry()? {
        let unpacking = || format!("unpacking '{}'", shown(&entry.path));
        match entry.kind {
            Kind::File => {
                // Its content is put aside first: a sparse one is written by seeking.
                let mut content = tempfile().context("making a temporary file")?;
                archive.copy_data(&mut content).with_context(unpacking)?;
                content.seek(SeekFrom::Start(0))?;
                sink.take(&entry, &mut content).with_context(unpacking)?;
            }
            _ => sink.take(&entry, &mut io::empty()).with_context(unpacking)?,
        }
    }
    Ok(())
}

/// A file without a name.
fn tempfile() -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_TMPFILE)
        .open(std::env::temp_dir())
}
