//! Writes what was decided into the generator's directory.
//!
//! No reader ever finds a part of a file, also when the generator is killed:
//!
//! - What fits into a page, as nearly all does, is made in place and written at once. The file is empty, then whole: no signal cuts
//!   such a write short, a full file system refuses all of it, and its reader sees the new size only when the bytes are there.
//! - What is longer has no name until it is whole.
//!
//! And whoever reads takes an empty file for none. systemd reads units when all generators have ended; of one that was killed it may
//! find an empty unit a thread, which is masked (systemd.unit(5)) and so no more started than those that were still to be made. A shim
//! that starts during a reload waits until something is in `NAME.json`.
//!
//! Whatever bears a file's name already is replaced, under a temporary name.
//!
//! Nothing is cleaned up: systemd gives each run an empty directory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use crate::generate::Output;
use crate::threads::share;

/// Writes all files and links. What cannot be written does not stop the rest.
///
/// # Errors
/// The first thing that could not be written, and how many more.
pub fn write(output: &Output, directory: &Path) -> Result<()> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let opened = open(directory, flags, Mode::empty());
    let target = opened.with_context(|| format!("opening '{}' for the units", directory.display()))?;
    let mut failures = make_directories(output, target.as_fd());
    failures.extend(carry_out(&jobs(output), target.as_fd()));
    match failures.as_slice() {
        [] => Ok(()),
        [one] => bail!("{one:#} in '{}'", directory.display()),
        // A full file system says the same a thousand times.
        [first, more @ ..] => bail!("{first:#} in '{}', and {} more", directory.display(), more.len()),
    }
}

/// One thing to make.
enum Job<'a> {
    File(usize, &'a str, &'a str),
    Link(&'a str, &'a str),
}

fn jobs(output: &Output) -> Vec<Job<'_>> {
    let files = output
        .files
        .iter()
        .enumerate()
        .map(|(index, (path, text))| Job::File(index, path, text));
    let links = output.links.iter().map(|(path, target)| Job::Link(path, target));
    files.chain(links).collect()
}

/// The links come last, and [`share`] begins at both ends, so that links are made while files are: they are in other directories, and a
/// directory makes one entry at a time.
fn carry_out(jobs: &[Job<'_>], directory: BorrowedFd<'_>) -> Vec<anyhow::Error> {
    share(jobs, |share| {
        let done = share.iter().map(|job| match job {
            Job::File(index, path, text) => write_file(directory, *index, path, text),
            Job::Link(path, target) => write_link(directory, path, target),
        });
        done.filter_map(Result::err).collect()
    })
}

/// The most that is written in place: the kernel looks for signals between pages, and none has smaller ones.
const PAGE: usize = 4096;

/// A file that gets its name late costs a third more than one made in place, and less than one that is renamed (measured on tmpfs).
fn write_file(directory: BorrowedFd<'_>, index: usize, path: &str, text: &str) -> Result<()> {
    let written = match text.len() {
        ..=PAGE => make_in_place(directory, path, text),
        _ => name_late(directory, path, text),
    };
    match written {
        // The name is taken; or the file system has no nameless files; or this user may not link one (before Linux 6.10).
        Err(Errno::EEXIST | Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT) => replace(directory, index, path, text),
        written => written,
    }
    .with_context(|| format!("writing '{path}'"))
}

fn name_late(directory: BorrowedFd<'_>, path: &str, text: &str) -> nix::Result<()> {
    let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let file = fill(File::from(openat(directory, ".", flags, MODE)?), text)?;
    linkat(&file, "", directory, path, AtFlags::AT_EMPTY_PATH)
}

fn make_in_place(directory: BorrowedFd<'_>, path: &str, text: &str) -> nix::Result<()> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    match fill(File::from(openat(directory, path, flags, MODE)?), text) {
        Ok(_) => Ok(()),
        Err(errno) => {
            // Better none than an empty one. What was not written is told anyway.
            _ = unlinkat(directory, path, UnlinkatFlags::NoRemoveDir);
            Err(errno)
        }
    }
}

/// Writes under a temporary name, and renames.
fn replace(directory: BorrowedFd<'_>, index: usize, path: &str, text: &str) -> nix::Result<()> {
    let temporary = format!(".coracle-{index}");
    let flags = OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    fill(File::from(openat(directory, temporary.as_str(), flags, MODE)?), text)?;
    renameat(directory, temporary.as_str(), directory, path)
}

fn fill(mut file: File, text: &str) -> nix::Result<File> {
    let written = file.write_all(text.as_bytes());
    written.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    Ok(file)
}

const MODE: Mode = Mode::from_bits_truncate(0o644);

fn make_directories(output: &Output, directory: BorrowedFd<'_>) -> Vec<anyhow::Error> {
    let parents: BTreeSet<&str> = output
        .links
        .keys()
        .filter_map(|path| Some(path.rsplit_once('/')?.0))
        .collect();
    let made = parents.into_iter().map(
        |parent| match mkdirat(directory, parent, Mode::from_bits_truncate(0o755)) {
            Err(Errno::EEXIST) => Ok(()),
            made => made.with_context(|| format!("making the directory '{parent}'")),
        },
    );
    made.filter_map(Result::err).collect()
}

fn write_link(directory: BorrowedFd<'_>, path: &str, target: &str) -> Result<()> {
    match symlinkat(target, directory, path) {
        Err(Errno::EEXIST) if readlinkat(directory, path).is_ok_and(|old| old == target) => Ok(()),
        linked => linked.with_context(|| format!("linking '{path}' to '{target}'")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::write;
    use crate::generate::Output;

    fn output(count: usize, text: &str) -> Output {
        let mut output = Output::default();
        for index in 0..count {
            output.files.insert(format!("{index}.service"), text.to_owned());
            output.files.insert(format!("{index}.json"), text.to_owned());
            output.links.insert(format!("x.wants/{index}"), "../x".to_owned());
        }
        output
    }

    #[test]
    fn all_is_written_once_and_again() {
        let directory = tempfile::tempdir().unwrap();
        for text in [
            "first",
            "second, which is longer",
            &"longer than a page ".repeat(300),
            "3",
        ] {
            write(&output(450, text), directory.path()).unwrap();
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 901);
            assert_eq!(fs::read_to_string(directory.path().join("449.service")).unwrap(), text);
            assert_eq!(fs::read_to_string(directory.path().join("0.json")).unwrap(), text);
        }
        assert_eq!(
            fs::read_link(directory.path().join("x.wants/0")).unwrap(),
            Path::new("../x")
        );
    }

    #[test]
    fn what_cannot_be_written_stops_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("0.service")).unwrap();
        fs::write(directory.path().join("x.wants"), "").unwrap();
        let error = write(&output(2, "text"), directory.path()).unwrap_err().to_string();
        assert!(
            error.contains("writing '0.service'") && error.ends_with("and 2 more"),
            "{error}"
        );
        assert!(directory.path().join("1.service").exists());
        let error = write(&Output::default(), &directory.path().join("none")).unwrap_err();
        assert!(
            format!("{error:#}").contains("/none' for the units: ENOENT"),
            "{error:#}"
        );
    }
}
