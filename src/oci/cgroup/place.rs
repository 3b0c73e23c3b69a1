//! Where a container's control group is to be: what `cgroupsPath` means (runtime-spec config-linux.md, "Cgroups Path").

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail, ensure};

/// Who owns a container's control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// A directory of ours.
    Cgroupfs,
    /// A scope of systemd's.
    Systemd,
    /// It stays in the caller's.
    Disabled,
}

/// Where a container's control group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Below the mount point.
    Directory(PathBuf),
    /// `SLICE` and `PREFIX-NAME.scope`.
    Scope {
        /// The slice, or systemd's default.
        slice: String,
        /// The scope.
        unit: String,
    },
    /// The caller's.
    Nowhere,
}

impl Place {
    /// The group's directory, below that of the process that makes it.
    #[must_use]
    pub fn directory(&self) -> Option<PathBuf> {
        match self {
            Self::Directory(path) => Some(path.clone()),
            Self::Scope { slice, unit } => Some(below_slices(slice).join(unit)),
            Self::Nowhere => None,
        }
    }
}

/// A slice's name is the way to it: `a-b.slice` lies in `a.slice` (systemd.slice(5)).
fn below_slices(slice: &str) -> PathBuf {
    // The root of all is `-.slice`.
    let stem = slice.strip_suffix(".slice").unwrap_or(slice).trim_matches('-');
    let ends = stem.match_indices('-').map(|(index, _)| index).chain([stem.len()]);
    let names = ends.filter_map(|end| stem.get(..end)).filter(|name| !name.is_empty());
    names.map(|name| format!("{name}.slice")).collect()
}

/// Decides the place of container `id`, for which `path` is written, by a caller in the group `own`.
///
/// # Errors
/// A path that is none, or of the other manager's form.
pub fn place(manager: Manager, path: Option<&str>, id: &str, own: &Path) -> Result<Place> {
    match (manager, path) {
        (Manager::Disabled, _) => Ok(Place::Nowhere),
        // A caller outside of what its cgroup namespace shows is nowhere in the tree that it sees.
        (Manager::Cgroupfs, None) if !is_plain(own) => Ok(Place::Directory(id.into())),
        (Manager::Cgroupfs, None) => Ok(Place::Directory(relative(own).join(id))),
        (Manager::Cgroupfs, Some(path)) => {
            let path = Path::new(path);
            let relative = relative(path);
            ensure!(
                is_plain(path) && !relative.as_os_str().is_empty(),
                "'linux.cgroupsPath' cannot be '{}'",
                path.display()
            );
            Ok(Place::Directory(relative))
        }
        (Manager::Systemd, None) => Ok(Place::Scope {
            slice: "system.slice".to_owned(),
            unit: format!("coracle-oci-{}.scope", escape(id)),
        }),
        (Manager::Systemd, Some(path)) => {
            let [slice, prefix, name] = path.split(':').collect::<Vec<_>>()[..] else {
                bail!("'linux.cgroupsPath' is '{path}', and with systemd it is 'SLICE:PREFIX:NAME'")
            };
            ensure!(
                slice.is_empty() || slice.ends_with(".slice") && !slice.contains('/'),
                "'linux.cgroupsPath' names '{slice}', which is no slice"
            );
            ensure!(!name.is_empty(), "'linux.cgroupsPath' is '{path}', which has no name");
            let slice = if slice.is_empty() { "system.slice" } else { slice };
            let unit = if name.ends_with(".slice") {
                bail!("'linux.cgroupsPath' names the slice '{name}', and a container is a scope")
            } else if prefix.is_empty() {
                format!("{}.scope", escape(name))
            } else {
                format!("{}-{}.scope", escape(prefix), escape(name))
            };
            Ok(Place::Scope {
                slice: slice.to_owned(),
                unit,
            })
        }
    }
}

fn is_plain(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::RootDir))
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

/// What a unit's name cannot have is an underscore there.
fn escape(text: &str) -> String {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || ":-_.\\".contains(c);
    text.chars().map(|c| if is_fine(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Manager, Place, place};
    use std::path::Path;

    fn decide(manager: Manager, path: Option<&str>) -> Option<Place> {
        place(manager, path, "web", Path::new("/user.slice/a")).ok()
    }

    #[test]
    fn slices_lie_in_each_other() {
        let of = |path| decide(Manager::Systemd, Some(path)).and_then(|place| place.directory());
        assert_eq!(of("a-b.slice:x:y"), Some("a.slice/a-b.slice/x-y.scope".into()));
        assert_eq!(of("machine.slice:x:y"), Some("machine.slice/x-y.scope".into()));
        assert_eq!(of("-.slice:x:y"), Some("x-y.scope".into()));
    }

    #[test]
    fn directories_lie_where_they_are_named_or_below_the_caller() {
        let directory = |path: &str| Some(Place::Directory(path.into()));
        assert_eq!(decide(Manager::Cgroupfs, Some("/a/b")), directory("a/b"));
        assert_eq!(decide(Manager::Cgroupfs, Some("a/b")), directory("a/b"));
        assert_eq!(decide(Manager::Cgroupfs, None), directory("user.slice/a/web"));
        for bad in ["/", "/a/../b", ".."] {
            assert_eq!(decide(Manager::Cgroupfs, Some(bad)), None, "{bad}");
        }
    }

    #[test]
    fn scopes_are_named_in_three_parts() {
        let scope = |slice: &str, unit: &str| {
            Some(Place::Scope {
                slice: slice.into(),
                unit: unit.into(),
            })
        };
        assert_eq!(
            decide(Manager::Systemd, Some("machine.slice:libpod:1a")),
            scope("machine.slice", "libpod-1a.scope")
        );
        assert_eq!(
            decide(Manager::Systemd, Some("::1a")),
            scope("system.slice", "1a.scope")
        );
        assert_eq!(
            decide(Manager::Systemd, None),
            scope("system.slice", "coracle-oci-web.scope")
        );
        for bad in ["/a/b", "a:b:c", "x.slice:p:", "a/b.slice:p:n", "::x.slice"] {
            assert_eq!(decide(Manager::Systemd, Some(bad)), None, "{bad}");
        }
    }
}
