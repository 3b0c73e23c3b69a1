//! `[Install]`: the links that start a container at boot.
//!
//! `systemctl enable` does not touch generated units, so the generator makes the links itself, as systemd.generator(7) says. They
//! belong to what wakes the container: its sockets and its timer where it has them, so that nothing runs before somebody connects,
//! and its service otherwise. A socket is wanted by `sockets.target` and a timer by `timers.target` unless `[Install]` says otherwise.

use crate::definition::places::Scope;
use crate::generate::draft::Draft;
use crate::generate::{Context, service};
use crate::unitfile::{name, words};

/// What `[Install]` asks for.
#[derive(Debug, Default)]
struct Wishes {
    /// Directory suffix (`wants`) and the unit that wants.
    by: Vec<(&'static str, String)>,
    /// Whether it was said at all, even to say by nobody.
    said: bool,
    aliases: Vec<String>,
    default_instance: Option<String>,
}

/// Adds the links to the draft. A broken definition has only its service: that is wanted by whatever [Install] names, so that it shows
/// as failed after boot, and required by nothing, so that it takes nothing else down.
pub fn link(draft: &mut Draft<'_>, context: &Context) {
    let wishes = wishes(draft, context);
    let stem = draft.stem.clone();
    let definition = draft.definition();
    let mut wakers: Vec<(String, &str, &str)> = Vec::new();
    for socket in &definition.sockets {
        wakers.push((socket.unit.clone(), "socket", "sockets.target"));
    }
    if !definition.passthrough.timer.is_empty() {
        wakers.push((stem.clone(), "timer", "timers.target"));
    }
    if draft.is_broken() {
        let by: Vec<_> = wishes.by.iter().map(|(_, target)| ("wants", target.clone())).collect();
        want(draft, &wishes, (&stem, "service"), &by);
        return;
    }
    if wakers.is_empty() {
        want(draft, &wishes, (&stem, "service"), &wishes.by);
    }
    for (stem, kind, target) in &wakers {
        let default = [("wants", String::from(*target))];
        let by = if wishes.said { wishes.by.as_slice() } else { &default };
        want(draft, &wishes, (stem, kind), by);
    }
    wakers.push((stem, "service", ""));
    alias(draft, &wishes, &wakers);
}

/// Links one unit into the directories of those that want it.
fn want(draft: &mut Draft<'_>, wishes: &Wishes, (stem, kind): (&str, &str), by: &[(&str, String)]) {
    let mut unit = stem.to_owned();
    if name::is_template(stem) {
        let Some(instance) = &wishes.default_instance else {
            if wishes.said && !by.is_empty() {
                draft.warn(format!(
                    "[Install] cannot start the template '{stem}.{kind}' without 'DefaultInstance=', ignoring"
                ));
            }
            return;
        };
        unit = name::instantiate(stem, instance).into_owned();
    }
    let full = [&unit, ".", kind].concat();
    if !name::is_valid(&full) {
        draft.warn(format!(
            "'DefaultInstance=' in [Install] makes no unit name: '{}', ignoring",
            full.escape_debug()
        ));
        return;
    }
    for (suffix, target) in by {
        let path = [target, ".", suffix, "/", &full].concat();
        draft.links.push((path, ["../", stem, ".", kind].concat()));
    }
}

/// Links the other names to the unit of their type.
fn alias(draft: &mut Draft<'_>, wishes: &Wishes, units: &[(String, &str, &str)]) {
    for alias in &wishes.aliases {
        let (stem, kind) = alias.rsplit_once('.').unwrap_or((alias, ""));
        let of_kind: Vec<&String> = units.iter().filter(|unit| unit.1 == kind).map(|unit| &unit.0).collect();
        match of_kind.as_slice() {
            [unit] if *unit == stem => {}
            [unit] if name::is_template(unit) == name::is_template(stem) => {
                draft.links.push((alias.clone(), format!("{unit}.{kind}")));
            }
            _ => draft.warn(format!(
                "'Alias={alias}' in [Install] fits no unit of this container, ignoring"
            )),
        }
    }
}

fn wishes(draft: &mut Draft<'_>, context: &Context) -> Wishes {
    let definition = draft.definition();
    let mut wishes = Wishes::default();
    for (key, value) in service::readable(draft, "Install", &definition.passthrough.install) {
        let suffix = match key {
            "WantedBy" => "wants",
            "RequiredBy" => "requires",
            "UpheldBy" if context.systemd_version >= 254 => "upholds",
            "UpheldBy" => {
                draft.warn("'UpheldBy=' in [Install] needs systemd 254, ignoring".to_owned());
                continue;
            }
            "Alias" => {
                let names = names(draft, key, value);
                wishes.aliases.extend(names);
                continue;
            }
            "DefaultInstance" => {
                wishes.default_instance = Some(value.to_owned()).filter(|instance| !instance.is_empty());
                continue;
            }
            _ => {
                draft.warn(format!(
                    "'{key}=' in [Install] does nothing for a generated unit, ignoring"
                ));
                continue;
            }
        };
        wishes.said = true;
        if value.trim().is_empty() {
            wishes.by.retain(|(other, _)| *other != suffix);
        }
        for name in names(draft, key, value) {
            wishes.by.push((suffix, in_scope(name, context.scope)));
        }
    }
    wishes
}

/// The unit names of a list; what is none is diagnosed.
fn names(draft: &mut Draft<'_>, key: &str, value: &str) -> Vec<String> {
    let words = match words::split(value) {
        Ok(words) => words,
        Err(error) => {
            draft.warn(format!("'{key}=' in [Install]: {error}, ignoring"));
            return Vec::new();
        }
    };
    let (valid, invalid): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| name::is_valid(word));
    for word in invalid {
        draft.warn(format!(
            "'{}' of '{key}=' in [Install] is no unit's name, ignoring",
            word.escape_debug()
        ));
    }
    valid
}

/// A user's manager has none of the system's targets that mean "up"; definitions are shared by both.
fn in_scope(target: String, scope: Scope) -> String {
    match (scope, target.as_str()) {
        (Scope::User, "multi-user.target" | "graphical.target") => "default.target".to_owned(),
        _ => target,
    }
}
