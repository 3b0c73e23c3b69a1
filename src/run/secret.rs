//! Secrets: what systemd has put below `$CREDENTIALS_DIRECTORY` for the service (systemd.exec(5), "Credentials"), handed to the program.
//!
//! As a file, a secret lies in a ramfs, which is never written to disk or swapped out, and belongs to the program's user: the shim makes it with
//! the container's root as its owner, and the container gives it away. It never becomes a part of the plan, and is never printed.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::plan::Plan;
use crate::plan::mount::Kind;
use crate::plan::volume::SecretFile;
use crate::run::label;
use crate::run::staging::{SECRETS, Staging};
use crate::sys::mount::{Depth, Filesystem, clone_tree};

/// What systemd takes for all credentials of a service together.
const LIMIT: u64 = 1 << 20;

/// What execve(2) takes for one variable, its name included.
const VARIABLE_MAX: usize = 128 << 10;

/// Where systemd has put them.
pub const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// The secrets of one start, by the number of their mount.
#[derive(Debug, Default)]
pub struct Secrets(Vec<(u16, Vec<Secret>)>);

/// A name and a content.
type Secret = (String, Vec<u8>);

/// The names of the service's credentials.
///
/// # Errors
/// The directory cannot be read.
pub fn names(environment: &[(String, String)]) -> Result<Vec<String>> {
    let Some((_, directory)) = environment.iter().find(|(name, _)| name == DIRECTORY) else {
        return Ok(Vec::new());
    };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("reading '{directory}'"))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(
            entry
                .with_context(|| format!("reading '{directory}'"))?
                .file_name()
                .into_string(),
        );
    }
    names.sort();
    Ok(names)
}

/// Sets the variables that hold secrets.
///
/// # Errors
/// A secret is missing, or cannot be a variable's value.
pub fn set_variables(plan: &mut Plan) -> Result<()> {
    for (variable, name) in &plan.secret_variables {
        let content = read(plan, name)?;
        let value = String::from_utf8(content)
            .ok()
            .filter(|value| !value.contains('\0'))
            .with_context(|| format!("the secret '{name}' is no text, as a variable has to be: use 'type=mount'"))?;
        ensure!(
            value.len() + variable.len() + 2 <= VARIABLE_MAX,
            "the secret '{name}' is too long for a variable: use 'type=mount'"
        );
        let environment = &mut plan.process.environment;
        environment.retain(|(known, _)| known != variable);
        environment.push((variable.clone(), value));
    }
    Ok(())
}

impl Secrets {
    /// Reads all that `plan` mounts.
    ///
    /// # Errors
    /// One is missing.
    pub fn read(plan: &Plan) -> Result<Self> {
        let mut secrets = Self::default();
        for (number, mount) in (0_u16..).zip(&plan.mounts) {
            let names = match &mount.kind {
                Kind::Secret(secret) => std::slice::from_ref(&secret.name),
                Kind::Credentials(names) => names.as_slice(),
                _ => continue,
            };
            let content = |name: &String| Ok((name.clone(), read(plan, name)?));
            secrets
                .0
                .push((number, names.iter().map(content).collect::<Result<_>>()?));
        }
        Ok(secrets)
    }

    /// The file of the plan's mount `number`, as a mount of its own. `staging` is mounted in the container's namespace.
    ///
    /// # Errors
    /// What the kernel says of the file.
    pub fn file(&self, number: u16, secret: &SecretFile, staging: &Staging) -> Result<OwnedFd> {
        let directory = staging.secrets()?;
        let name = format!("{SECRETS}{number}");
        let content = self.of(number).first().map_or(&[][..], |(_, content)| content);
        write(&directory, &name, content, secret.mode)?;
        let file = openat(
            &directory,
            name.as_str(),
            OFlag::O_PATH | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        Ok(clone_tree(file.as_fd(), Depth::Mount)?)
    }

    /// The directory of the plan's mount `number`.
    ///
    /// # Errors
    /// What the kernel says of a file.
    pub fn directory(&self, number: u16, context: Option<&str>) -> Result<OwnedFd> {
        let directory = memory(context)?;
        for (name, content) in self.of(number) {
            write(&directory, name, content, 0o400)?;
        }
        nix::sys::stat::fchmodat(
            &directory,
            ".",
            Mode::from_bits_truncate(0o500),
            nix::sys::stat::FchmodatFlags::FollowSymlink,
        )?;
        Ok(directory)
    }

    fn of(&self, number: u16) -> &[Secret] {
        let found = self.0.iter().find(|(of, _)| *of == number);
        found.map_or(&[], |(_, contents)| contents)
    }
}

/// A file system in memory that is never swapped out, with all files in the SELinux `context` if there is one.
///
/// # Errors
/// What fsmount(2) says.
pub fn memory(context: Option<&str>) -> Result<OwnedFd> {
    let filesystem = Filesystem::open("ramfs")?;
    label::files(&filesystem, context)?;
    Ok(filesystem.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?)
}

fn write(directory: &OwnedFd, name: &str, content: &[u8], mode: u32) -> Result<()> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let name = CString::new(name)?;
    let file = openat(directory, name.as_c_str(), flags, Mode::from_bits_truncate(mode))?;
    Ok(File::from(file).write_all(content)?)
}

fn read(plan: &Plan, name: &str) -> Result<Vec<u8>> {
    let missing = || {
        format!(
            "the secret '{name}' is missing: put it into '/etc/credstore/{name}', or encrypted with systemd-creds(1) into \
             '/etc/credstore.encrypted/{name}', or name another source with 'LoadCredential=' in [Service]"
        )
    };
    let directory = plan.credentials_directory.as_deref().with_context(missing)?;
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(Path::new(directory).join(name));
    let file = match open {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(missing()),
        file => file.with_context(|| format!("reading the secret '{name}'"))?,
    };
    ensure!(file.metadata()?.is_file(), "the secret '{name}' is not a file");
    let mut content = Vec::new();
    file.take(LIMIT + 1)
        .read_to_end(&mut content)
        .with_context(|| format!("reading the secret '{name}'"))?;
    ensure!(
        content.len() as u64 <= LIMIT,
        "the secret '{name}' is longer than 1 MiB"
    );
    Ok(content)
}
