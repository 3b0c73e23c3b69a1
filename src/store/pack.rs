//! Writes a directory as a tar archive: sorted by name, numbers only, the same bytes for the same tree.
//!
//! The tree is read without leaving it: no link is followed, and what is on another file system is left out, as is a socket,
//! which no archive can hold.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tar::{Builder, EntryType, Header};

const XATTRS: [&str; 3] = [
    "security.capability",
    "system.posix_acl_access",
    "system.posix_acl_default",
];

/// Writes the tree at `root`.
pub fn pack(root: &Path, writer: impl Write) -> Result<()> {
    let top = fs::symlink_metadata(root).with_context(|| format!("looking at '{}'", root.display()))?;
    let mut packer = Packer {
        builder: Builder::new(writer),
        root: root.into(),
        device: top.dev(),
        links: HashMap::new(),
    };
    packer.add(Path::new("."), &top)?;
    packer.add_children(Path::new(""))?;
    packer
        .builder
        .into_inner()
        .context("finishing the archive")?
        .flush()
        .context("finishing the archive")
}

struct Packer<W: Write> {
    builder: Builder<W>,
    root: PathBuf,
    device: u64,
    /// Files with several names: the first one has the content.
    links: HashMap<u64, PathBuf>,
}

impl<W: Write> Packer<W> {
    fn add_children(&mut self, directory: &Path) -> Result<()> {
        let path = self.root.join(directory);
        let context = || format!("reading '{}'", path.display());
        let mut names: Vec<OsString> = Vec::new();
        for entry in fs::read_dir(&path).with_context(context)? {
            names.push(entry.with_context(context)?.file_name());
        }
        names.sort();
        for name in names {
            let child = directory.join(name);
            let path = self.root.join(&child);
            let metadata = fs::symlink_metadata(&path).with_context(|| format!("looking at '{}'", path.display()))?;
            if metadata.file_type().is_socket() {
                continue;
            }
            self.add(&child, &metadata)
                .with_context(|| format!("packing '{}'", path.display()))?;
            if metadata.is_dir() && metadata.dev() == self.device {
                self.add_children(&child)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &Path, metadata: &Metadata) -> Result<()> {
        let path = self.root.join(name);
        let kind = metadata.file_type();
        let mut header = Header::new_ustar();
        header.set_mode(metadata.mode() & 0o7777);
        header.set_size(0);
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        number(&mut records, "uid", metadata.uid().into(), 0o7_777_777, |n| {
            header.set_uid(n)
        });
        number(&mut records, "gid", metadata.gid().into(), 0o7_777_777, |n| {
            header.set_gid(n)
        });
        let seconds = u64::try_from(metadata.mtime()).ok();
        match seconds {
            Some(seconds) if metadata.mtime_nsec() == 0 && seconds <= 0o77_777_777_777 => header.set_mtime(seconds),
            _ => {
                header.set_mtime(0);
                records.push((
                    "mtime".into(),
                    time(metadata.mtime(), metadata.mtime_nsec()).into_bytes(),
                ));
            }
        }
        let link = if metadata.nlink() > 1 && !kind.is_dir() {
            let first = self.links.entry(metadata.ino()).or_insert_with(|| name.to_owned());
            Some(first.clone()).filter(|first| first != name)
        } else {
            None
        };
        let mut content = None;
        let mut target = None;
        if let Some(first) = link {
            header.set_entry_type(EntryType::Link);
            target = Some(first);
        } else if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
        } else if kind.is_file() {
            header.set_entry_type(EntryType::Regular);
            let file = File::open(&path).context("opening the file")?;
            number(&mut records, "size", metadata.len(), 0o77_777_777_777, |n| {
                header.set_size(n)
            });
            content = Some(file);
        } else if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            target = Some(fs::read_link(&path).context("reading the link")?);
        } else if kind.is_fifo() {
            header.set_entry_type(EntryType::Fifo);
        } else {
            let is_block = kind.is_block_device();
            header.set_entry_type(if is_block { EntryType::Block } else { EntryType::Char });
            let narrow = |part: u64| u32::try_from(part).context("a device number is too large");
            header.set_device_major(narrow(nix::sys::stat::major(metadata.rdev()))?)?;
            header.set_device_minor(narrow(nix::sys::stat::minor(metadata.rdev()))?)?;
        }
        xattrs(&path, &mut records)?;
        let mut bytes = name.as_os_str().as_bytes().to_vec();
        if kind.is_dir() {
            bytes.push(b'/');
        }
        field(&mut header, &mut records, "path", &bytes);
        if let Some(target) = target {
            field(&mut header, &mut records, "linkpath", target.as_os_str().as_bytes());
        }
        records.sort();
        let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        self.builder
            .append_pax_extensions(records)
            .context("writing the archive")?;
        header.set_cksum();
        let Some(file) = content else {
            return self
                .builder
                .append(&header, std::io::empty())
                .context("writing the archive");
        };
        let mut reader = Counted {
            reader: file.take(metadata.len()),
            count: 0,
        };
        self.builder
            .append(&header, &mut reader)
            .context("writing the archive")?;
        ensure!(
            reader.count == metadata.len(),
            "the file became shorter while it was read"
        );
        Ok(())
    }
}

/// Numbers that the header cannot hold go into a PAX record.
fn number(records: &mut Vec<(String, Vec<u8>)>, key: &str, value: u64, max: u64, mut set: impl FnMut(u64)) {
    if value <= max {
        set(value);
    } else {
        set(0);
        records.push((key.to_owned(), value.to_string().into_bytes()));
    }
}

/// Names that the header cannot hold too; it then has the first part of them, for readers that know no PAX.
fn field(header: &mut Header, records: &mut Vec<(String, Vec<u8>)>, key: &str, value: &[u8]) {
    let bytes = header.as_mut_bytes();
    let place = if key == "path" {
        &mut bytes[..100]
    } else {
        &mut bytes[157..257]
    };
    let length = value.len().min(place.len());
    place[..length].copy_from_slice(&value[..length]);
    if value.len() > place.len() {
        records.push((key.to_owned(), value.to_vec()));
    }
}

fn xattrs(path: &Path, records: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let mut names = vec![0_u8; 64 << 10];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        Err(errno) => return Err(errno).context("listing extended attributes"),
    };
    for name in names[..length].split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let is_users = name.starts_with("user.") && !name.starts_with("user.overlay.");
        if !is_users && !XATTRS.contains(&name) {
            continue;
        }
        let mut value = vec![0_u8; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value).context("reading an extended attribute")?;
        value.truncate(length);
        records.push((format!("SCHILY.xattr.{name}"), value));
    }
    Ok(())
}

fn time(seconds: i64, nanoseconds: i64) -> String {
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    // 0.75 s after -2 is -1.25.
    let text = if seconds < 0 {
        format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds)
    } else {
        format!("{seconds}.{nanoseconds:09}")
    };
    text.trim_end_matches('0').to_owned()
}

struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times() {
        assert_eq!(time(1, 500_000_000), "1.5");
        assert_eq!(time(-2, 750_000_000), "-1.25");
        assert_eq!(time(-1, 500_000_000), "-0.5");
        assert_eq!(time(7, 0), "7");
    }
}
