//! The birth of a process in namespaces: new ones, those of other processes, or both.
//!
//! New ones are made with the process, in one clone3(2). To join others takes a helper that goes there first and then has a sibling; it is
//! the command's child all the same. Joined first is what needs the host's rights, the user namespace last.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Pid;

use crate::oci::plan::namespace::Kind;
use crate::sys::process::{Parent, clone_process, exit, wait_for};

/// Where a process is born.
#[derive(Debug, Default)]
pub struct Birth {
    /// `CLONE_NEW…` of the namespaces that are made for it.
    pub new: libc::c_int,
    /// The namespaces that it joins.
    pub joined: Vec<(Kind, OwnedFd)>,
    /// The clocks of a new time namespace.
    pub offsets: Vec<String>,
    /// The directory of its control group.
    pub cgroup: Option<OwnedFd>,
}

impl Birth {
    /// Forks: returns `None` in the new process and its id in the old one.
    ///
    /// # Errors
    /// What the kernel says of the namespaces.
    pub fn give(self) -> Result<Option<Pid>> {
        // A process cannot be born into a new time namespace, only its maker's children can: its clocks are set before.
        let clocks = self.new & libc::CLONE_NEWTIME != 0;
        if self.joined.is_empty() && !clocks {
            let cgroup = self.cgroup.as_ref().map(|cgroup| cgroup.as_fd());
            return clone_process(self.new, Parent::Caller, cgroup).context("creating the namespaces (clone3)");
        }
        let (number, told) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        match clone_process(0, Parent::Caller, None).context("creating a process (clone3)")? {
            None => {
                drop(number);
                let mut told = File::from(told);
                match self.join_and_bear() {
                    // The process itself; the helper's end of the pipe is not its business.
                    Ok(None) => return Ok(None),
                    Ok(Some(pid)) => {
                        let _ = told.write_all(pid.to_string().as_bytes());
                    }
                    Err(error) => {
                        let _ = told.write_all(format!("{error:#}").as_bytes());
                    }
                }
                exit(0)
            }
            Some(helper) => {
                drop(told);
                let mut text = String::new();
                File::from(number).read_to_string(&mut text)?;
                wait_for(helper)?;
                match text.parse() {
                    Ok(pid) => Ok(Some(Pid::from_raw(pid))),
                    Err(_) if text.is_empty() => bail!("the process that joins the namespaces has died"),
                    Err(_) => bail!("{text}"),
                }
            }
        }
    }

    fn join_and_bear(self) -> Result<Option<Pid>> {
        let (users, others): (Vec<_>, Vec<_>) = self.joined.into_iter().partition(|(kind, _)| *kind == Kind::User);
        if self.new & libc::CLONE_NEWTIME != 0 {
            unshare(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME)).context("creating the time namespace")?;
            let mut file = File::options()
                .write(true)
                .open("/proc/self/timens_offsets")
                .context("opening the clocks")?;
            for line in &self.offsets {
                file.write_all(line.as_bytes())
                    .with_context(|| format!("setting a clock to '{}'", line.trim_end()))?;
            }
        }
        for (kind, namespace) in others.iter().chain(&users) {
            setns(namespace, CloneFlags::from_bits_retain(kind.flag()))
                .with_context(|| format!("joining the namespace '{}'", kind.name()))?;
        }
        let cgroup = self.cgroup.as_ref().map(|cgroup| cgroup.as_fd());
        let new = self.new & !libc::CLONE_NEWTIME;
        clone_process(new, Parent::OfCaller, cgroup).context("creating the namespaces (clone3)")
    }
}

/// Opens the namespaces at paths.
///
/// # Errors
/// One is not there, or is of another type.
pub fn open(joined: &[(Kind, std::path::PathBuf)]) -> Result<Vec<(Kind, OwnedFd)>> {
    let open = |(kind, path): &(Kind, std::path::PathBuf)| {
        let opened = || -> Result<OwnedFd> {
            let file = File::open(path)?;
            let found = crate::sys::namespace::kind(file.as_fd()).context("it is no namespace")?;
            anyhow::ensure!(found == kind.flag(), "it is a namespace of another type");
            Ok(file.into())
        };
        let file =
            opened().with_context(|| format!("opening the namespace '{}' at '{}'", kind.name(), path.display()))?;
        Ok((*kind, file))
    };
    joined.iter().map(open).collect()
}
