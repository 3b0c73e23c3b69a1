//! What is to be known of a running container to reach into it: its init, its definition, its control group.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cli::scope::Scope;
use crate::cli::units;
use crate::systemd::{Manager, cgroup, control, scope};

/// How long a container may take to start.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose containers are reached into. Nobody but root reaches into the system's, so everybody else means their own.
pub(super) fn scope(of_user: bool) -> Scope {
    Scope {
        user: of_user || !nix::unistd::geteuid().is_root(),
        root: None,
    }
}

/// The container of this name.
///
/// # Errors
/// There is none.
pub(super) fn find(scope: &Scope, name: &str) -> Result<units::Container> {
    let found = units::find(scope, name);
    match scope.user && !nix::unistd::geteuid().is_root() {
        true => found.context("looking among your own containers, since the system's are root's alone (sudo)"),
        false => found,
    }
}

/// Puts this process where it may have another one born in the control group `group` of a user's container. Out of a session's group, which is the
/// system's, no user can do that, so it becomes a scope of the user's manager.
///
/// # Errors
/// The manager refuses it.
pub(super) fn come_near(group: &Path, name: &str) -> Result<()> {
    if cgroup::may_enter(group) {
        return Ok(());
    }
    let own = std::process::id();
    let description = format!("A command in the container {name}");
    scope::join(Manager::User, &format!("coracle-exec-{own}.scope"), &description, own)
}

/// The container's init. One that just starts is waited for.
pub(super) fn main_process(manager: Manager, container: &units::Container) -> Result<control::Main> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let main = control::main_process(manager, &container.unit)?;
        let Some(main) = main else {
            let user = if manager == Manager::User { " --user" } else { "" };
            bail!(
                "'{}' is not running: 'systemctl{user} start {}' starts it",
                container.name,
                container.unit
            );
        };
        let name = fs::read_to_string(format!("/proc/{}/comm", main.pid)).unwrap_or_default();
        if name.trim_end() == "coracle-init" {
            return Ok(main);
        }
        ensure!(
            Instant::now() < deadline,
            "'{}' does not get ready to be entered; its unit is '{}'",
            container.name,
            container.unit
        );
        sleep(Duration::from_millis(20));
    }
}

/// The resolved definition that the container was started with.
pub(super) fn resolved(main: &control::Main) -> Result<PathBuf> {
    let words = main.arguments.iter().skip(1).map(String::as_str);
    let path = words
        .filter(|word| !word.starts_with('-'))
        .find(|word| word.ends_with(".json"));
    path.map(PathBuf::from)
        .context("the unit's ExecStart= names no definition")
}

/// The directory of the control group that init is in: the unit's, or one below where the container has made some.
pub(super) fn group(main: &control::Main) -> Result<PathBuf> {
    let path = format!("/proc/{}/cgroup", main.pid);
    let text = fs::read_to_string(&path).with_context(|| format!("reading '{path}'"))?;
    let group = text
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .context("there is no control group")?;
    ensure!(
        group
            .strip_prefix(&main.control_group)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        "the container has just ended"
    );
    let directory = cgroup::directory(group);
    let frozen = fs::read_to_string(directory.join("cgroup.events")).unwrap_or_default();
    ensure!(
        !frozen.lines().any(|line| line == "frozen 1"),
        "the container is frozen: 'systemctl thaw' lets it go on"
    );
    Ok(directory)
}
