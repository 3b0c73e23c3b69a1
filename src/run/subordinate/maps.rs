//! Maps of identities, and how a user without rights gives them to a namespace: by the two programs that have the right.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::{Pid, getegid, geteuid};

use crate::run::subordinate::kind::Kind;
use crate::sys::user::{self, Extent};

/// Which users and groups of the host a container's are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maps {
    /// The users.
    pub users: Vec<Extent>,
    /// The groups.
    pub groups: Vec<Extent>,
}

impl Maps {
    /// Whether nobody but the user is in them, which takes no right at all.
    fn is_alone(&self) -> bool {
        let is_one = |extents: &[Extent], own: u32| matches!(extents, [one] if (one.outside, one.count) == (own, 1));
        is_one(&self.users, geteuid().as_raw()) && is_one(&self.groups, getegid().as_raw())
    }

    /// Gives them to the new user namespace of process `pid`.
    ///
    /// # Errors
    /// What newuidmap(1) or newgidmap(1) says, or that they are missing.
    pub fn give(&self, pid: Pid) -> Result<()> {
        if self.is_alone() {
            user::deny_groups(pid).context("forbidding groups")?;
            return Ok(user::map_identities(pid, &self.users, &self.groups)?);
        }
        // Both at once: each takes longer than all else that there is to do meanwhile.
        let running = [
            (Kind::Users, start(Kind::Users, pid, &self.users)?),
            (Kind::Groups, start(Kind::Groups, pid, &self.groups)?),
        ];
        running.into_iter().try_for_each(|(kind, child)| finish(kind, child))
    }
}

fn start(kind: Kind, pid: Pid, extents: &[Extent]) -> Result<Child> {
    let numbers = extents.iter().flat_map(|one| [one.inside, one.outside, one.count]);
    let program = kind.program();
    Command::new(program)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!(
                "executing '{program}', which is needed to run containers without root: install it (Debian: uidmap; Fedora: shadow-utils)"
            )
        })
}

fn finish(kind: Kind, child: Child) -> Result<()> {
    let program = kind.program();
    let output = child.wait_with_output();
    let output = output.with_context(|| format!("waiting for '{program}'"))?;
    ensure!(
        output.status.success(),
        "'{program}' refuses the map: {} (see '{}' and subuid(5); the program needs its setuid bit, and a unit without 'NoNewPrivileges=')",
        String::from_utf8_lossy(&output.stderr).trim(),
        kind.file()
    );
    Ok(())
}
