//! Passes on the keys of systemd's own sections: as they are, but never so that one value becomes two lines, and without those that no
//! container can have.
//!
//! What is passed on is judged when all settings are known, since sockets forbid more than there is to forbid without. Until then a
//! line keeps its places.

use crate::definition::Socket;
use crate::definition::diagnostic::Severity;
use crate::definition::keys::newer;
use crate::definition::keys::refused::{self, Culprit, Outcome, Refusal};
use crate::definition::keys::{self, Section};
use crate::definition::report::Span;
use crate::definition::resolve::Resolver;
use crate::definition::setting::{Data, Setting, Value};
use crate::unitfile::line::{Line, Unfit};
use crate::unitfile::words;

/// The lines of systemd's sections, as they were given.
#[derive(Default)]
pub(super) struct Sections {
    pub(super) unit: Vec<Given>,
    pub(super) service: Vec<Given>,
    pub(super) timer: Vec<Given>,
    pub(super) install: Vec<Given>,
}

/// A line and the places of its key and its value.
pub(super) struct Given {
    pub(super) line: Line,
    pub(super) key: Span,
    pub(super) value: Span,
}

impl Given {
    /// What a key of `[Container]` sets in a section of systemd.
    pub(super) fn by(setting: &Setting<'_>, key: &str, value: Option<String>) -> Option<Self> {
        Some(Self {
            line: Line::new(key, value?).ok()?,
            key: setting.key_span,
            value: setting.value.span,
        })
    }
}

/// The lines of a section of which all reach systemd.
pub(super) fn lines(given: Vec<Given>) -> Vec<Line> {
    // To collect would keep the room that the places took.
    let mut lines = Vec::with_capacity(given.len());
    lines.extend(given.into_iter().map(|given| given.line));
    lines
}

impl Resolver<'_, '_> {
    /// Adds the lines that a setting makes in a unit file.
    ///
    /// An empty value makes a line too, since it takes back what stands above, in systemd as here.
    pub(super) fn pass_on(&mut self, setting: &Setting<'_>, lines: &mut Vec<Given>) {
        let key = setting.key.as_ref();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if key.is_empty() || !key.chars().all(is_name) {
            let message = format!("'{key}' cannot be the name of a key in [{}]", setting.section);
            self.report.error(setting.key_span, message);
            return;
        }
        self.hint_at_misplaced(setting);
        match &setting.value.data {
            Data::List(items) if items.is_empty() => {
                lines.extend(self.line(setting, setting.value.span, String::new()));
            }
            Data::List(items) => {
                for item in items {
                    let text = self.value(setting, item);
                    lines.extend(text.and_then(|text| self.line(setting, item.span, text)));
                }
            }
            _ => {
                let text = self.value(setting, &setting.value);
                lines.extend(text.and_then(|text| self.line(setting, setting.value.span, text)));
            }
        }
    }

    /// The lines of a section that reach systemd, in a definition with these sockets; the others are named.
    pub(super) fn judge(&mut self, section: Section, given: Vec<Given>, sockets: &[Socket]) -> Vec<Line> {
        let mut lines = Vec::with_capacity(given.len());
        for given in given {
            lines.extend(self.judge_line(section, given, sockets));
        }
        lines
    }

    fn judge_line(&mut self, section: Section, given: Given, sockets: &[Socket]) -> Option<Line> {
        let (key, value) = (given.line.key(), given.line.value());
        if let Some(refusal) = refused::find(section, key, value, sockets) {
            return self.refuse(section, &given, refusal);
        }
        // Which units are wanted instead depends on the version of systemd; whether these are paths does not.
        if let (Section::Unit, "RequiresMountsFor", [_, ..]) = (section, key, sockets)
            && let Err(why) = words::split(value)
        {
            self.leave_out(section, key, given.value, why);
            return None;
        }
        Some(given.line)
    }

    /// Says why a line is left out.
    pub(super) fn leave_out(&mut self, section: Section, key: &str, span: Span, why: impl std::fmt::Display) {
        let message = format!("'{key}=' in [{section}]: {why}, ignoring");
        self.say_once(Severity::Warning, span, message, None);
    }

    /// A diagnostic of which one is enough: a key stands in front of each line that its array makes.
    pub(super) fn say_once(&mut self, severity: Severity, span: Span, message: String, suggestion: Option<String>) {
        if self.blamed.replace(span) != Some(span) {
            self.report.say(severity, span, message, suggestion);
        }
    }

    /// Says why a line is not passed on as it is, and gives what is passed on instead.
    fn refuse(&mut self, section: Section, given: &Given, refusal: Refusal) -> Option<Line> {
        let (severity, end) = match refusal.outcome {
            Outcome::Refused => (Severity::Error, String::new()),
            Outcome::LeftOut => (Severity::Warning, ", ignoring".to_owned()),
            Outcome::TakenAs(key) => (Severity::Warning, format!(", taking it as '{key}='")),
        };
        let span = match refusal.culprit {
            Culprit::Key => given.key,
            Culprit::Value => given.value,
        };
        let message = format!("'{}=' in [{section}] {}{end}", given.line.key(), refusal.why);
        self.say_once(severity, span, message, refusal.instead.map(str::to_owned));
        match refusal.outcome {
            Outcome::TakenAs(key) => Line::new(key, given.line.value().to_owned()).ok(),
            Outcome::Refused | Outcome::LeftOut => None,
        }
    }

    /// Notes an option that not every supported systemd has, for the generator, which knows the one that runs.
    pub(super) fn note_too_new(&mut self, section: Section, given: &Given) {
        let key = given.line.key();
        if let Some(version) = newer::since(key)
            && self.blamed.replace(given.key) != Some(given.key)
        {
            let message = format!("'{key}=' in [{section}] came with systemd {version}, ignoring");
            let diagnostic = self.report.diagnostic(Severity::Warning, given.key, message);
            self.too_new.extend(diagnostic.map(|diagnostic| (version, diagnostic)));
        }
    }

    fn line(&mut self, setting: &Setting<'_>, span: Span, text: String) -> Option<Given> {
        let (key, section) = (setting.key.as_ref(), setting.section);
        match Line::new(key, text) {
            Ok(line) => {
                return Some(Given {
                    line,
                    key: setting.key_span,
                    value: span,
                });
            }
            Err(Unfit::Key(why)) => self.leave_out(section, key, setting.key_span, why),
            Err(Unfit::Value(why)) => self.leave_out(section, key, span, why),
        }
        None
    }

    fn value(&mut self, setting: &Setting<'_>, value: &Value<'_>) -> Option<String> {
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
            None => return Some(text),
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
        // Nor is passed on what is refused, and of [Install] nothing is as it is.
        if section == Section::Install || refused::find(section, key, "", &[]).is_some() {
            return;
        }
        if keys::find(Section::Container, key).is_some() {
            let message = format!("key '{key}' in [{section}] is not systemd's, passing it on as it is");
            let suggestion = Some(format!("it belongs in [{}]", Section::Container));
            self.report.say(Severity::Warning, key_span, message, suggestion);
        } else if section == Section::Socket
            // Of a key that cannot be one of systemd's enough is said elsewhere.
            && Line::new(key, String::new()).is_ok()
            && let Some(near) = keys::nearest(section, key)
            // `StateDirectoryMode=` is no slip of the pen, but another unit's `DirectoryMode=`.
            && !key.ends_with(near.name)
        {
            let message = format!("key '{key}' in [{section}] is not known, passing it on as it is");
            let suggestion = Some(format!("did you mean '{}'?", near.name));
            self.report.say(Severity::Warning, key_span, message, suggestion);
        }
    }
}
