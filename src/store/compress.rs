//! The streams that a layer runs through: which compression, and digests of what passes.

use std::io::{self, BufRead, BufReader, Read, Write};

use anyhow::{Context, Result, bail};

use crate::image::digest::{Digest, Hasher};

/// How a stream is compressed; its first bytes say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip(1).
    Gzip,
    /// zstd(1).
    Zstd,
}

impl Compression {
    /// Looks at the first bytes.
    pub fn detect(start: &[u8]) -> Result<Self> {
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => bail!("xz compression is not supported: decompress it first"),
            [b'B', b'Z', b'h', ..] => bail!("bzip2 compression is not supported: decompress it first"),
            _ => Ok(Self::None),
        }
    }
}

/// Inflates a stream according to its first bytes.
pub fn inflate<'a, R: Read + 'a>(reader: R) -> Result<(Compression, Box<dyn Read + 'a>)> {
    let mut reader = BufReader::with_capacity(128 << 10, reader);
    // A pipe may give fewer bytes at first than the longest of the marks.
    let mut start = Vec::with_capacity(8);
    reader
        .by_ref()
        .take(8)
        .read_to_end(&mut start)
        .context("reading the first bytes")?;
    let compression = Compression::detect(&start)?;
    let whole = BufReader::with_capacity(128 << 10, io::Cursor::new(start).chain(reader));
    let inflated: Box<dyn Read + 'a> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(whole).context("starting zstd")?),
    };
    Ok((compression, inflated))
}

/// Counts and digests what is read through it, and writes a copy.
#[derive(Debug)]
pub struct Tee<R, W> {
    reader: R,
    copy: W,
    hasher: Hasher,
    size: u64,
}

impl<R: Read, W: Write> Tee<R, W> {
    /// Reads from `reader` and copies to `copy`.
    pub fn new(reader: R, copy: W) -> Self {
        Self {
            reader,
            copy,
            hasher: Hasher::default(),
            size: 0,
        }
    }

    /// Reads what is left, and says the size and digest of everything.
    pub fn finish(mut self) -> Result<(u64, Digest, W)> {
        io::copy(&mut self, &mut io::sink()).context("reading to the end")?;
        self.copy.flush().context("writing the copy")?;
        Ok((self.size, self.hasher.finish(), self.copy))
    }
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.copy.write_all(&buffer[..count])?;
        self.size += count as u64;
        Ok(count)
    }
}

/// Reads from `reader` as a buffered stream: archives are read in blocks of 512 bytes.
pub fn buffered(reader: impl Read) -> impl BufRead {
    BufReader::with_capacity(128 << 10, reader)
}
