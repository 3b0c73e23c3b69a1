//! Writes what was decided into the generator's directory.
//!
//! The shim may start during a reload and reads `NAME.json`, so that file gets its name only when it is whole. A unit file has one
//! reader, systemd, which looks when the generator has ended: it is made in place, which saves a third of the time, by one `write(2)`,
//! so that a generator that is killed leaves a whole file or an empty one. Whatever bears its name already is replaced by renaming.
//!
//! Nothing is cleaned up: systemd gives each run an empty directory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::symlinkat;

use crate::generate::Output;
use crate::generate::share::share;

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
    File(usize, &'a Path, &'a str),
    Link(&'a Path, &'a Path),
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

/// The links come last, so that the last thread makes them while others make files: they are in other directories, and a directory
/// makes one entry at a time.
fn carry_out(jobs: &[Job<'_>], directory: BorrowedFd<'_>) -> Vec<anyhow::Error> {
    share(jobs, |share| {
        let done = share.iter().map(|job| match job {
            Job::File(index, path, text) => write_file(directory, *index, path, text),
            Job::Link(path, target) => write_link(directory, path, target),
        });
        done.filter_map(Result::err).collect()
    })
}

fn write_file(directory: BorrowedFd<'_>, index: usize, path: &Path, text: &str) -> Result<()> {
    let is_read_meanwhile = path.extension().is_some_and(|extension| extension == "json");
    if !is_read_meanwhile {
        match create(directory, path, OFlag::O_EXCL) {
            Err(Errno::EEXIST) => {}
            created => return fill(created, text).with_context(|| format!("writing '{}'", path.display())),
        }
    }
    let temporary = format!(".coracle-{index}");
    fill(create(directory, Path::new(&temporary), OFlag::O_TRUNC), text)
        .and_then(|()| Ok(renameat(directory, temporary.as_str(), directory, path)?))
        .with_context(|| format!("writing '{}'", path.display()))
}

fn create(directory: BorrowedFd<'_>, path: &Path, how: OFlag) -> nix::Result<File> {
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | how;
    openat(directory, path, flags, Mode::from_bits_truncate(0o644)).map(File::from)
}

fn fill(file: nix::Result<File>, text: &str) -> Result<()> {
    Ok(file?.write_all(text.as_bytes())?)
}

fn make_directories(output: &Output, directory: BorrowedFd<'_>) -> Vec<anyhow::Error> {
    let parents: BTreeSet<&Path> = output.links.keys().filter_map(|path| path.parent()).collect();
    let made = parents
        .into_iter()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map(
            |parent| match mkdirat(directory, parent, Mode::from_bits_truncate(0o755)) {
                Err(Errno::EEXIST) => Ok(()),
                made => made.with_context(|| format!("making the directory '{}'", parent.display())),
            },
        );
    made.filter_map(Result::err).collect()
}

fn write_link(directory: BorrowedFd<'_>, path: &Path, target: &Path) -> Result<()> {
    match symlinkat(target, directory, path) {
        Err(Errno::EEXIST) if readlinkat(directory, path).is_ok_and(|old| Path::new(&old) == target) => Ok(()),
        linked => linked.with_context(|| format!("linking '{}' to '{}'", path.display(), target.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::write;
    use crate::generate::Output;

    fn output(count: usize, text: &str) -> Output {
        let mut output = Output::default();
        for index in 0..count {
            output
                .files
                .insert(PathBuf::from(format!("{index}.service")), text.to_owned());
            output
                .files
                .insert(PathBuf::from(format!("{index}.json")), text.to_owned());
            output
                .links
                .insert(PathBuf::from(format!("x.wants/{index}")), PathBuf::from("../x"));
        }
        output
    }

    #[test]
    fn all_is_written_once_and_again() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["first", "second, which is longer", "3"] {
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
