//! Decides what the settings of a volume's definition mean: `NAME.volume.toml`.

use std::path::Path;

use crate::definition::diagnostic::Severity;
use crate::definition::keys::{self, Key, Section, Support};
use crate::definition::report::{Report, Span};
use crate::definition::resolve::Resolver;
use crate::definition::setting::{Data, Setting, Settings, Value};
use crate::definition::volume::{Backing, Copying, Definition, is_name};
use crate::unitfile::line::Line;

/// What `Device=`, `Type=` and `Options=` say.
#[derive(Default)]
struct Mount {
    device: Option<(String, Span)>,
    kind: Option<(String, Span)>,
    options: Option<(String, Span)>,
}

/// The volume that these settings make. `source` is the file as it is named to the administrator.
pub fn resolve(stem: &str, source: &Path, settings: &Settings<'_>, report: &mut Report<'_>) -> Definition {
    let mut definition = Definition {
        stem: stem.to_owned(),
        source: source.to_path_buf(),
        name: stem.to_owned(),
        ..Definition::default()
    };
    let mut resolver = Resolver::new(report, source);
    let mut mount = Mount::default();
    for setting in &settings.settings {
        match (setting.section, keys::find(setting.section, &setting.key)) {
            (Section::Volume, Some(key)) if key.support == Support::CarriedOut => {
                resolver.set_in_volume(key, setting, &mut definition, &mut mount);
            }
            (Section::Volume, Some(key)) => {
                resolver.unsupported.retain(|(earlier, _)| *earlier != key);
                if !setting.value.is_reset() {
                    resolver.unsupported.push((key, setting.key_span));
                }
            }
            (Section::Volume, None) => resolver.unknown(setting),
            (section, _) => {
                let message = format!("[{section}] means nothing in a volume's definition, which is no unit, ignoring");
                resolver.say_once(Severity::Warning, setting.key_span, message, None);
            }
        }
    }
    resolver.name_unsupported();
    resolver.finish_mount(&mut definition, mount);
    let named = settings.settings.iter().rfind(|setting| {
        let is_meant = matches!(&setting.value.data, Data::Text(name) if **name == definition.name);
        setting.section == Section::Volume && setting.key == "VolumeName" && is_meant
    });
    let report = resolver.report;
    if !is_name(&definition.name) {
        let message = format!(
            "'{}' cannot be a volume's name, which is made of letters, digits and '_', '.', '-'",
            definition.name
        );
        match named {
            Some(setting) => report.error(setting.value.span, message),
            None => report.whole_file(
                Severity::Error,
                0,
                format!("{message}: rename the file, or set 'VolumeName'"),
            ),
        }
    }
    definition.name_place =
        named.and_then(|setting| report.diagnostic(Severity::Error, setting.value.span, String::new()));
    definition
}

impl Resolver<'_, '_> {
    fn set_in_volume(&mut self, key: &Key, setting: &Setting<'_>, volume: &mut Definition, mount: &mut Mount) {
        let value = &setting.value;
        let reset = value.is_reset();
        match key.name {
            "VolumeName" => {
                let name = (!reset).then(|| self.text(key, value)).flatten();
                volume.name = name.map_or_else(|| volume.stem.clone(), std::borrow::Cow::into_owned);
            }
            "Copy" => {
                let copies = reset || self.boolean(key, value) != Some(false);
                volume.settings.copy = if copies { Copying::Copy } else { Copying::Nothing };
            }
            "User" | "UID" => volume.settings.user = self.number(key, value),
            "Group" | "GID" => volume.settings.group = self.number(key, value),
            "Label" if reset => volume.labels.clear(),
            "Label" => {
                let pairs = self.pairs(key, value);
                volume.labels.extend(pairs);
            }
            "Device" => mount.device = self.word(key, value),
            "Type" => mount.kind = self.word(key, value),
            "Options" => mount.options = self.word(key, value),
            "Driver" => {
                if let Some(driver) = self.text(key, value).filter(|driver| *driver != "local") {
                    let why = format!("the driver '{driver}' is not carried out, only 'local' is");
                    self.impossible(key, value.span, why);
                }
            }
            _ => {}
        }
    }

    /// A user's or a group's number, as containers see it.
    fn number(&mut self, key: &Key, value: &Value<'_>) -> Option<u32> {
        if value.is_reset() {
            return None;
        }
        let number = match &value.data {
            Data::Integer(number) => u32::try_from(*number).ok(),
            Data::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| *number != u32::MAX);
        if number.is_none() {
            let why = "a volume's owner is written as a number, as the containers see it: their names are their own";
            self.impossible(key, value.span, why);
        }
        number
    }

    /// A text on one line.
    fn word(&mut self, key: &Key, value: &Value<'_>) -> Option<(String, Span)> {
        if value.is_reset() {
            return None;
        }
        let text = self.text(key, value)?.into_owned();
        if text.chars().any(char::is_control) {
            self.impossible(key, value.span, "it holds a control character");
            return None;
        }
        Some((text, value.span))
    }

    /// The lines of `[Mount]`.
    fn finish_mount(&mut self, volume: &mut Definition, mount: Mount) {
        let Mount { device, kind, options } = mount;
        let (what, kind) = match (device, kind) {
            (None, None) => {
                if let Some((_, span)) = options {
                    let message = "'Options' means nothing without 'Device' or 'Type', ignoring".to_owned();
                    self.report.warning(span, message);
                }
                return;
            }
            (None, Some((kind, span))) if !matches!(kind.as_str(), "tmpfs" | "ramfs") => {
                let message = format!("'Type': a {kind} is on something, write 'Device' too");
                self.report.error(span, message);
                return;
            }
            (None, Some((kind, _))) => (kind.clone(), Some(kind)),
            (Some((device, _)), kind) => (device, kind.map(|(kind, _)| kind)),
        };
        let is_memory = kind.as_deref() == Some("tmpfs");
        let mut all = vec!["nosuid".to_owned(), "nodev".to_owned()];
        let owners = [("uid", volume.settings.user), ("gid", volume.settings.group)];
        all.extend(
            owners
                .iter()
                .filter(|_| is_memory)
                .filter_map(|(name, id)| Some(format!("{name}={}", (*id)?))),
        );
        for option in options.iter().flat_map(|(text, _)| text.split(',')) {
            let span = options.as_ref().map(|(_, span)| *span).unwrap_or_default();
            match option.trim() {
                "suid" | "dev" => {
                    let message = format!("'Options': volumes are always 'no{}', ignoring", option.trim());
                    self.report.warning(span, message);
                }
                "" | "nosuid" | "nodev" => {}
                option => all.push(option.to_owned()),
            }
        }
        // Before a bind mount can be nosuid, it has to be one.
        let is_bind = all.iter().any(|option| matches!(option.as_str(), "bind" | "rbind"));
        let kind = kind
            .filter(|kind| !(is_bind && kind == "none"))
            .or(is_bind.then(|| "none".to_owned()));
        let lines = [
            ("What", Some(what)),
            ("Type", kind),
            ("Options", Some(all.join(","))),
            ("DirectoryMode", Some("0700".to_owned())),
        ];
        for (name, value) in lines {
            match value.map(|value| Line::new(name, value)) {
                Some(Ok(line)) => volume.mount.push(line),
                Some(Err(_)) => self.report.whole_file(
                    Severity::Error,
                    0,
                    format!("'{name}' of the mount unit cannot be written"),
                ),
                None => {}
            }
        }
        volume.settings.backing = Backing::Mount;
    }
}
