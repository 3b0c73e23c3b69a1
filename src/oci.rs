//! The OCI runtime command line: containers from bundles, driven by others' engines (runtime-spec runtime.md, config.md).
//!
//! `coracle-oci` stands beside the shim. A bundle is not a definition: the caller says what is mounted, which namespaces are new, which
//! rights the payload has, and the payload is the container's first process, without an init of ours. So it has a plan of its own, which
//! is pure ([`plan`]), and the steps that make a container safe are the same code as in every other: mounts on descriptors, paths that are
//! looked up without leaving the root, rights in one order, filters of our own compiler.
//!
//! `create` has a process born into the container's namespaces ([`birth`]), lends it what is the host's ([`lend`]), and leaves it waiting at a
//! socket, with everything done but the execution ([`build`]). `start` connects to that socket. What is kept between commands is one
//! directory ([`container`]). Nothing stays beside the container: its engine is its parent.

pub mod affinity;
pub mod agent;
pub mod arguments;
pub mod birth;
pub mod build;
pub mod cgroup;
pub mod channel;
pub mod closing;
pub mod config;
pub mod console;
pub mod container;
pub mod copy_up;
pub mod create;
pub mod end;
pub mod exec;
pub mod features;
pub mod foreground;
pub mod hook;
pub mod lend;
pub mod log;
pub mod mounting;
pub mod nodes;
pub mod plan;
pub mod process;
pub mod relay;
pub mod seal;
pub mod start;
pub mod state;
pub mod unmounting;
pub mod update;

use std::fs;
use std::io::{self, Write as _};
use std::mem;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{CommandFactory as _, Parser as _};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::oci::arguments::{Arguments, CgroupManager, Format, Verb};
use crate::oci::build::Entry;
use crate::oci::cgroup::place::Manager;
use crate::oci::channel::Message;
use crate::oci::console::Way;
use crate::oci::container::Directory;
use crate::oci::create::{Keyring, Made, Request, Start, Terminal, create};
use crate::oci::end::{Force, Whom};
use crate::oci::log::{Level, say};

/// The whole program. Exit status 0: done; 1: failed; 2: the command line was wrong; `run` and `exec` end as their process ended.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let warn = |errors: Vec<anyhow::Error>| {
        for error in errors {
            say(
                arguments.log.as_deref(),
                arguments.log_format,
                Level::Warning,
                &format!("{error:#}"),
            );
        }
    };
    match carry_out(&arguments, &warn) {
        Ok(status) => ExitCode::from(status),
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(
                arguments.log.as_deref(),
                arguments.log_format,
                Level::Error,
                &format!("{error:#}"),
            );
            ExitCode::FAILURE
        }
    }
}

fn carry_out(arguments: &Arguments, warn: &dyn Fn(Vec<anyhow::Error>)) -> Result<u8> {
    if arguments.version {
        let (version, spec) = (env!("CARGO_PKG_VERSION"), container::VERSION);
        return print(&[format!("coracle-oci version {version}"), format!("spec: {spec}")]);
    }
    let Some(verb) = &arguments.verb else {
        let mut command = Arguments::command();
        return print(&[command.render_help().to_string()]);
    };
    match verb {
        Verb::Features => return print_json(&features::features()),
        Verb::Spec(spec) => return features::write_spec(&spec.bundle).map(|()| 0),
        Verb::List(list) => {
            let states = state::list(&arguments.root)?;
            let names = || {
                states
                    .iter()
                    .filter_map(|state| state.get("id")?.as_str().map(str::to_owned))
            };
            return match list.format {
                _ if list.quiet => print(&names().collect::<Vec<_>>()),
                Format::Json => print_json(&Value::from(states)),
                Format::Table => print(&state::table(&states)),
            };
        }
        _ if !nix::unistd::geteuid().is_root() => {
            bail!(
                "only root can do this: containers without root are started by 'coracle run' and the user's own systemd"
            )
        }
        _ => {}
    }
    let directory = |id: &str| Directory::of(&arguments.root, id);
    match verb {
        Verb::Create(options) => {
            let mut made = create(request(arguments, options, Start::Later)?)?;
            warn(mem::take(&mut made.warnings));
            finish(&made, options.pid_file.as_deref())?;
            Ok(0)
        }
        Verb::Start(name) => {
            warn(start::start(&directory(&name.id)?)?);
            Ok(0)
        }
        Verb::Run(options) => foreground::run(arguments, options, warn),
        Verb::State(name) => print_json(&state::state(&directory(&name.id)?)?),
        Verb::Kill(kill) => {
            let whom = if kill.all { Whom::All } else { Whom::First };
            end::kill(&directory(&kill.id)?, &kill.signal, whom).map(|()| 0)
        }
        Verb::Delete(delete) => {
            let force = if delete.force { Force::Yes } else { Force::No };
            warn(end::delete(&directory(&delete.id)?, force)?);
            Ok(0)
        }
        Verb::Exec(exec) => exec::exec(&directory(&exec.id)?, exec, warn),
        Verb::Pause(name) => update::pause(&directory(&name.id)?).map(|()| 0),
        Verb::Resume(name) => update::resume(&directory(&name.id)?).map(|()| 0),
        Verb::Update(options) => update::update(&directory(&options.id)?, options).map(|()| 0),
        Verb::Ps(ps) => {
            let record = directory(&ps.id)?.read()?;
            let pids = || {
                record
                    .cgroup
                    .processes()
                    .into_iter()
                    .map(Pid::as_raw)
                    .collect::<Vec<_>>()
            };
            match ps.format {
                Format::Json => print_json(&json!(pids())),
                Format::Table => print(&state::processes(&record)),
            }
        }
        Verb::Events(events) => update::events(&directory(&events.id)?, events),
        Verb::List(_) | Verb::Features | Verb::Spec(_) => Ok(0),
    }
}

/// What `create` and `run` ask for.
fn request(arguments: &Arguments, options: &arguments::Create, start: Start) -> Result<Request> {
    let manager = match arguments.cgroup_manager {
        _ if arguments.systemd_cgroup => Manager::Systemd,
        None | Some(CgroupManager::Cgroupfs) => Manager::Cgroupfs,
        Some(CgroupManager::Systemd) => Manager::Systemd,
        Some(CgroupManager::Disabled) => Manager::Disabled,
    };
    Ok(Request {
        root: arguments.root.clone(),
        id: options.id.clone(),
        bundle: options.bundle.clone(),
        console: options.console_socket.clone().map(Way::At),
        terminal: Terminal::Others,
        descriptors: options.preserve_fds.into(),
        entry: if options.no_pivot { Entry::Move } else { Entry::Pivot },
        keyring: if options.no_new_keyring {
            Keyring::Callers
        } else {
            Keyring::New
        },
        manager,
        start,
    })
}

/// The container is complete: from now on it lives without this process.
fn finish(made: &Made, pid_file: Option<&Path>) -> Result<()> {
    write_pid(pid_file, made.pid)?;
    made.channel.tell(Message::Kept);
    Ok(())
}

/// Writes a process's number for the engine, which may look at any moment.
fn write_pid(file: Option<&Path>, pid: Pid) -> Result<()> {
    let Some(path) = file else { return Ok(()) };
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let written = fs::write(&new, pid.to_string()).and_then(|()| fs::rename(&new, path));
    written.with_context(|| format!("writing '{}'", path.display()))
}

fn print(lines: &[String]) -> Result<u8> {
    let mut output = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(output, "{line}"))?;
    Ok(0)
}

fn print_json(value: &Value) -> Result<u8> {
    print(&[format!("{value:#}")])
}
