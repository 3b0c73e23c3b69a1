//! Passes on the keys of systemd's own sections: as they are, but never so that one value becomes two lines.

use crate::definition::diagnostic::Severity;
use crate::definition::keys::{self, Section};
use crate::definition::resolve::Resolver;
use crate::definition::setting::{Data, Setting, Value};

impl Resolver<'_, '_> {
    /// Adds the lines that a setting makes in a unit file.
    ///
    /// An empty value makes a line too, since it takes back what stands above, in systemd as here.
    pub(super) fn pass_on(&mut self, setting: &Setting<'_>, lines: &mut Vec<(String, String)>) {
        let key = setting.key.as_ref();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if key.is_empty() || !key.chars().all(is_name) {
            let message = format!("'{key}' cannot be the name of a key in [{}]", setting.section);
            self.report.error(setting.key_span, message);
            return;
        }
        self.hint_at_misplaced(setting);
        match &setting.value.data {
            Data::List(items) if items.is_empty() => lines.push((key.to_owned(), String::new())),
            Data::List(items) => {
                for item in items {
                    lines.extend(self.line(setting, item));
                }
            }
            _ => lines.extend(self.line(setting, &setting.value)),
        }
    }

    fn line(&mut self, setting: &Setting<'_>, value: &Value<'_>) -> Option<(String, String)> {
        let key = setting.key.as_ref();
        let text = match &value.data {
            Data::Text(text) => text.to_string(),
            Data::Integer(integer) => integer.to_string(),
            Data::Float(float) => float.to_string(),
            Data::Boolean(boolean) => boolean.to_string(),
            Data::Date | Data::List(_) | Data::Map(_) => {
                let message = format!(
                    "'{key}' in [{}] takes a string, a number, true or false, or an array of these, not {}",
                    setting.section,
                    value.type_name()
                );
                self.report.error(value.span, message);
                return None;
            }
        };
        let why = match text.chars().find(|c| c.is_control() && *c != '\t') {
            Some(control) => format!("the control character '{}'", control.escape_default()),
            None if text.ends_with('\\') => "a backslash at its end, which would join it with the next line".to_owned(),
            None => return Some((key.to_owned(), text)),
        };
        let message = format!("'{key}' in [{}] cannot hold {why}", setting.section);
        self.report.error(value.span, message);
        None
    }

    /// Says where a key that systemd would not know in this section belongs.
    fn hint_at_misplaced(&mut self, setting: &Setting<'_>) {
        let key = setting.key.as_ref();
        let (section, key_span) = (setting.section, setting.key_span);
        // Keys that systemd and Quadlet share are not misplaced.
        let shared = ["Environment", "EnvironmentFile", "User", "Group", "AppArmor"];
        if keys::find(section, key).is_some() || shared.contains(&key) || self.report.is_full() {
            return;
        }
        if keys::find(Section::Container, key).is_some() {
            let message = format!("key '{key}' in [{section}] is not systemd's, passing it on as it is");
            let suggestion = Some(format!("it belongs in [{}]", Section::Container));
            self.report.say(Severity::Warning, key_span, message, suggestion);
        } else if section == Section::Socket
            && !key.starts_with("Listen")
            && let Some(near) = keys::nearest(section, key)
        {
            let message = format!("key '{key}' in [{section}] is not known, passing it on as it is");
            let suggestion = Some(format!("did you mean '{}'?", near.name));
            self.report.say(Severity::Warning, key_span, message, suggestion);
        }
    }
}
