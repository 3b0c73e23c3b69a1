//! What the payload is: its program and arguments, environment, directory, user and rights.

use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::image::Config;

use crate::definition::{Activation, Definition, Notify};
use crate::plan::capability::capabilities;
use crate::plan::specifier::Specifiers;
use crate::plan::{Grant, Surroundings, volume};
use crate::sys::capability::Mask;

/// The payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The program and its arguments; the program is looked up on the payload's own `$PATH` unless it has a slash.
    pub arguments: Vec<String>,
    /// `(name, value)`, each name once. `LISTEN_PID`, `WATCHDOG_PID` and `HOME` are added where they are known.
    pub environment: Vec<(String, String)>,
    /// Absolute.
    pub working_directory: String,
    /// As written: a name or number, looked up in the container's passwd(5).
    pub user: String,
    /// As written: a name or number, looked up in the container's group(5); `None` means the user's own.
    pub group: Option<String>,
    /// As written: names or numbers, looked up in the container's group(5).
    pub additional_groups: Vec<String>,
    /// The bounding set, and what a root payload has.
    pub capabilities: Mask,
}

/// The first descriptor that sd_listen_fds(3) speaks of.
pub const FIRST_DESCRIPTOR: usize = 3;

/// Where the payload finds the notify socket with `Notify=yes`: the place of systemd's container interface.
pub const NOTIFY_SOCKET: &str = "/run/host/notify";

/// Variables that name a process: none but the payload's own, which is known once there is one.
const OF_A_PROCESS: [&str; 3] = ["LISTEN_PID", "LISTEN_PIDFDID", "WATCHDOG_PID"];

/// Variables that hold for the payload as they do for the shim.
const PASSED_ON: [&str; 2] = ["INVOCATION_ID", "JOURNAL_STREAM"];

/// Where the one who has connected is, where systemd accepts.
const OF_THE_PEER: [&str; 2] = ["REMOTE_ADDR", "REMOTE_PORT"];

/// Decides the payload.
///
/// # Errors
/// Nothing to run; an unknown specifier, capability or `{fd:NAME}`.
pub fn process(
    definition: &Definition,
    image: Option<&Config>,
    specifiers: &Specifiers<'_>,
    surroundings: &Surroundings<'_>,
    sockets: &[Grant],
    activation: Activation,
    notify: Notify,
) -> Result<Process> {
    let container = &definition.container;
    let value = |text: &str| -> Result<String> {
        let text = specifiers.expand(text)?;
        if activation == Activation::Inherit {
            insert_descriptors(&text, sockets)
        } else {
            Ok(text)
        }
    };

    let mut arguments = Vec::new();
    for argument in container.entrypoint.iter().chain(&container.exec).flatten() {
        arguments.push(value(argument).context("reading 'Exec' and 'Entrypoint'")?);
    }
    let arguments = merge_arguments(definition, image, arguments)?;

    let mut environment = vec![
        (
            "PATH".to_owned(),
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        ),
        ("container".to_owned(), "coracle".to_owned()),
    ];
    let passed = |name: &str| surroundings.environment.iter().find(|(key, _)| key == name).cloned();
    environment.extend(PASSED_ON.into_iter().filter_map(passed));
    if activation == Activation::Accept {
        environment.extend(OF_THE_PEER.into_iter().filter_map(passed));
    }
    for entry in image.and_then(|c| c.env().as_ref()).into_iter().flatten() {
        let (name, value) = entry
            .split_once('=')
            .with_context(|| format!("the image's environment has '{entry}'"))?;
        set(&mut environment, name, value.to_owned());
    }
    let zone = container.timezone.as_deref();
    if let Some(zone) = if zone == Some("local") {
        surroundings.local_zone
    } else {
        zone
    } {
        set(&mut environment, "TZ", zone.to_owned());
    }
    for (name, value) in surroundings.environment_files {
        set(&mut environment, name, value.clone());
    }
    for (name, text) in &container.environment {
        let text = value(text).with_context(|| format!("reading '{name}' in 'Environment'"))?;
        set(&mut environment, name, text);
    }
    environment.retain(|(name, _)| !OF_A_PROCESS.contains(&name.as_str()));
    if activation.hands_over() && !sockets.is_empty() {
        set(&mut environment, "LISTEN_FDS", sockets.len().to_string());
        let names: Vec<&str> = sockets.iter().map(|grant| grant.name.as_str()).collect();
        set(&mut environment, "LISTEN_FDNAMES", names.join(":"));
    }
    if volume::credentials(container, surroundings).is_some() {
        set(
            &mut environment,
            "CREDENTIALS_DIRECTORY",
            volume::CREDENTIALS.to_owned(),
        );
    }
    if notify == Notify::Yes {
        set(&mut environment, "NOTIFY_SOCKET", NOTIFY_SOCKET.to_owned());
        if let Some((name, timeout)) = passed("WATCHDOG_USEC") {
            set(&mut environment, &name, timeout);
        }
    }

    let (user, group) = user(definition, image, specifiers)?;
    let mut additional_groups = Vec::new();
    for group in &container.group_add {
        additional_groups.push(specifiers.expand(group).context("expanding 'GroupAdd'")?);
    }
    let directory = container
        .working_dir
        .clone()
        .or_else(|| image.and_then(|c| c.working_dir().clone()));
    let working_directory = match directory.as_deref() {
        None | Some("") => "/".to_owned(),
        Some(directory) => specifiers.expand(directory).context("expanding 'WorkingDir'")?,
    };
    ensure!(
        working_directory.starts_with('/'),
        "the working directory '{working_directory}' is not absolute"
    );
    let capabilities = capabilities(&container.add_capability, &container.drop_capability)?;
    Ok(Process {
        arguments,
        environment,
        working_directory,
        user,
        group,
        additional_groups,
        capabilities,
    })
}

impl Process {
    /// Tells the payload of descriptors that come behind its sockets, if it has those: what it has left in its last run, under these names.
    pub fn announce(&mut self, names: &[&str]) {
        if names.is_empty() {
            return;
        }
        let known = |name: &str| self.environment.iter().find(|(known, _)| known == name);
        let before = known("LISTEN_FDNAMES").map(|(_, names)| names.clone());
        let all = before.iter().map(String::as_str).chain(names.iter().copied());
        let all = all.collect::<Vec<_>>().join(":");
        set(&mut self.environment, "LISTEN_FDS", all.split(':').count().to_string());
        set(&mut self.environment, "LISTEN_FDNAMES", all);
    }
}

/// Entrypoint and command as the container world puts them together: an `Entrypoint=` of the definition drops the image's command.
fn merge_arguments(definition: &Definition, image: Option<&Config>, own: Vec<String>) -> Result<Vec<String>> {
    let of_image = |part: fn(&Config) -> &Option<Vec<String>>| image.and_then(|c| part(c).clone()).unwrap_or_default();
    let container = &definition.container;
    let arguments = match (&container.entrypoint, &container.exec) {
        (Some(_), _) => own,
        (None, Some(_)) => [of_image(Config::entrypoint), own].concat(),
        (None, None) => [of_image(Config::entrypoint), of_image(Config::cmd)].concat(),
    };
    match arguments.first().map(String::as_str) {
        None | Some("") => bail!("there is no program to run: set 'Exec' or 'Entrypoint' in [Container]"),
        Some(_) if arguments.iter().any(|argument| argument.contains('\0')) => bail!("an argument has a NUL byte"),
        Some(_) => Ok(arguments),
    }
}

/// `User=`, `Group=`, and the image's `USER[:GROUP]`, which a `User=` replaces as a whole.
fn user(
    definition: &Definition,
    image: Option<&Config>,
    specifiers: &Specifiers<'_>,
) -> Result<(String, Option<String>)> {
    let container = &definition.container;
    let written = match &container.user {
        Some(user) => specifiers.expand(user).context("expanding 'User'")?,
        None => image.and_then(|c| c.user().clone()).unwrap_or_default(),
    };
    let (user, group) = match written.split_once(':') {
        Some((user, group)) => (user.to_owned(), Some(group.to_owned())),
        None => (written, None),
    };
    let user = if user.is_empty() { "0".to_owned() } else { user };
    let group = match &container.group {
        Some(group) => Some(specifiers.expand(group).context("expanding 'Group'")?),
        None => group,
    };
    Ok((user, group))
}

/// Replaces `{fd:NAME}` by the number of the first descriptor of that name.
fn insert_descriptors(text: &str, sockets: &[Grant]) -> Result<String> {
    let mut inserted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{fd:") {
        let Some((name, after)) = after.split_once('}') else {
            bail!("'{text}' has a '{{fd:' without its '}}'")
        };
        let Some(position) = sockets.iter().position(|grant| grant.name == name) else {
            let known: Vec<String> = sockets.iter().map(|grant| format!("'{}'", grant.name)).collect();
            bail!("'{{fd:{name}}}' names no socket; there is {}", known.join(", "));
        };
        inserted.push_str(before);
        inserted.push_str(&(FIRST_DESCRIPTOR + position).to_string());
        rest = after;
    }
    inserted.push_str(rest);
    Ok(inserted)
}

/// Sets a variable, in the place of one of the same name.
pub fn set(environment: &mut Vec<(String, String)>, name: &str, value: String) {
    match environment.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => environment.push((name.to_owned(), value)),
    }
}
