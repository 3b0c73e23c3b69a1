//! PAX extended headers (POSIX pax, "pax Extended Header"): records `LENGTH KEY=VALUE\n`, and what they change.

use anyhow::{Context, Result, bail, ensure};

use crate::store::tarball::Time;
use crate::store::tarball::sparse::{Segment, parse_list};

/// What the extended headers in front of an entry say of it.
#[derive(Debug, Default)]
pub struct Extension {
    /// GNU's long name.
    pub long_name: Option<Vec<u8>>,
    /// GNU's long link target.
    pub long_link: Option<Vec<u8>>,
    /// `path`.
    pub pax_path: Option<Vec<u8>>,
    /// `linkpath`.
    pub pax_link: Option<Vec<u8>>,
    /// `size`.
    pub size: Option<u64>,
    /// `uid`.
    pub uid: Option<u64>,
    /// `gid`.
    pub gid: Option<u64>,
    /// `mtime`.
    pub mtime: Option<Time>,
    /// `SCHILY.xattr.*`.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// `GNU.sparse.*`.
    pub sparse: Option<PaxSparse>,
}

/// A sparse file in PAX form.
#[derive(Debug, Default)]
pub struct PaxSparse {
    /// The true name: the header's is made up for readers that do not know sparse files.
    pub name: Option<Vec<u8>>,
    /// The size with holes.
    pub real_size: u64,
    /// The map; in version 1.0 it lies in front of the data instead.
    pub map: Option<Vec<Segment>>,
}

impl Extension {
    /// Whether no header was read.
    pub fn is_empty(&self) -> bool {
        self.long_name.is_none()
            && self.long_link.is_none()
            && self.pax_path.is_none()
            && self.pax_link.is_none()
            && self.size.is_none()
            && self.sparse.is_none()
            && self.xattrs.is_empty()
    }

    /// The entry's name, if it is not the header's.
    pub fn path(&self) -> Option<Vec<u8>> {
        self.pax_path.clone().or_else(|| self.long_name.clone())
    }

    /// The target of the link, if it is not the header's.
    pub fn link(&self) -> Option<Vec<u8>> {
        self.pax_link.clone().or_else(|| self.long_link.clone())
    }

    /// Takes the records of one extended header.
    pub fn add_pax(&mut self, mut records: &[u8]) -> Result<()> {
        // Version 0.0 of sparse files repeats these two.
        let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
        let mut major = None;
        while !records.is_empty() {
            let (key, value, rest) = split_record(records).context("a PAX header is malformed")?;
            records = rest;
            match key {
                b"path" => self.pax_path = non_empty(value),
                b"linkpath" => self.pax_link = non_empty(value),
                b"size" => self.size = Some(number(key, value)?),
                b"uid" => self.uid = Some(number(key, value)?),
                b"gid" => self.gid = Some(number(key, value)?),
                b"mtime" => self.mtime = Some(time(value)?),
                b"GNU.sparse.major" => major = Some(number(key, value)?),
                b"GNU.sparse.name" => self.sparse().name = non_empty(value),
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse().real_size = number(key, value)?,
                b"GNU.sparse.offset" => offsets.push(number(key, value)?),
                b"GNU.sparse.numbytes" => lengths.push(number(key, value)?),
                b"GNU.sparse.map" => self.sparse().map = Some(parse_list(value, b',')?),
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.retain(|(known, _)| known != name);
                        self.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        ensure!(offsets.len() == lengths.len(), "the map of a sparse file is malformed");
        if !offsets.is_empty() {
            let segments = offsets
                .into_iter()
                .zip(lengths)
                .map(|(offset, length)| Segment { offset, length })
                .collect();
            self.sparse().map = Some(segments);
        }
        match (major, &mut self.sparse) {
            (None | Some(0), Some(sparse)) if sparse.map.is_none() => sparse.map = Some(Vec::new()),
            (Some(1), Some(sparse)) => sparse.map = None,
            (Some(version @ 2..), _) => bail!("version {version} of sparse files is not supported"),
            _ => {}
        }
        Ok(())
    }

    fn sparse(&mut self) -> &mut PaxSparse {
        self.sparse.get_or_insert_default()
    }
}

/// Splits `LENGTH KEY=VALUE\n` off. The length counts the whole record, so the value may contain anything.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?;
    let record = record.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

/// An empty value takes an earlier one back.
fn non_empty(value: &[u8]) -> Option<Vec<u8>> {
    Some(value.to_vec()).filter(|value| !value.is_empty())
}

fn number(key: &[u8], value: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    text.and_then(|text| text.parse().ok())
        .with_context(|| format!("'{}' in a PAX header is not a number", String::from_utf8_lossy(key)))
}

/// Seconds with a fraction, perhaps negative.
fn time(value: &[u8]) -> Result<Time> {
    let parse = || -> Option<Time> {
        let text = std::str::from_utf8(value).ok()?;
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        let (seconds, nanoseconds): (i64, u32) = (seconds.parse().ok()?, digits.parse().ok()?);
        // -1.25 is 0.75 s after -2.
        if text.starts_with('-') && nanoseconds > 0 {
            return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
        }
        Some((seconds, nanoseconds))
    };
    parse().context("'mtime' in a PAX header is not a time")
}

#[cfg(test)]
mod tests {
    use super::{Extension, time};

    fn record(key: &str, value: &str) -> String {
        let body = format!(" {key}={value}\n");
        let mut length = body.len() + 1;
        while length.to_string().len() + body.len() != length {
            length += 1;
        }
        format!("{length}{body}")
    }

    #[test]
    fn records_are_read() {
        let mut extension = Extension::default();
        let text = record("path", "a\nb=c") + &record("uid", "3000000000") + &record("SCHILY.xattr.user.x", "1=2");
        extension.add_pax(text.as_bytes()).unwrap();
        assert_eq!(extension.path(), Some(b"a\nb=c".to_vec()));
        assert_eq!(extension.uid, Some(3_000_000_000));
        assert_eq!(extension.xattrs, [(b"user.x".to_vec(), b"1=2".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for text in [
            "x",
            "5",
            "5 a=",
            "0 a=b\n",
            "1 a=b\n",
            "7 a=b\n",
            "6 a=bc",
            "5 ab\n",
            "99999999999999999999 a=b\n",
            "18446744073709551615 a=b\n",
            "8 uid=-1\n",
            "-6 a=b\n",
        ] {
            assert!(Extension::default().add_pax(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(time(b"1.5").unwrap(), (1, 500_000_000));
        assert_eq!(time(b"-1.25").unwrap(), (-2, 750_000_000));
        assert_eq!(time(b"7").unwrap(), (7, 0));
        assert!(time(b"").is_err() && time(b"1.x").is_err() && time(b"1e9").is_err());
    }
}
