//! The identities of a user's containers: the user's own, and those that the administrator has lent to them (subuid(5), subgid(5)).
//!
//! Without root a process can map nobody but its own user into a namespace. What others there are is decided by `newuidmap` and
//! `newgidmap`, which have the right to map what stands beside the user's name in `/etc/subuid` and `/etc/subgid`, and refuse everything
//! else. So nothing that is computed here is trusted by anybody: it is a proposal, and a clear word before they have to say theirs.
//!
//! The container's root is the user. Files of images lie in the user's store with these very identities ([`enter`]), so that no mount has
//! to map them, which no user could do.

pub mod service;

use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::{Pid, getegid, geteuid};

use crate::definition::UserNamespace;
use crate::sys::user::{self, Extent, Holder};

/// Which users and groups of the host a container's are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maps {
    /// The users.
    pub users: Vec<Extent>,
    /// The groups.
    pub groups: Vec<Extent>,
}

/// A user of the host, and what was lent to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    name: String,
    users: Lent,
    groups: Lent,
}

/// One's own identity, and those that one may use besides.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lent {
    own: u32,
    /// First one and count.
    runs: Vec<(u32, u32)>,
    kind: Kind,
    /// The source of the name service that has said so, if it was not a file.
    source: Option<String>,
}

/// Of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Users,
    Groups,
}

impl Kind {
    fn file(self) -> &'static str {
        match self {
            Self::Users => "/etc/subuid",
            Self::Groups => "/etc/subgid",
        }
    }

    /// What makes `getsubids` speak of it.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Users => &[],
            Self::Groups => &["-g"],
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Users => "newuidmap",
            Self::Groups => "newgidmap",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Users => "UIDMap",
            Self::Groups => "GIDMap",
        }
    }
}

impl Account {
    /// The user that this process runs as.
    #[must_use]
    pub fn of_this_process() -> Self {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let variable = |name: &str| std::env::var(name).ok().filter(|name| !name.is_empty());
        // One who is not in the file comes from elsewhere; what logs in sets the name.
        let name = name_of(&passwd, user)
            .or_else(|| variable("USER"))
            .or_else(|| variable("LOGNAME"));
        let name = name.unwrap_or_else(|| user.to_string());
        let source = service::source();
        let lent = |kind: Kind, own| {
            let runs = match &source {
                Some(_) => service::ask(&name, kind.options()),
                None => runs_of(&fs::read_to_string(kind.file()).unwrap_or_default(), &name, user),
            };
            let runs = without(own, &runs).into_iter().take(RUNS_MAX).collect();
            let source = source.clone();
            Lent {
                own,
                runs,
                kind,
                source,
            }
        };
        Self {
            users: lent(Kind::Users, user),
            groups: lent(Kind::Groups, group),
            name,
        }
    }

    /// The maps of a container with this user namespace.
    ///
    /// # Errors
    /// What the user has no right to, with what would give it.
    pub fn maps(&self, namespace: &UserNamespace) -> Result<Maps> {
        match namespace {
            UserNamespace::Auto => Ok(Maps {
                users: self.around(&self.users, 0)?,
                groups: self.around(&self.groups, 0)?,
            }),
            UserNamespace::KeepId { user, group } => Ok(Maps {
                users: self.around(&self.users, user.unwrap_or(self.users.own))?,
                groups: self.around(&self.groups, group.unwrap_or(self.groups.own))?,
            }),
            UserNamespace::Mapped { users, groups } => {
                self.users.check(users)?;
                self.groups.check(groups)?;
                Ok(Maps {
                    users: users.clone(),
                    groups: groups.clone(),
                })
            }
            UserNamespace::Host => bail!(
                "'UserNS=host' needs root: without it a container must have users of its own. Leave 'UserNS' out, and the container's root \
                 is you"
            ),
        }
    }

    /// The own identity as `inside`, and all others around it in their order.
    fn around(&self, lent: &Lent, inside: u32) -> Result<Vec<Extent>> {
        let (file, name) = (lent.kind.file(), &self.name);
        if let Some(source) = &lent.source {
            ensure!(
                !lent.runs.is_empty(),
                "the source '{source}', which '/etc/nsswitch.conf' names for 'subid', lends nothing to '{name}' (try 'getsubids {name}'; Debian: \
                 uidmap, Fedora: shadow-utils), and a container has more users than one: let an administrator lend some there"
            );
        }
        ensure!(
            !lent.runs.is_empty(),
            "'{file}' lends nothing to '{name}' ({}), and a container has more users than one: let an administrator do 'usermod \
             --add-subuids 100000-165535 --add-subgids 100000-165535 {name}', with numbers that nobody else has; or map yourself alone, with \
             UIDMap = \"0:{}:1\" and GIDMap = \"0:{}:1\", over a 'Rootfs'",
            self.users.own,
            self.users.own,
            self.groups.own,
        );
        Ok(arrange(lent.own, inside, &lent.runs))
    }
}

impl Lent {
    /// Whether a map that was written by hand takes nothing that is not the user's.
    fn check(&self, extents: &[Extent]) -> Result<()> {
        for extent in extents {
            let end = u64::from(extent.outside) + u64::from(extent.count);
            let is_own = (extent.outside, extent.count) == (self.own, 1);
            let is_lent =
                |&(start, count): &(u32, u32)| extent.outside >= start && end <= u64::from(start) + u64::from(count);
            ensure!(
                is_own || self.runs.iter().any(is_lent),
                "'{}' takes {} to {} of the host, which are not yours: '{}' lends you {}, and {} is yourself",
                self.kind.key(),
                extent.outside,
                end - 1,
                self.source.as_deref().unwrap_or(self.kind.file()),
                self.describe(),
                self.own
            );
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let run = |(start, count): &(u32, u32)| format!("{start} to {}", start.saturating_add(count - 1));
        match self.runs.as_slice() {
            [] => "nothing".to_owned(),
            runs => runs.iter().map(run).collect::<Vec<_>>().join(", "),
        }
    }
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
        for (kind, child) in running {
            let program = kind.program();
            let output = child
                .wait_with_output()
                .with_context(|| format!("waiting for '{program}'"))?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.success(),
                "'{program}' refuses the map: {} (see '{}' and subuid(5); the program needs its setuid bit, and a unit without \
                 'NoNewPrivileges=')",
                said.trim(),
                kind.file()
            );
        }
        Ok(())
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

/// Moves this process into a user namespace in which it is root, and in which all identities of its user are: only there can files be given
/// to them, or be removed that are theirs. Paths are what they were.
///
/// # Errors
/// As [`Account::maps`] and [`Maps::give`]; or the host does not let users have namespaces.
pub fn enter() -> Result<()> {
    enter_as(&UserNamespace::Auto)
}

/// The same for a container that sees its users in another way.
///
/// # Errors
/// As [`enter`].
pub fn enter_as(namespace: &UserNamespace) -> Result<()> {
    let maps = Account::of_this_process().maps(namespace)?;
    let holder = Holder::start().context(NOT_ALLOWED)?;
    maps.give(holder.pid).context("mapping the identities of a namespace")?;
    holder.join().context("entering a user namespace")?;
    user::become_root_in_own_groups().context("becoming the root of a user namespace")
}

/// The same with nobody but the user in it.
///
/// # Errors
/// The host does not let users have namespaces.
pub fn enter_alone() -> Result<()> {
    let one = |own| {
        vec![Extent {
            inside: 0,
            outside: own,
            count: 1,
        }]
    };
    enter_as(&UserNamespace::Mapped {
        users: one(geteuid().as_raw()),
        groups: one(getegid().as_raw()),
    })
}

/// The same with all that the user has: nobody else, where nothing is lent to them, and then everything of theirs is their own.
///
/// # Errors
/// As [`enter`].
pub fn enter_own() -> Result<()> {
    enter().or_else(|error| enter_alone().map_err(|_| error))
}

/// What is to be said where a user may not make namespaces.
pub const NOT_ALLOWED: &str = "creating a user namespace, which the host may forbid to users (see the settings \
    'user.max_user_namespaces', 'kernel.unprivileged_userns_clone' and 'kernel.apparmor_restrict_unprivileged_userns' of sysctl(8))";

/// The name of a user in passwd(5).
fn name_of(passwd: &str, user: u32) -> Option<String> {
    let user = user.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&user))?;
    line.split(':').next().map(str::to_owned)
}

/// What a file of subuid(5) lends to a user, who stands there by name or number.
fn runs_of(text: &str, name: &str, user: u32) -> Vec<(u32, u32)> {
    let number = user.to_string();
    let run = |line: &str| {
        let mut fields = line.split(':').map(str::trim);
        let whose = fields.next()?;
        let (start, count) = (fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?);
        let is_sound = count > 0 && start.checked_add(count).is_some();
        (is_sound && (whose == name || whose == number)).then_some((start, count))
    };
    text.lines().filter_map(run).collect()
}

/// `runs` without the identity that one has anyway: nobody can be mapped twice.
fn without(own: u32, runs: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let halves = runs.iter().flat_map(|&(start, count)| match own.checked_sub(start) {
        Some(before) if before < count => [(start, before), (own + 1, count - before - 1)],
        _ => [(start, count), (0, 0)],
    });
    halves.filter(|(_, count)| *count > 0).collect()
}

/// The kernel takes 340 extents for a map.
const RUNS_MAX: usize = 300;

/// The identity `own` as `inside`, and `runs` as what is before and behind it.
fn arrange(own: u32, inside: u32, runs: &[(u32, u32)]) -> Vec<Extent> {
    let mut extents = Vec::with_capacity(runs.len() + 2);
    let mut next = 0_u32;
    let mut rest = runs.iter().copied();
    let mut current = rest.next();
    while let Some((outside, available)) = current {
        if next == inside {
            extents.push(Extent {
                inside,
                outside: own,
                count: 1,
            });
            next += 1;
        }
        let room = if next < inside { inside - next } else { u32::MAX - next };
        let count = available.min(room);
        if count == 0 {
            break;
        }
        extents.push(Extent {
            inside: next,
            outside,
            count,
        });
        next += count;
        current = match available - count {
            0 => rest.next(),
            left => Some((outside + count, left)),
        };
    }
    if next <= inside {
        extents.push(Extent {
            inside,
            outside: own,
            count: 1,
        });
    }
    extents
}

#[cfg(test)]
mod tests {
    use super::{Account, Kind, Lent, arrange, name_of, runs_of, without};
    use crate::definition::UserNamespace;
    use crate::sys::user::Extent;

    fn account(runs: &[(u32, u32)]) -> Account {
        let lent = |kind| Lent {
            own: 1000,
            runs: runs.to_vec(),
            kind,
            source: None,
        };
        Account {
            name: "anna".to_owned(),
            users: lent(Kind::Users),
            groups: lent(Kind::Groups),
        }
    }

    fn text(extents: &[Extent]) -> String {
        extents.iter().map(Extent::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn lines_count_that_have_the_users_name_or_number() {
        let file =
            "bob:1:2\nanna:100000:65536\n1000:300000:10\nanna:x:1\nanna:5\nanna:5:0\nanna:4294967295:9\n# anna:1:1\n";
        assert_eq!(runs_of(file, "anna", 1000), [(100_000, 65_536), (300_000, 10)]);
        assert_eq!(
            without(1000, &[(0, 2000), (1000, 1), (5, 2)]),
            [(0, 1000), (1001, 999), (5, 2)]
        );
        assert_eq!(
            name_of("root:x:0:0::/:\nanna:x:1000:1000::/:\n", 1000).as_deref(),
            Some("anna")
        );
    }

    #[test]
    fn the_user_is_root_and_the_others_follow() {
        assert_eq!(text(&arrange(1000, 0, &[(100_000, 65_536)])), "0:1000:1 1:100000:65536");
        assert_eq!(text(&arrange(7, 0, &[(50, 2), (90, 3)])), "0:7:1 1:50:2 3:90:3");
    }

    #[test]
    fn a_user_can_be_anywhere_between_them() {
        assert_eq!(
            text(&arrange(1000, 1000, &[(100_000, 65_536)])),
            "0:100000:1000 1000:1000:1 1001:101000:64536"
        );
        assert_eq!(text(&arrange(9, 3, &[(50, 2), (90, 3)])), "0:50:2 2:90:1 3:9:1 4:91:2");
        assert_eq!(text(&arrange(9, 2, &[(50, 2)])), "0:50:2 2:9:1");
        assert_eq!(text(&arrange(9, 7, &[(50, 2)])), "0:50:2 7:9:1");
    }

    #[test]
    fn a_map_takes_nothing_that_is_not_the_users() {
        let mapped = |outside, count| {
            let extents = vec![Extent {
                inside: 0,
                outside,
                count,
            }];
            let namespace = UserNamespace::Mapped {
                users: extents.clone(),
                groups: extents,
            };
            account(&[(100_000, 100)])
                .maps(&namespace)
                .map_err(|error| error.to_string())
        };
        assert!(mapped(1000, 1).is_ok() && mapped(100_050, 50).is_ok());
        for (outside, count) in [(0, 1), (1000, 2), (99_999, 2), (100_050, 51), (4_294_967_295, 1)] {
            let error = mapped(outside, count).expect_err("not the user's");
            assert!(
                error.contains("'UIDMap' takes") && error.contains("100000 to 100099"),
                "{error}"
            );
        }
        assert!(
            account(&[])
                .maps(&UserNamespace::Auto)
                .expect_err("nothing is lent")
                .to_string()
                .contains("usermod")
        );
        assert!(account(&[]).maps(&UserNamespace::Host).is_err());
    }
}
