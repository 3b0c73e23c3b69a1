//! Looks the payload's user up in the container's own passwd(5) and group(5).
//!
//! The files are the image's: they are read after the root has been entered, bounded in size, and only if they are regular files.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid};

use crate::sys::mount::open_place;
use crate::sys::path::{Links, open_in_root};

/// Who the payload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: Uid,
    /// The primary group.
    pub gid: Gid,
    /// Exactly these supplementary groups, the primary one among them.
    pub groups: Vec<Gid>,
    /// The home directory, `/` for a user without an entry.
    pub home: String,
}

/// Looks up `user`, `group` and the groups that it has besides, names or numbers. A number needs no entry; a name does.
///
/// # Errors
/// A name without an entry, a number that does not fit.
pub fn look_up(user: &str, group: Option<&str>, additional: &[String]) -> Result<Identity> {
    look_up_below(open_place(Path::new("/"))?.as_fd(), user, group, additional)
}

/// The same below a root that has not been entered yet.
///
/// # Errors
/// As [`look_up`].
pub fn look_up_below(root: BorrowedFd<'_>, user: &str, group: Option<&str>, additional: &[String]) -> Result<Identity> {
    let read = |path| read(root, path);
    identify(user, group, additional, &read("/etc/passwd")?, &read("/etc/group")?)
}

/// Larger files are no account databases.
const LIMIT: u64 = 4 << 20;

fn read(root: BorrowedFd<'_>, path: &str) -> Result<String> {
    // Not blocking: the image might have put a FIFO there. Nor through links of procfs, which would lead to what init has open.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match open_in_root(root, Path::new(path), flags, Links::Inside) {
        Ok(file) => File::from(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error).with_context(|| format!("opening '{path}' of the image")),
    };
    ensure!(
        file.metadata()?.is_file(),
        "'{path}' of the image is not a regular file"
    );
    let mut bytes = Vec::new();
    file.take(LIMIT)
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading '{path}' of the image"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn identify(user: &str, group: Option<&str>, additional: &[String], passwd: &str, groups: &str) -> Result<Identity> {
    let number = parse_id(user).with_context(|| format!("reading the user '{user}'"))?;
    let entry = passwd.lines().map(fields).find(|entry| match number {
        Some(number) => numeric(entry, 2) == Some(number),
        None => entry.first() == Some(&user),
    });
    let (uid, own_gid, home, name) = match (number, entry) {
        (_, Some(entry)) => {
            let malformed = || format!("the entry of '{user}' in the image's /etc/passwd is malformed");
            let (uid, gid) = numeric(&entry, 2).zip(numeric(&entry, 3)).with_context(malformed)?;
            let home = entry.get(5).filter(|home| home.starts_with('/')).unwrap_or(&"/");
            (uid, gid, (*home).to_owned(), entry.first().copied())
        }
        (Some(number), None) => (number, 0, "/".to_owned(), None),
        (None, None) => {
            bail!("the image's /etc/passwd has no user '{user}': set 'User' to one that it has, or to a number")
        }
    };
    let gid = match group {
        None => own_gid,
        Some(group) => group_id(group, groups, "Group")?,
    };
    let mut all = vec![gid];
    // Memberships count only where the group was not chosen by hand, as the container world has it.
    for entry in groups.lines().map(fields).filter(|_| group.is_none()) {
        let is_member = entry
            .get(3)
            .is_some_and(|members| members.split(',').any(|member| Some(member) == name));
        if let Some(gid) = numeric(&entry, 2).filter(|gid| is_member && !all.contains(gid)) {
            all.push(gid);
        }
    }
    for group in additional {
        let gid = group_id(group, groups, "GroupAdd")?;
        if !all.contains(&gid) {
            all.push(gid);
        }
    }
    let groups = all.into_iter().map(Gid::from_raw).collect();
    Ok(Identity {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(gid),
        groups,
        home,
    })
}

/// `key` is where the group was written.
fn group_id(group: &str, groups: &str, key: &str) -> Result<u32> {
    if let Some(number) = parse_id(group).with_context(|| format!("reading the group '{group}'"))? {
        return Ok(number);
    }
    let entry = groups.lines().map(fields).find(|entry| entry.first() == Some(&group));
    entry.and_then(|entry| numeric(&entry, 2)).with_context(|| {
        format!("the image's /etc/group has no group '{group}': set '{key}' to one that it has, or to a number")
    })
}

/// A number if `text` is one, `None` if it is a name. What begins like a number must be one, all of it.
fn parse_id(text: &str) -> Result<Option<u32>> {
    let looks_numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+'));
    ensure!(!text.is_empty() && !text.contains(':'), "it must be a name or a number");
    if !looks_numeric {
        return Ok(None);
    }
    ensure!(
        text.bytes().all(|b| b.is_ascii_digit()),
        "it is neither a name nor a number"
    );
    // The last number stands for "no change" in setuid(2) and its kin.
    let number = text.parse::<u32>().ok().filter(|&number| number != u32::MAX);
    Ok(Some(number.context("the number is too large")?))
}

fn fields(line: &str) -> Vec<&str> {
    line.split(':').collect()
}

fn numeric(entry: &[&str], field: usize) -> Option<u32> {
    entry.get(field)?.parse().ok().filter(|&number| number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::identify;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/var/www:/bin/false\nbad:x:y:z\nshort\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:\nlog:x:40:www,other\nadm:x:4:other\n";

    fn ids(user: &str, group: Option<&str>) -> Option<(u32, u32, Vec<u32>, String)> {
        ids_with(user, group, &[])
    }

    fn ids_with(user: &str, group: Option<&str>, additional: &[&str]) -> Option<(u32, u32, Vec<u32>, String)> {
        let additional: Vec<String> = additional.iter().map(|&group| group.to_owned()).collect();
        let identity = identify(user, group, &additional, PASSWD, GROUP).ok()?;
        let groups = identity.groups.iter().map(|gid| gid.as_raw()).collect();
        Some((identity.uid.as_raw(), identity.gid.as_raw(), groups, identity.home))
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(ids("www", None), Some((33, 33, vec![33, 40], "/var/www".into())));
        assert_eq!(ids("33", Some("adm")), Some((33, 4, vec![4], "/var/www".into())));
        assert_eq!(ids("4000", None), Some((4000, 0, vec![0], "/".into())));
    }

    #[test]
    fn groups_besides() {
        let all = ids_with("www", None, &["adm", "40", "77"]).map(|(_, _, groups, _)| groups);
        assert_eq!(all, Some(vec![33, 40, 4, 77]));
        let chosen = ids_with("www", Some("www"), &["33", "adm"]).map(|(_, _, groups, _)| groups);
        assert_eq!(chosen, Some(vec![33, 4]));
        assert_eq!(ids_with("www", None, &["nope"]), None);
    }

    #[test]
    fn nothing_but_names_and_numbers() {
        for user in [
            "",
            "nobody-here",
            "1:2:3",
            "-1",
            "+1",
            "12x",
            "4294967295",
            "4294967296",
            "bad",
        ] {
            assert_eq!(ids(user, None), None, "{user}");
        }
        for group in ["", "nope", "4294967296", "1x"] {
            assert_eq!(ids("www", Some(group)), None, "{group}");
        }
    }
}
