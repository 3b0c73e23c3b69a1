//! Reads tar archives entry by entry: ustar, PAX, GNU, from a stream of hostile bytes.
//!
//! The crate tar understands the header's fields; the sequence of headers is read here, so that every size is bounded
//! before memory is taken, and so that a size in a PAX header counts for what follows just as it does in Go's archive/tar,
//! which nearly every image is written with. What an entry names is not looked at: that is [`crate::store::unpack`]'s work.
//!
//! Nothing here touches a file system, and nothing panics on any input.

pub mod pax;
pub mod sparse;

use std::io::{Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result, bail, ensure};
use tar::{EntryType, Header};

use crate::store::tarball::pax::Extension;
use crate::store::tarball::sparse::Segment;

const BLOCK: usize = 512;
/// No PAX header and no long name is larger.
const MAX_EXTENSION: u64 = 1 << 20;

/// Seconds and nanoseconds since 1970.
pub type Time = (i64, u32);

/// One file of an archive, its long names and PAX records resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as it is written.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When the content was last changed.
    pub mtime: Time,
    /// Extended attributes, name and value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The size of the file, holes included.
    pub size: u64,
}

/// The type of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; its content is read with [`Tarball::copy_data`].
    File,
    /// A directory.
    Directory,
    /// A symbolic link, with its target.
    Symlink(Vec<u8>),
    /// A further name of an earlier entry, with that one's name.
    HardLink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A character device, major and minor number.
    Character(u32, u32),
    /// A block device, major and minor number.
    Block(u32, u32),
}

/// An archive that is being read.
#[derive(Debug)]
pub struct Tarball<R> {
    reader: R,
    position: u64,
    /// Bytes of the current entry's data that are not read yet, and the padding behind them.
    data: u64,
    padding: u64,
    segments: Option<Vec<Segment>>,
    real_size: u64,
    finished: bool,
}

impl<R: Read> Tarball<R> {
    /// Reads from the begin of an archive.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            position: 0,
            data: 0,
            padding: 0,
            segments: None,
            real_size: 0,
            finished: false,
        }
    }

    /// The reader, behind what has been read.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// The next entry, or nothing at the end of the archive.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extension = Extension::default();
        loop {
            self.skip_data()?;
            if self.finished {
                return Ok(None);
            }
            let Some(header) = self.header()? else {
                ensure!(extension.is_empty(), "the archive ends behind an extended header");
                self.finished = true;
                return Ok(None);
            };
            let size = header
                .entry_size()
                .ok()
                .context("the size of an entry is not a number")?;
            self.begin_data(size);
            match header.entry_type() {
                EntryType::XHeader => extension.add_pax(&self.extension()?)?,
                EntryType::XGlobalHeader => drop(self.extension()?),
                EntryType::GNULongName => extension.long_name = Some(until_nul(self.extension()?)),
                EntryType::GNULongLink => extension.long_link = Some(until_nul(self.extension()?)),
                _ => return self.entry(&header, extension).map(Some),
            }
        }
    }

    /// Writes the content of the current entry, holes as holes.
    pub fn copy_data<W: Write + Seek>(&mut self, writer: &mut W) -> Result<()> {
        let Some(segments) = self.segments.take() else {
            let expected = self.data;
            return self.copy(expected, writer);
        };
        let mut end = 0;
        // GNU ends the map of a file that ends in a hole with an empty segment.
        for segment in segments.iter().filter(|segment| segment.length > 0) {
            end = segment.offset + segment.length;
            writer
                .seek(SeekFrom::Start(segment.offset))
                .context("seeking in a sparse file")?;
            self.copy(segment.length, writer)?;
        }
        // A hole at the end: one byte extends the file.
        if end < self.real_size {
            writer
                .seek(SeekFrom::Start(self.real_size - 1))
                .context("seeking in a sparse file")?;
            writer.write_all(&[0]).context("extending a sparse file")?;
        }
        Ok(())
    }

    /// Where the next byte is read from, counted from the begin.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    fn entry(&mut self, header: &Header, extension: Extension) -> Result<Entry> {
        let path = extension.path().unwrap_or_else(|| header.path_bytes().into_owned());
        ensure!(!path.contains(&0), "the name of an entry contains a zero byte");
        let name = String::from_utf8_lossy(&path).into_owned();
        let entry = self
            .resolve(header, extension, path)
            .with_context(|| format!("reading entry '{name}'"))?;
        Ok(entry)
    }

    fn resolve(&mut self, header: &Header, extension: Extension, mut path: Vec<u8>) -> Result<Entry> {
        if let Some(size) = extension.size {
            self.begin_data(size);
        }
        let link = || -> Result<Vec<u8>> {
            let link = extension
                .link()
                .or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
            let link = link.filter(|link| !link.is_empty()).context("the link has no target")?;
            ensure!(!link.contains(&0), "the target of the link contains a zero byte");
            Ok(link)
        };
        let device = || -> Result<(u32, u32)> {
            let part = |number: std::io::Result<Option<u32>>| number.ok().flatten();
            part(header.device_major())
                .zip(part(header.device_minor()))
                .context("the device has no number")
        };
        let mut segments = None;
        let kind = match header.entry_type() {
            // Before ustar, a directory was a file whose name ends in a slash.
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::GNUSparse => {
                segments = Some(self.gnu_sparse_map(header)?);
                Kind::File
            }
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link()?),
            EntryType::Link => Kind::HardLink(link()?),
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char => device().map(|(major, minor)| Kind::Character(major, minor))?,
            EntryType::Block => device().map(|(major, minor)| Kind::Block(major, minor))?,
            other => bail!(
                "entry type '{}' is not supported",
                char::from(other.as_byte()).escape_default()
            ),
        };
        // Whatever the header says, only files have data (so does Go's archive/tar read it).
        if kind != Kind::File {
            self.begin_data(0);
        }
        let mut size = self.data;
        if let Some(sparse) = &extension.sparse {
            ensure!(
                kind == Kind::File && segments.is_none(),
                "only a regular file can be sparse"
            );
            if let Some(name) = &sparse.name {
                path.clone_from(name);
            }
            segments = Some(match &sparse.map {
                Some(map) => map.clone(),
                None => self.sparse_map_in_data()?,
            });
            self.real_size = sparse.real_size;
        }
        if let Some(segments) = &segments {
            sparse::validate(segments, self.data, self.real_size)?;
            size = self.real_size;
        }
        self.segments = segments;
        Ok(Entry {
            path,
            kind,
            mode: header.mode().ok().context("the mode is not a number")? & 0o7777,
            uid: id(extension
                .uid
                .map_or_else(|| header.uid(), Ok)
                .ok()
                .context("the owner is not a number")?)?,
            gid: id(extension
                .gid
                .map_or_else(|| header.gid(), Ok)
                .ok()
                .context("the group is not a number")?)?,
            mtime: match extension.mtime {
                Some(mtime) => mtime,
                None => (
                    i64::try_from(header.mtime().ok().context("the time is not a number")?).unwrap_or(0),
                    0,
                ),
            },
            xattrs: extension.xattrs,
            size,
        })
    }

    /// One header block, or nothing at the end.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => bail!("the archive is cut off within a header"),
                Ok(n) => filled += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading the archive"),
            }
        }
        self.position += BLOCK as u64;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let expected = header
            .cksum()
            .ok()
            .context("this is not a tar archive: a header has no checksum")?;
        let bytes = header.as_bytes();
        let sum = |number: fn(u8) -> i64| -> i64 {
            let field = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { number(*byte) };
            bytes.iter().enumerate().map(field).sum()
        };
        // Some old writers summed signed characters.
        let matches =
            sum(i64::from) == i64::from(expected) || sum(|b| i64::from(b.cast_signed())) == i64::from(expected);
        ensure!(
            matches,
            "this is not a tar archive, or it is damaged: a header's checksum is wrong"
        );
        // Mode, owner, group, size, time and device numbers: an empty field means zero to every other reader.
        for field in [100..108, 108..116, 116..124, 124..136, 136..148, 329..337, 337..345] {
            let field = &mut header.as_mut_bytes()[field];
            if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
                field[0] = b'0';
                field[1..].fill(0);
            }
        }
        Ok(Some(header))
    }

    fn extension(&mut self) -> Result<Vec<u8>> {
        ensure!(
            self.data <= MAX_EXTENSION,
            "an extended header of {} bytes is larger than the limit of {MAX_EXTENSION}",
            self.data
        );
        let mut bytes = Vec::new();
        self.copy(self.data, &mut bytes)?;
        Ok(bytes)
    }

    /// The map of an old GNU sparse file: four segments in the header, the others in blocks behind it.
    fn gnu_sparse_map(&mut self, header: &Header) -> Result<Vec<Segment>> {
        let gnu = header.as_gnu().context("a sparse file without a GNU header")?;
        self.real_size = gnu
            .real_size()
            .ok()
            .context("the size of a sparse file is not a number")?;
        let mut map = sparse::GnuMap::default();
        map.add(&gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let mut block = tar::GnuExtSparseHeader::new();
            self.reader
                .read_exact(block.as_mut_bytes())
                .context("reading the map of a sparse file")?;
            self.position += BLOCK as u64;
            map.add(&block.sparse)?;
            more = block.is_extended();
        }
        Ok(map.segments)
    }

    /// The map of a PAX sparse file of version 1.0, which lies in front of its data.
    fn sparse_map_in_data(&mut self) -> Result<Vec<Segment>> {
        let mut text = Vec::new();
        loop {
            ensure!(
                text.len() as u64 <= MAX_EXTENSION,
                "the map of a sparse file is too large"
            );
            ensure!(self.data >= BLOCK as u64, "the map of a sparse file is cut off");
            self.copy(BLOCK as u64, &mut text)?;
            if let Some(map) = sparse::parse_map(&text)? {
                return Ok(map);
            }
        }
    }

    fn begin_data(&mut self, size: u64) {
        self.data = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        self.segments = None;
    }

    fn copy(&mut self, length: u64, writer: &mut impl Write) -> Result<()> {
        ensure!(
            length <= self.data,
            "the archive is inconsistent: more data asked for than an entry has"
        );
        let copied =
            std::io::copy(&mut (&mut self.reader).take(length), writer).context("copying the data of an entry")?;
        self.position += copied;
        self.data -= copied;
        ensure!(copied == length, "the archive is cut off within an entry");
        Ok(())
    }

    fn skip_data(&mut self) -> Result<()> {
        self.copy(self.data, &mut std::io::sink())?;
        // The last entry's padding may be missing.
        let skipped = std::io::copy(&mut (&mut self.reader).take(self.padding), &mut std::io::sink());
        self.position += skipped.context("reading the archive")?;
        self.padding = 0;
        Ok(())
    }
}

impl<R: Read + Seek> Tarball<R> {
    /// Passes over the current entry's data without reading it, and says where it is and how long.
    pub fn seek_over_data(&mut self) -> Result<(u64, u64)> {
        let (offset, length) = (self.position, self.data);
        let end = length
            .checked_add(self.padding)
            .and_then(|n| offset.checked_add(n))
            .context("an entry is too large")?;
        self.position = self
            .reader
            .seek(SeekFrom::Start(end))
            .context("seeking in the archive")?;
        (self.data, self.padding) = (0, 0);
        Ok((offset, length))
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn id(number: u64) -> Result<u32> {
    match u32::try_from(number) {
        // The highest number means "no change" to chown(2).
        Ok(id) if id != u32::MAX => Ok(id),
        _ => bail!("user or group {number} is out of range"),
    }
}
