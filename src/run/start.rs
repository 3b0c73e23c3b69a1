//! The shim: one start of one container, from the resolved definition to the hand-over, then it is gone.
//!
//! It runs as systemd's `ExecStart=` and is on the way between a client and its answer: no threads, no D-Bus, no lock that is waited for, a
//! handful of small files. What stays behind is a child of systemd, made with `CLONE_PARENT`, and known to it by `MAINPID=` (sd_notify(3)).

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::pty::Winsize;
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, SFlag, fstat, umask};
use nix::unistd::Pid;
use sd_notify::NotifyState;

use crate::activation::{self, Passed};
use crate::definition::network::Network;
use crate::definition::renewal::DescriptorStore;
use crate::definition::{Activation, Definition, Resolved, UserNamespace};
use crate::plan::Plan;
use crate::run::cleanup::remove_writable_layer;
use crate::run::condition::Conditions;
use crate::run::container::{self, Beginning};
use crate::run::failure::{CONFIG, Failure, NAMESPACE, NOT_NOW, OrFail as _, Priority, say};
use crate::run::handover::{self, Giver, Message, Wish};
use crate::run::health::lead;
use crate::run::identities::Range;
use crate::run::lend::identities::Identities;
use crate::run::lend::user::lend_as_user;
use crate::run::lend::{Lender, Output, lend};
use crate::run::network::join::join;
use crate::run::network::locks::Addresses;
use crate::run::processor::Processor;
use crate::run::record::Draft;
use crate::run::seal::seal_for_checks;
use crate::run::subordinate::NOT_ALLOWED;
use crate::run::subordinate::account::Account;
use crate::run::subordinate::maps::Maps;
use crate::run::{idle, keep, mark, network, notify, overdue, place, planning, program, secret, selinux, volume};
use crate::store::Held;
use crate::store::volume::Making;
use crate::sys::gate;
use crate::sys::path::file_type;
use crate::sys::process::{clone_sibling, is_pending, send_signal};
use crate::sys::user::map_identities;

/// Starts the container whose resolved definition is `resolved` as the service `unit`, if all `conditions` hold; on a terminal of this size if
/// it is to have one, whose client is at the other end of standard input. Returns in the shim only.
///
/// # Errors
/// Everything up to the hand-over but what is the container's own to do; it reports that itself, and exits in the same way.
pub fn start(
    resolved: &Path,
    unit: &str,
    conditions: Conditions<'_>,
    terminal: Option<Winsize>,
) -> Result<(), Failure> {
    program::refuse_to_be_one().or_fail(NAMESPACE)?;
    let environment = environment();
    let (definition, text) = read(resolved).or_fail(CONFIG)?;
    seal_for_checks(&definition).or_fail(NAMESPACE)?;
    let passed = activation::take(&environment).or_fail(CONFIG)?;
    // An init that was killed while it stopped its idle payload has left them closed.
    passed.iter().for_each(|passed| gate::open(passed.socket.as_fd()));
    let (passed, stored) = activation::without_stored(passed);
    if passed.is_empty()
        && !definition.accepts()
        && let Some(why) = conditions.skipped().or_fail(NOT_NOW)?
    {
        skip(&why, &environment);
        return Ok(());
    }
    let sockets = sockets(&definition, passed).or_fail(CONFIG)?;
    overdue::dismiss(unit, &sockets);
    conditions.ask().or_fail(NOT_NOW)?;
    let store = place::store().or_fail(CONFIG)?;
    let mount_point = planning::mount_point().or_fail(CONFIG)?;
    let addresses = Addresses::of_unit(&definition.container.network, unit).or_fail(NAMESPACE)?;
    let chosen = addresses.as_ref().map_or(&[][..], |chosen| &chosen.addresses);
    let (mut plan, images) =
        planning::plan(&definition, unit, &environment, &mount_point, &store, chosen).or_fail(CONFIG)?;
    secret::set_variables(&mut plan).or_fail(CONFIG)?;
    selinux::check(&plan).or_fail(CONFIG)?;
    let stored = match plan.descriptor_store {
        DescriptorStore::Open => stored,
        DescriptorStore::Closed => Vec::new(),
    };
    let names: Vec<&str> = stored.iter().map(|stored| stored.name.as_str()).collect();
    plan.process.announce(&names);
    let maps = maps(&plan).or_fail(CONFIG)?;
    let store = match &maps {
        None => store,
        Some(maps) => keep::complete(store, &images, &plan, maps).or_fail(CONFIG)?,
    };
    let notify = notify::connect(&environment)
        .context("connecting to systemd's notify socket")
        .or_fail(NAMESPACE)?;
    // Here, where systemd's sockets are: the container's network has none of their connections.
    let diag = plan.idle.and_then(|_| idle::diag());
    let ways = lead::ways(&plan, &sockets);
    join(&plan.network).or_fail(NAMESPACE)?;
    let (giver, taker) = handover::pair().or_fail(NAMESPACE)?;
    // An init has no default action for SIGTERM, so a stop that comes before init reads signals must stay pending.
    SigSet::all().thread_block().or_fail(NAMESPACE)?;
    let processor = Processor::of_this_process();
    match clone_sibling(first_namespaces(&plan))
        .context(if maps.is_none() {
            "creating the namespaces (clone3)"
        } else {
            NOT_ALLOWED
        })
        .or_fail(NAMESPACE)?
    {
        None => {
            drop(giver);
            container::enter(Beginning {
                plan,
                sockets,
                diag,
                ways,
                stored: stored.into_iter().map(|stored| stored.socket).collect(),
                notify,
                shim: taker,
                terminal,
                processor,
            })
        }
        Some(container) => {
            if let Some(processor) = processor {
                processor.send_away(container);
            }
            // The container must read the end of it when this process is killed.
            drop(taker);
            let outputs = outputs(&plan, terminal).or_fail(NAMESPACE)?;
            let manifests = images.iter().map(|image| image.manifest_digest.clone()).collect();
            let draft = || Draft::new(&plan.unit, (resolved, text), &environment, manifests);
            if let Some(maps) = &maps {
                // Now, since in a moment this process is among the container's files.
                write(draft());
                return lend_as_user(&plan, container, maps, outputs, (&store, &images), &giver)
                    .and_then(|makings| complete(makings, container, notify.as_ref(), &giver))
                    .or_fail(NAMESPACE);
            }
            let images = images.iter().map(|image| store.hold_confined(image));
            let images: Vec<Held> = images.collect::<Result<_>>().or_fail(CONFIG)?;
            let locks = images
                .into_iter()
                .flat_map(Held::into_descriptors)
                .chain(addresses.map(|addresses| addresses.lock))
                .collect();
            attend(container, &plan, outputs, locks, notify.as_ref(), &giver, draft).or_fail(NAMESPACE)
        }
    }
}

/// Ends a start that is none: as for systemd where a condition does not hold, that is no failure, and nothing is tried again.
fn skip(why: &str, environment: &[(String, String)]) {
    let message = format!("skipped: {why}");
    say(Priority::Notice, &message);
    if let Ok(Some(notify)) = notify::connect(environment) {
        notify::send_surely(&notify, &format!("STATUS={message}\nREADY=1\n"));
    }
}

/// What systemd passed, in the order of the plan's sockets.
fn sockets(definition: &Definition, passed: Vec<Passed>) -> Result<Vec<OwnedFd>> {
    match definition.container.activation {
        Some(Activation::Accept) => activation::connection(passed, std::io::stdin().as_fd()),
        // They are the proxy's.
        Some(Activation::Proxy) => Ok(Vec::new()),
        Some(Activation::Intercept | Activation::Inherit) | None => activation::in_order(&definition.sockets, passed),
    }
}

/// The namespaces that a process can only be born into, or had better be. The container makes the others itself, while the shim is at work
/// ([`container`]).
fn first_namespaces(plan: &Plan) -> libc::c_int {
    let mut namespaces = libc::CLONE_NEWPID;
    if plan.user_namespace != UserNamespace::Host {
        namespaces |= libc::CLONE_NEWUSER;
    }
    if plan.bridges.is_some() || plan.network == Network::Pasta {
        // It must be there before the container gets its interfaces.
        namespaces |= libc::CLONE_NEWNET;
    }
    namespaces
}

/// The container's identities where it is not root that starts it.
fn maps(plan: &Plan) -> Result<Option<Maps>> {
    match nix::unistd::geteuid().is_root() {
        true => Ok(None),
        false => Account::of_this_process().maps(&plan.user_namespace).map(Some),
    }
}

/// The shim's part of the work, while the container does its own. When it fails, the container ends too, without a word.
fn attend(
    container: Pid,
    plan: &Plan,
    outputs: [Output; 2],
    mut locks: Vec<OwnedFd>,
    notify: Option<&UnixDatagram>,
    giver: &Giver,
    draft: impl FnOnce() -> io::Result<Draft>,
) -> Result<()> {
    // Modes are as written here; the container has its own copy of systemd's.
    umask(Mode::empty());
    ensure!(
        plan.network != Network::Pasta,
        "'Network=pasta' is for containers of a user's manager: set 'Network' to 'bridge' or 'host', or leave it out"
    );
    let (identities, range) = identities(container, plan).context("mapping the container's identities")?;
    giver.give(Message::Mapped, None);
    let range = match range {
        Some(range) => range,
        None => mark::open()?,
    };
    mark::show(plan, &range)?;
    prepare(plan)?;
    selinux::label(&plan.labelled)?;
    if let Some(bridges) = &plan.bridges {
        network::set_up(container, bridges)?;
    }
    locks.push(range);
    let lender = Lender::Root(identities.as_ref());
    // What that takes is opened while this process is among the host's files: the container's root may become its own at any moment.
    let draft = draft();
    let makings = lend(plan, outputs, container, lender, locks, giver)?;
    // The container is at work now, and this process has nothing to do but wait for it. Before it stops being the main process: the clean-up comes later.
    write(draft);
    complete(makings, container, notify, giver)
}

/// Writes down what this start is of ([`record`]). A container without it runs as well; only nobody can tell whether it is of today.
fn write(draft: io::Result<Draft>) {
    if let Err(error) = draft.and_then(Draft::write) {
        let message = format!("what it was started from cannot be written down: {error}");
        say(Priority::Warning, &message);
    }
}

/// Waits until new volumes are filled, and makes the container systemd's main process of the unit.
fn complete(makings: Vec<(u16, Making)>, container: Pid, notify: Option<&UnixDatagram>, giver: &Giver) -> Result<()> {
    let extend = || {
        notify
            .into_iter()
            .for_each(|notify| notify::send_surely(notify, volume::EXTEND))
    };
    if volume::settle(makings, container, giver, extend)? == Wish::None {
        giver.await_wish();
    }
    if let Some(notify) = notify {
        let main = NotifyState::MainPid(container.as_raw().cast_unsigned());
        notify::send_surely(notify, &main.to_string());
    }
    giver.give(Message::Main, None);
    // A stop that was still meant for us is meant for the main process now.
    if is_pending(libc::SIGTERM) {
        send_signal(container, libc::SIGTERM);
    }
    Ok(())
}

/// Gives the container its identities, if they are not the host's. The lock keeps others from them, if they are a range of its own.
fn identities(container: Pid, plan: &Plan) -> Result<(Option<Identities>, Option<OwnedFd>)> {
    let (users, groups, lock) = match &plan.user_namespace {
        UserNamespace::Host => return Ok((None, None)),
        UserNamespace::Mapped { users, groups } => (users.clone(), groups.clone(), None),
        UserNamespace::KeepId { .. } => bail!("'UserNS=keep-id' is for containers of a user's manager: leave it out"),
        UserNamespace::Auto => {
            let range = Range::of_unit(&plan.unit)?;
            (vec![range.extent()], vec![range.extent()], Some(range.lock))
        }
    };
    map_identities(container, &users, &groups)?;
    let identities = Identities {
        namespace: File::open(format!("/proc/{container}/ns/user"))?.into(),
        users,
        groups,
    };
    Ok((Some(identities), lock))
}

/// What the payload's standard output and error can be opened by.
fn outputs(plan: &Plan, terminal: Option<Winsize>) -> Result<[Output; 2]> {
    Ok(match (terminal, &plan.user_namespace) {
        (Some(_), _) => [Output::Reopenable; 2],
        (None, UserNamespace::Host) => [output(std::io::stdout())?, output(std::io::stderr())?],
        (None, _) => [Output::Unopenable; 2],
    })
}

fn output(stream: impl AsFd) -> Result<Output> {
    let is_socket = file_type(&fstat(stream)?) == SFlag::S_IFSOCK;
    Ok(if is_socket {
        Output::Unopenable
    } else {
        Output::Reopenable
    })
}

/// Says why a start has failed: each line in the journal, and the last one as the unit's status text.
pub fn report(failure: &Failure) {
    // `systemctl status` shows no line from before the moment in which systemd takes the unit for started, and we may be faster.
    if let Ok(Some(notify)) = notify::connect(&environment()) {
        notify::settle(&notify);
    }
    let message = failure.to_string();
    message.lines().for_each(|line| say(Priority::Error, line));
    let _ = sd_notify::notify(&[NotifyState::Status(message.lines().last().unwrap_or_default())]);
}

fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (lossy(name), lossy(value)))
        .collect()
}

fn lossy(text: OsString) -> String {
    text.to_string_lossy().into_owned()
}

/// An empty writable layer and a place for volumes that do not last, whatever an earlier run has left.
///
/// # Errors
/// What the kernel says of a directory.
pub fn prepare(plan: &Plan) -> Result<()> {
    let directory = plan.directory.as_path();
    if plan.writable_layer.is_none() && !plan.mounts.iter().any(|mount| mount.is_below(directory)) {
        return Ok(());
    }
    remove_writable_layer(directory)?;
    let create = |directory: &Path, mode| {
        let result = DirBuilder::new().recursive(true).mode(mode).create(directory);
        result.with_context(|| format!("creating '{}'", directory.display()))
    };
    // Nobody but root gets to what payloads write.
    create(directory, 0o700)?;
    if plan.writable_layer.is_none() {
        return Ok(());
    }
    create(&directory.join("upper"), 0o755)?;
    create(&directory.join("work"), 0o700)
}

/// Reads what the generator left. A definition with mistakes fails here with its diagnostics, a line each.
fn read(resolved: &Path) -> Result<(Definition, String)> {
    let text = read_between_reloads(resolved).with_context(|| format!("reading '{}'", resolved.display()))?;
    Ok((parse(&text, resolved)?, text))
}

/// The definition that `text` is, of the file `resolved`.
///
/// # Errors
/// It has mistakes, which are said, or is none.
pub fn parse(text: &str, resolved: &Path) -> Result<Definition> {
    match serde_json::from_str(text).with_context(|| format!("reading '{}'", resolved.display()))? {
        Resolved::Container(definition) => Ok(*definition),
        Resolved::Broken(diagnostics) => bail!("{}", diagnostics.join("\n")),
    }
}

/// systemd empties the generators' directories at a reload and fills them again: what is missing or empty now may be there in a moment
/// ([`crate::generate::write`]).
fn read_between_reloads(path: &Path) -> io::Result<String> {
    for _ in 0..20 {
        match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(text) if text.is_empty() => {}
            result => return result,
        }
        sleep(Duration::from_millis(50));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread::{self, sleep};
    use std::time::Duration;

    use super::read_between_reloads;

    #[test]
    fn what_is_not_written_yet_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.json");
        let read = thread::scope(|scope| {
            let reader = scope.spawn(|| read_between_reloads(&path));
            fs::write(&path, "").unwrap();
            sleep(Duration::from_millis(80));
            fs::write(&path, "text").unwrap();
            reader.join().unwrap()
        });
        assert_eq!(read.unwrap(), "text");
    }
}
