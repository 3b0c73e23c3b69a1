//! `var-lib-coracle-volumes-NAME.mount`, for volumes that are a file system of their own.
//!
//! Such a file system is systemd's to mount: it waits for the device, checks it, mounts it once for all containers, says in the journal what
//! went wrong, and unmounts it at the end. A container wants the mount (`RequiresMountsFor=`), and its start fails if there is none.

use std::path::Path;

use crate::definition::places::Scope;
use crate::definition::volume::{Backing, DIRECTORY, Definition, LoadedVolume};
use crate::generate::service::COMMENT;
use crate::generate::{Context, Output, Report};
use crate::unitfile::{UnitFile, name, quote};

/// Adds the mount units of `volumes`, and what is to be said of all of them.
pub fn add(volumes: &[LoadedVolume], context: &Context, output: &mut Output) {
    for loaded in volumes {
        let definition = &loaded.definition;
        let unit = unit(&definition.name);
        let is_mount = definition.settings.backing == Backing::Mount && !loaded.is_broken();
        if is_mount && context.scope == Scope::System {
            output.files.insert(unit.clone(), text(definition));
        }
        let report = |diagnostic| Report {
            unit: if is_mount { unit.clone() } else { String::new() },
            diagnostic,
        };
        output
            .diagnostics
            .extend(loaded.diagnostics.iter().cloned().map(report));
    }
}

/// The mount unit of the volume `volume`.
#[must_use]
pub fn unit(volume: &str) -> String {
    let path = Path::new(DIRECTORY).join(volume);
    format!("{}.mount", name::escape_path(&path.to_string_lossy()))
}

fn text(definition: &Definition) -> String {
    let path = Path::new(DIRECTORY).join(&definition.name);
    let (path, source) = (path.to_string_lossy(), definition.source.to_string_lossy());
    let (name, source) = (quote::text(&definition.name), quote::text(&source));
    let mut file = UnitFile::new(COMMENT);
    let description = format!("Volume {name}");
    file.section("Unit", [("Description", description.as_str()), ("SourcePath", &source)]);
    let given = definition.mount.iter().map(|line| (line.key(), line.value()));
    file.section("Mount", given.chain([("Where", &*path)]));
    file.into_text()
}
