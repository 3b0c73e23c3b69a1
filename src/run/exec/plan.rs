//! What a program in a running container gets: the plan of the container's own, made once more from its definition, with another program.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;

use crate::definition::volume::{Source, Volume};
use crate::definition::{Definition, Root, UserNamespace};
use crate::image::reference::Reference;
use crate::plan::Plan;
use crate::plan::network::likely;
use crate::plan::process::{Process, set};
use crate::run::exec::request::Request;
use crate::run::failure::one_line;
use crate::run::secret::DIRECTORY;
use crate::run::start::parse;
use crate::run::{place, planning};
use crate::store::Store;
use crate::store::index::lookup;

/// The container's plan, with another program.
///
/// # Errors
/// What it is made of cannot be read.
pub fn plan(request: &Request) -> Result<Plan> {
    let mut definition = read(&request.resolved)?;
    let store = place::store()?;
    // Mounted already; of these nothing else counts.
    let is_image = |volume: &Volume| matches!(volume.source, Source::Image { .. });
    definition.container.volumes.retain(|volume| !is_image(volume));
    do_without_image(&mut definition, request, &store)?;
    // What follows from its addresses is the container's already.
    let addresses = likely(&definition.container.network, &request.unit);
    let environment = environment(request);
    let (mut plan, _) = planning::plan(
        &definition,
        &request.unit,
        &environment,
        Path::new("/"),
        &store,
        &addresses,
    )?;
    let own = &mut plan.process;
    own.arguments = request.command.clone();
    keep_to_itself(own);
    for (name, value) in &request.environment {
        set(&mut own.environment, name, value.clone());
    }
    if let Some(directory) = &request.directory {
        ensure!(
            directory.starts_with('/'),
            "the working directory '{directory}' is not absolute"
        );
        own.working_directory = directory.clone();
    }
    if let Some(written) = &request.user {
        let (user, group) = match written.split_once(':') {
            Some((user, group)) => (user, Some(group.to_owned())),
            None => (written.as_str(), None),
        };
        own.user = user.to_owned();
        own.group = group;
        own.additional_groups.clear();
    }
    Ok(plan)
}

/// Leaves out what is said to the payload alone.
pub fn keep_to_itself(process: &mut Process) {
    let to_payload = [
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "JOURNAL_STREAM",
    ];
    process
        .environment
        .retain(|(name, _)| !to_payload.contains(&name.as_str()));
}

/// Whose name was taken from the store while it runs ('coracle image rm --force'), an image has files still, but nobody can say what else is in it:
/// then the definition and the request must say enough. Otherwise nothing changes.
fn do_without_image(definition: &mut Definition, request: &Request, store: &Store) -> Result<()> {
    let container = &mut definition.container;
    let Root::Image(reference) = &container.root else {
        return Ok(());
    };
    let reference: Reference = reference.parse()?;
    if lookup(store.root(), &reference)?.is_some() {
        return Ok(());
    }
    let gone = format!(
        "image '{reference}' of the running container is no longer in the store '{}'",
        store.root().display()
    );
    let keeps_number = matches!(container.user_namespace, UserNamespace::KeepId { .. });
    // By no means root because nobody knows better: the program may have fewer rights.
    ensure!(
        container.user.is_some() || keeps_number || request.user.is_some(),
        "{gone}, and it alone says which user its program is: name one with '--user', or import it again under this name"
    );
    let without =
        format!("{gone}: going on without what it sets as environment and working directory ('--env', '--workdir')");
    let _ = writeln!(std::io::stderr(), "coracle: {}", one_line(&without));
    container.root = Root::Rootfs("/".into());
    // A plan has a program, which is replaced by the one that is asked for.
    container.entrypoint = Some(request.command.clone());
    Ok(())
}

fn read(resolved: &Path) -> Result<Definition> {
    let reading = || format!("reading '{}'", resolved.display());
    let text = fs::read_to_string(resolved).with_context(reading)?;
    parse(&text, resolved)
}

/// What systemd has started the container with.
fn environment(request: &Request) -> Vec<(String, String)> {
    if !geteuid().is_root() {
        return of_user(&request.unit);
    }
    let bytes = fs::read(format!("/proc/{}/environ", request.init)).unwrap_or_default();
    let texts = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    texts
        .filter_map(|text| {
            text.split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// The part of it that a plan is made of, where a user's manager has started it: nobody may read it from init. All of it follows from who
/// the user is, and from what systemd has made for the unit.
fn of_user(unit: &str) -> Vec<(String, String)> {
    let runtime = place::runtime();
    let own = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
    let invocation = fs::read_link(runtime.join(format!("systemd/units/invocation:{unit}")));
    let credentials = runtime.join("credentials").join(unit);
    let variable = |name: &str, value: &Path| (name.to_owned(), value.to_string_lossy().into_owned());
    own("HOME")
        .into_iter()
        .chain([variable("XDG_RUNTIME_DIR", &runtime)])
        .chain(invocation.ok().map(|id| variable("INVOCATION_ID", &id)))
        .chain(credentials.is_dir().then(|| variable(DIRECTORY, &credentials)))
        .collect()
}
