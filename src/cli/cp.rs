//! `coracle cp`: files into a running container, or out of it.
//!
//! The container's files are a hostile place that changes while one looks at it. So nothing of it is executed, each path is resolved inside its
//! root by the kernel ([`place`]), a tree is read and written by descriptors ([`mod@walk`], [`tree`]), and before anything is looked at this
//! process gives up all rights but those over files.
//!
//! A user has those rights in the container's user namespace only, and joins it. From there on identities are what they are inside: also those
//! of one's own files on the host.

mod ids;
mod place;
mod stream;
mod tree;
mod walk;

use std::io::{self, Read};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueHint};
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, SFlag, fstat, umask};
use nix::unistd::{Gid, Pid, Uid};

use crate::cli::cp::ids::Ids;
use crate::cli::cp::place::{Ending, Last, Place};
use crate::cli::cp::stream::Archive;
use crate::cli::cp::tree::{Owners, Tree};
use crate::cli::cp::walk::walk;
use crate::cli::inside;
use crate::run::entrance::Entrance;
use crate::store::tarball::Entry;
use crate::sys::capability::{self, Mask};
use crate::sys::path::file_type;
use crate::sys::user::make_files_as;

/// Copy files into or out of a container that runs
///
/// One of the two is 'NAME:PATH', a path in a container; its volumes are there too. The other one is a path here, or '-' for a tar archive
/// on standard input or output. A path here that has a colon is told by a '/' or './' in front.
///
/// A directory is copied with all that is in it: into an existing directory under its own name, or as what does not exist yet; with '/.' at
/// its end, only what is in it. Links are copied as links; a link in the place of a file is replaced. What comes into a container belongs
/// to its root, and what comes out to you; with --archive, and in tar archives, owners are as the container sees them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coracle cp nginx.conf web:/etc/nginx/nginx.conf\n  coracle cp web:/var/log/nginx/. logs\n  coracle cp web:/srv - | tar t\n  tar c site | coracle cp - web:/srv"
)]
pub struct Arguments {
    /// What is copied
    #[arg(value_name = "NAME:PATH|PATH|-", value_hint = ValueHint::AnyPath)]
    pub source: String,
    /// Where it goes
    #[arg(value_name = "NAME:PATH|PATH|-", value_hint = ValueHint::AnyPath)]
    pub destination: String,
    /// Keep owners and groups, as the container sees them
    #[arg(short, long)]
    pub archive: bool,
    /// Copy what the source leads to, if it is a link
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// A container of the calling user's service manager
    #[arg(long)]
    pub user: bool,
}

/// Takes entries.
pub(in crate::cli) trait Sink {
    /// One entry. Of a file, `content` is read.
    fn take(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<()>;
}

/// A name as messages have it.
fn shown(name: &[u8]) -> String {
    match name {
        b"" => ".".to_owned(),
        name => String::from_utf8_lossy(name).into_owned(),
    }
}

/// What was typed for one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Typed<'a> {
    Stream,
    Here(&'a str),
    Inside(&'a str, &'a str),
}

impl<'a> Typed<'a> {
    fn of(text: &'a str) -> Self {
        match text.split_once(':') {
            _ if text == "-" => Self::Stream,
            Some((name, path)) if !text.starts_with(['/', '.']) && !name.contains('/') => Self::Inside(name, path),
            _ => Self::Here(text),
        }
    }
}

/// `CAP_CHOWN`, `CAP_DAC_OVERRIDE`, `CAP_DAC_READ_SEARCH`, `CAP_FOWNER`, `CAP_FSETID`.
const OVER_FILES: Mask = 0b1_1111;

/// Copies.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (source, destination) = (Typed::of(&arguments.source), Typed::of(&arguments.destination));
    match (source, destination) {
        (Typed::Inside(name, path), Typed::Here(_) | Typed::Stream) => {
            let is_root = nix::unistd::geteuid().is_root();
            ensure!(
                is_root || !arguments.archive || destination == Typed::Stream,
                "'--archive' would give files to other users, which only root can do: leave it out, and they are yours; or copy an archive, \
                 with '-' in the place of '{}'",
                arguments.destination
            );
            let (place, sides) = reach(arguments, name, path)?;
            give_up_rights()?;
            copy_out(arguments, &place, sides, destination)?;
        }
        (Typed::Here(_) | Typed::Stream, Typed::Inside(name, path)) => {
            let (place, sides) = reach(arguments, name, path)?;
            // The files are made as the container's root makes them: on an idmapped mount nobody else can.
            let (user, group) = sides.inside.outside(0, 0)?;
            if nix::unistd::geteuid().is_root() {
                let become_it = make_files_as(Uid::from_raw(user), Gid::from_raw(group));
                become_it.context("making files as the container's root")?;
            }
            give_up_rights()?;
            copy_in(arguments, source, &place, sides)?;
        }
        (Typed::Inside(..), Typed::Inside(..)) => {
            bail!("both are in containers: copy through an archive, 'coracle cp A:PATH - | coracle cp - B:PATH'")
        }
        _ => bail!("neither is in a container: one of the two must be 'NAME:PATH'"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Whose files are, by the numbers that this process has for users and groups.
struct Sides {
    /// In the container.
    inside: Ids,
    /// On the host.
    here: Ids,
}

/// The path in the container, with the rights to reach it.
fn reach(arguments: &Arguments, name: &str, path: &str) -> Result<(Place, Sides)> {
    let scope = inside::scope(arguments.user);
    let container = inside::find(&scope, name)?;
    let pid = Pid::from_raw(inside::main_process(scope.service_manager(), &container)?.pid);
    let entrance = Entrance::find(pid).with_context(|| format!("reaching into '{name}'"))?;
    let place = Place::in_container(entrance.root()?, path);
    let ids = Ids::of(pid)?;
    if nix::unistd::geteuid().is_root() {
        let (inside, here) = (ids, Ids::as_they_are());
        return Ok((place, Sides { inside, here }));
    }
    entrance
        .join(CloneFlags::CLONE_NEWUSER)
        .context("joining the container's user namespace")?;
    let (inside, here) = (Ids::as_they_are(), ids.reversed());
    Ok((place, Sides { inside, here }))
}

fn give_up_rights() -> Result<()> {
    // Modes are as the sources have them.
    umask(Mode::empty());
    capability::set(OVER_FILES).context("giving up rights")
}

fn copy_out(arguments: &Arguments, source: &Place, sides: Sides, destination: Typed<'_>) -> Result<()> {
    let found = open_source(arguments, source)?;
    let is_directory = file_type(&fstat(&found)?) == SFlag::S_IFDIR;
    let Typed::Here(path) = destination else {
        let name = match source.ending {
            Ending::Dot => Vec::new(),
            _ => source.name(),
        };
        let mut archive = Archive::new(io::BufWriter::new(io::stdout().lock()));
        walk(&found, &name, &sides.inside, &mut archive)?;
        return archive.finish();
    };
    let target = Place::on_host(path).target(source, is_directory)?;
    let mut tree = Tree {
        directory: target.directory,
        owners: match arguments.archive {
            true => Owners::Kept(sides.here),
            false => Owners::One(Uid::effective().as_raw(), Gid::effective().as_raw()),
        },
        made: 0,
    };
    walk(&found, &target.name, &sides.inside, &mut tree)
}

fn copy_in(arguments: &Arguments, source: Typed<'_>, destination: &Place, sides: Sides) -> Result<()> {
    let (user, group) = sides.inside.outside(0, 0)?;
    let Typed::Here(path) = source else {
        let directory = destination.open(Last::Followed);
        let directory = directory.with_context(|| format!("opening '{}'", destination.path().display()))?;
        ensure!(
            file_type(&fstat(&directory)?) == SFlag::S_IFDIR,
            "'{}' is no directory, and an archive needs one",
            destination.path().display()
        );
        let mut tree = Tree {
            directory,
            owners: Owners::Kept(sides.inside),
            made: 0,
        };
        return stream::unpack(io::BufReader::new(io::stdin().lock()), &mut tree);
    };
    let source = Place::on_host(path);
    let found = open_source(arguments, &source)?;
    let is_directory = file_type(&fstat(&found)?) == SFlag::S_IFDIR;
    let target = destination.target(&source, is_directory)?;
    let mut tree = Tree {
        directory: target.directory,
        owners: match arguments.archive {
            true => Owners::Kept(sides.inside),
            false => Owners::One(user, group),
        },
        made: 0,
    };
    walk(&found, &target.name, &sides.here, &mut tree)
}

fn open_source(arguments: &Arguments, source: &Place) -> Result<std::os::fd::OwnedFd> {
    let last = match (arguments.follow_link, source.ending) {
        (false, Ending::Name) => Last::Itself,
        _ => Last::Followed,
    };
    let found = source
        .open(last)
        .with_context(|| format!("opening '{}'", source.path().display()))?;
    ensure!(
        source.ending == Ending::Name || file_type(&fstat(&found)?) == SFlag::S_IFDIR,
        "'{}' is no directory",
        source.path().display()
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::Typed;

    #[test]
    fn a_colon_tells_a_container_unless_a_path_stands_before_it() {
        assert_eq!(Typed::of("-"), Typed::Stream);
        assert_eq!(Typed::of("web:/etc/a:b"), Typed::Inside("web", "/etc/a:b"));
        assert_eq!(Typed::of("web@1:etc"), Typed::Inside("web@1", "etc"));
        for here in ["./a:b", "/a:b", "../a:b", "dir/a:b", "file"] {
            assert_eq!(Typed::of(here), Typed::Here(here));
        }
    }
}
