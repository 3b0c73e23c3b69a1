//! A user of the host, and which identities their containers can have.

use std::env;
use std::fs;

use anyhow::{Result, bail};
use nix::unistd::{getegid, geteuid};

use crate::definition::UserNamespace;
use crate::run::subordinate::kind::Kind;
use crate::run::subordinate::lent::Lent;
use crate::run::subordinate::maps::Maps;
use crate::run::subordinate::range::arrange;
use crate::sys::user::Extent;

/// A user, and what was lent to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    name: String,
    users: Lent,
    groups: Lent,
}

impl Account {
    /// The user that this process runs as.
    #[must_use]
    pub fn of_this_process() -> Self {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        let name = name(user);
        Self {
            users: Lent::find(Kind::Users, user, &name, user),
            groups: Lent::find(Kind::Groups, group, &name, user),
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

    /// The own identity as `inside`, and all others around it.
    fn around(&self, lent: &Lent, inside: u32) -> Result<Vec<Extent>> {
        let name = &self.name;
        match &lent.source {
            _ if !lent.ranges.is_empty() => Ok(arrange(lent.own, inside, &lent.ranges)),
            Some(source) => bail!(
                "the source '{source}', which '/etc/nsswitch.conf' names for 'subid', lends nothing to '{name}' (try 'getsubids {name}'; Debian: \
                 uidmap, Fedora: shadow-utils), and a container has more users than one: let an administrator lend some there"
            ),
            None => bail!(
                "'{}' lends nothing to '{name}' ({}), and a container has more users than one: let an administrator do 'usermod \
                 --add-subuids 100000-165535 --add-subgids 100000-165535 {name}', with numbers that nobody else has; or map yourself alone, \
                 with UIDMap = \"0:{}:1\" and GIDMap = \"0:{}:1\", over a 'Rootfs'",
                lent.kind.file(),
                self.users.own,
                self.users.own,
                self.groups.own,
            ),
        }
    }
}

/// The name of `user`. One who is not in passwd(5) comes from elsewhere, and what logs them in sets the name.
fn name(user: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let variable = |name: &str| env::var(name).ok().filter(|name| !name.is_empty());
    name_in(&passwd, user)
        .or_else(|| variable("USER"))
        .or_else(|| variable("LOGNAME"))
        .unwrap_or_else(|| user.to_string())
}

fn name_in(passwd: &str, user: u32) -> Option<String> {
    let user = user.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&user))?;
    line.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{Account, name_in};
    use crate::definition::UserNamespace;
    use crate::run::subordinate::kind::Kind;
    use crate::run::subordinate::lent::Lent;
    use crate::run::subordinate::range::Range;
    use crate::sys::user::Extent;

    /// Number 1000, to whom `count` identities from 100,000 on are lent.
    fn account(count: u32) -> Account {
        let lent = |kind| Lent {
            kind,
            own: 1000,
            ranges: Vec::from_iter(Range::new(100_000, count)),
            source: None,
        };
        Account {
            name: "anna".to_owned(),
            users: lent(Kind::Users),
            groups: lent(Kind::Groups),
        }
    }

    #[test]
    fn a_name_is_found_by_its_number() {
        let passwd = "root:x:0:0::/:\nanna:x:1000:1000::/:\n";
        assert_eq!(name_in(passwd, 1000).as_deref(), Some("anna"));
        assert_eq!(name_in(passwd, 100), None);
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
            account(100).maps(&namespace).map_err(|error| error.to_string())
        };
        assert!(mapped(1000, 1).is_ok() && mapped(100_050, 50).is_ok());
        for (outside, count) in [(0, 1), (1000, 2), (99_999, 2), (100_050, 51), (4_294_967_295, 1)] {
            let error = mapped(outside, count).expect_err("not the user's");
            assert!(
                error.contains("'UIDMap' takes") && error.contains("100000 to 100099"),
                "{error}"
            );
        }
    }

    #[test]
    fn who_has_no_identities_is_told_how_to_get_some() {
        let mut account = account(0);
        let why = |account: &Account, namespace| account.maps(&namespace).expect_err("not possible").to_string();
        assert!(why(&account, UserNamespace::Auto).contains("usermod"));
        assert!(why(&account, UserNamespace::Host).contains("needs root"));
        account.users.source = Some("sss".to_owned());
        assert!(why(&account, UserNamespace::Auto).contains("the source 'sss'"));
    }
}
