//! `[Install]`: by which units the container is started, and under which other names its own are known.
//!
//! systemctl(1) enables no generated unit, so that the generator makes the links which these keys stand for. Here is decided which of
//! them make sense: every name that leaves is a unit's, and fits the units that the definition has.

use crate::definition::Definition;
use crate::definition::certainty::Certainty;
use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::install::Install;
use crate::definition::keys::{self, Section};
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::resolve::systemd::Given;
use crate::unitfile::{name, words};

/// What is judged when all of the section is known, with its places.
#[derive(Default)]
struct Pending {
    aliases: Vec<(String, Span)>,
    default_instance: Option<(String, Span)>,
    /// The last key that starts the container by a unit.
    starts: Option<Span>,
}

impl Resolver<'_, '_> {
    /// What these lines ask for, of the units that the definition has.
    pub(super) fn install(&mut self, lines: &[Given], definition: &Definition) -> Install {
        let mut install = Install::default();
        let mut pending = Pending::default();
        for given in lines {
            let (key, value) = (given.line.key(), given.line.value());
            let list = match key {
                "WantedBy" => &mut install.wanted_by,
                "RequiredBy" => &mut install.required_by,
                "UpheldBy" => {
                    install.not_upheld.extend(self.not_upheld(given.key));
                    &mut install.upheld_by
                }
                "Alias" => {
                    let names = self.unit_names(given);
                    pending
                        .aliases
                        .extend(names.into_iter().map(|name| (name, given.value)));
                    continue;
                }
                "DefaultInstance" => {
                    let instance = Some(value.to_owned()).filter(|instance| !instance.is_empty());
                    pending.default_instance = instance.map(|instance| (instance, given.value));
                    continue;
                }
                _ => {
                    let message = format!("'{key}=' in [Install] does nothing for a generated unit, ignoring");
                    let suggestion =
                        keys::find(Section::Container, key).map(|_| "it belongs in [Container]".to_owned());
                    self.say_once(Severity::Warning, given.key, message, suggestion);
                    continue;
                }
            };
            let list = list.get_or_insert_default();
            if value.trim().is_empty() {
                list.clear();
            }
            let names = self.unit_names(given);
            if !names.is_empty() {
                pending.starts = Some(given.key);
            }
            list.extend(names);
        }
        self.instances(&pending, definition, &mut install);
        // Some units may be missing, and an alias has none of them.
        if definition.passthrough.certainty == Certainty::Certain {
            for (alias, span) in pending.aliases {
                if let Some(alias) = self.alias(alias, span, definition) {
                    let place = self.report.diagnostic(Severity::Warning, span, String::new());
                    install.places.extend(place.map(|place| (alias.0.clone(), place)));
                    install.aliases.push(alias);
                }
            }
        }
        install
    }
    fn not_upheld(&mut self, span: Span) -> Option<Diagnostic> {
        let message = format!(
            "'UpheldBy=' in [Install] needs systemd {}, ignoring",
            Install::UPHELD_SINCE
        );
        let is_new = self.blamed.replace(span) != Some(span);
        self.report
            .diagnostic(Severity::Warning, span, message)
            .filter(|_| is_new)
    }

    /// The unit names of a list; what is none is named.
    fn unit_names(&mut self, given: &Given) -> Vec<String> {
        let key = given.line.key();
        let words = match words::split(given.line.value()) {
            Ok(words) => words,
            Err(why) => {
                self.leave_out(Section::Install, key, given.value, why);
                return Vec::new();
            }
        };
        let (valid, invalid): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| name::is_valid(word));
        for word in invalid {
            let word = word.escape_debug();
            let message = format!("'{word}' of '{key}=' in [Install] is no unit's name, ignoring");
            self.report.warning(given.value, message);
        }
        valid
    }

    /// Takes `DefaultInstance=` if it makes names of all templates, and says so where one is missing.
    fn instances(&mut self, pending: &Pending, definition: &Definition, install: &mut Install) {
        let wakers = definition.wakers();
        let is_template = |unit: &&(&str, &str)| name::is_template(unit.0);
        match (&pending.default_instance, pending.starts) {
            (Some((instance, span)), _) => {
                let service = (definition.stem(), "service");
                let units = wakers.iter().chain([&service]).filter(is_template);
                let mut names = units.map(|(stem, kind)| [&name::instantiate(stem, instance), ".", kind].concat());
                match names.find(|name| !name::is_valid(name)) {
                    None => install.default_instance = Some(instance.clone()),
                    Some(odd) => {
                        let odd = odd.escape_debug();
                        let message = format!("'DefaultInstance=' in [Install] makes no unit name: '{odd}', ignoring");
                        self.report.warning(*span, message);
                    }
                }
            }
            (None, Some(span)) => {
                for (stem, kind) in wakers.iter().filter(is_template) {
                    let message = format!(
                        "[Install] cannot start the template '{stem}.{kind}' without 'DefaultInstance=', ignoring"
                    );
                    self.report.warning(span, message);
                }
            }
            (None, None) => {}
        }
    }

    /// Another name with the one unit of its type that it can be of, unless that bears it already.
    fn alias(&mut self, alias: String, span: Span, definition: &Definition) -> Option<(String, String)> {
        let (stem, kind) = alias.rsplit_once('.').unwrap_or((&alias, ""));
        let mut units = definition.wakers();
        units.push((definition.stem(), "service"));
        units.retain(|unit| unit.1 == kind);
        units.dedup();
        match units.as_slice() {
            [(unit, _)] if *unit == stem => None,
            [(unit, _)] if name::is_template(unit) == name::is_template(stem) => {
                let unit = [unit, ".", kind].concat();
                Some((alias, unit))
            }
            _ => {
                let message = format!("'Alias={alias}' in [Install] fits no unit of this container, ignoring");
                self.report.warning(span, message);
                None
            }
        }
    }
}
