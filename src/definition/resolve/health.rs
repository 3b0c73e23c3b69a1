//! `HealthCmd=` and its family.

use std::borrow::Cow;

use crate::definition::diagnostic::Severity;
use crate::definition::health::{Check, Health, OnFailure, Startup};
use crate::definition::keys::Key;
use crate::definition::resolve::values::milliseconds;
use crate::definition::resolve::{Resolver, last};
use crate::definition::setting::{Data, Settings, Value};
use crate::definition::{Definition, Notify};

/// The keys so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    check: Half,
    startup: Half,
    retries: Option<u32>,
    startup_retries: Option<u32>,
    startup_successes: Option<u32>,
    start_period: Option<u64>,
    on_failure: Option<OnFailure>,
    log_size: Option<usize>,
}

/// What a check and a start-up check have in common.
#[derive(Debug, Default)]
struct Half {
    /// Nothing in it where it is `none`.
    command: Option<Vec<String>>,
    interval: Option<u64>,
    timeout: Option<u64>,
}

/// The keys that mean nothing without `HealthCmd`, which is the first.
const FAMILY: [&str; 12] = [
    "HealthInterval",
    "HealthMaxLogSize",
    "HealthOnFailure",
    "HealthRetries",
    "HealthStartPeriod",
    "HealthStartupCmd",
    "HealthStartupInterval",
    "HealthStartupRetries",
    "HealthStartupSuccess",
    "HealthStartupTimeout",
    "HealthTimeout",
    "HealthLogDestination",
];

impl Draft {
    /// Takes one setting.
    pub(super) fn set(&mut self, key: &Key, value: &Value<'_>, to: &mut Resolver<'_, '_>) {
        let reset = value.is_reset();
        let set = |to: &mut Resolver<'_, '_>| (!reset).then(|| to.check_span(key, value)).flatten();
        match key.name {
            "HealthCmd" => self.check.command = if reset { None } else { to.check_command(key, value) },
            "HealthStartupCmd" => self.startup.command = if reset { None } else { to.check_command(key, value) },
            "HealthInterval" => self.check.interval = set(to),
            "HealthTimeout" => self.check.timeout = set(to),
            "HealthStartupInterval" => self.startup.interval = set(to),
            "HealthStartupTimeout" => self.startup.timeout = set(to),
            "HealthStartPeriod" => self.start_period = if reset { None } else { to.milliseconds(key, value) },
            "HealthRetries" => self.retries = if reset { None } else { to.count(key, value, 1) },
            "HealthStartupRetries" => self.startup_retries = if reset { None } else { to.count(key, value, 0) },
            "HealthStartupSuccess" => self.startup_successes = if reset { None } else { to.count(key, value, 0) },
            "HealthMaxLogSize" => self.log_size = if reset { None } else { to.log_size(key, value) },
            "HealthOnFailure" if reset => self.on_failure = None,
            "HealthOnFailure" => self.on_failure = to.choice(key, value, &OnFailure::WORDS),
            "HealthLogDestination" if !reset => to.log_destination(key, value),
            _ => {}
        }
    }

    /// Puts it into the definition.
    pub(super) fn finish(self, definition: &mut Definition) {
        let check = |half: Half| {
            let command = half.command.filter(|command| !command.is_empty())?;
            // Never, as Podman has it.
            let interval = half.interval.unwrap_or(Health::INTERVAL);
            (interval != NEVER).then_some(Check {
                command,
                interval,
                timeout: half.timeout.unwrap_or(Health::TIMEOUT),
            })
        };
        definition.container.health = check(self.check).map(|regular| Health {
            check: regular,
            retries: self.retries.unwrap_or(Health::RETRIES),
            start_period: self.start_period.unwrap_or(0),
            startup: check(self.startup).map(|check| Startup {
                check,
                retries: self.startup_retries.unwrap_or(0),
                successes: self.startup_successes.unwrap_or(0).max(1),
            }),
            on_failure: self.on_failure.unwrap_or_default(),
            log_size: self.log_size.unwrap_or(Health::LOG_SIZE),
        });
    }
}

/// The interval `disable`.
const NEVER: u64 = u64::MAX;

impl Resolver<'_, '_> {
    /// Says what means nothing without a check, and that a start cannot wait for one that there is not.
    pub(super) fn check_health(&mut self, definition: &Definition, settings: &Settings<'_>) {
        if let Some(health) = &definition.container.health {
            if health.startup.is_none() && last(settings, "HealthStartupCmd").is_none() {
                let of_startup = FAMILY.into_iter().filter(|name| name.starts_with("HealthStartup"));
                self.check_is_missing(settings, of_startup, "HealthStartupCmd");
            }
            return;
        }
        // A value that cannot be is said already, and so is a check that is switched off on purpose.
        let command = last(settings, "HealthCmd").filter(|setting| !setting.value.is_reset());
        if definition.container.notify == Some(Notify::Healthy)
            && let Some(setting) = last(settings, "Notify")
        {
            let message = match command {
                Some(_) => "'Notify' cannot be 'healthy' where 'HealthCmd' checks nothing",
                None => "'Notify' cannot be 'healthy' without 'HealthCmd'; a check that the image brings is not used",
            };
            let suggestion = Some("set 'HealthCmd' to a command that tells whether the program is well".to_owned());
            self.report
                .say(Severity::Error, setting.value.span, message.to_owned(), suggestion);
        }
        if command.is_some() {
            return;
        }
        self.check_is_missing(settings, FAMILY.into_iter(), "HealthCmd");
    }

    fn check_is_missing(&mut self, settings: &Settings<'_>, names: impl Iterator<Item = &'static str>, check: &str) {
        for name in names {
            if let Some(setting) = last(settings, name).filter(|setting| !setting.value.is_reset()) {
                let message = format!("'{name}' has no effect without '{check}', ignoring");
                self.report.say(Severity::Warning, setting.key_span, message, None);
            }
        }
    }

    /// A command in one of Podman's forms: an array is the program with its arguments, a text is for a shell unless it is such an array. Empty for `none`.
    fn check_command(&mut self, key: &Key, value: &Value<'_>) -> Option<Vec<String>> {
        let words = match &value.data {
            Data::Text(text) if text.trim_start().starts_with('[') => match serde_json::from_str(text) {
                Ok(words) => words,
                // The name of a program, as in "[ -e /run/ready ]".
                Err(_) => shell(text),
            },
            Data::Text(text) => match text.trim().split_once(char::is_whitespace) {
                None if text.trim().eq_ignore_ascii_case("none") => return Some(Vec::new()),
                None if matches!(text.trim(), "CMD" | "CMD-SHELL") => Vec::new(),
                Some(("CMD-SHELL", rest)) => shell(rest.trim_start()),
                Some(("CMD", _)) => self.command(key, value)?,
                _ => shell(text),
            },
            _ => self.command(key, value)?,
        };
        let words = match words.first().map(String::as_str) {
            Some("NONE" | "none") if words.len() == 1 => return Some(Vec::new()),
            Some("CMD-SHELL") => shell(&words.get(1..).unwrap_or_default().join(" ")),
            Some("CMD") => words.get(1..).unwrap_or_default().to_vec(),
            _ => words,
        };
        let names_nothing = words.first().is_none_or(String::is_empty)
            || (words.len() == 3 && words.starts_with(&SHELL.map(str::to_owned)) && words[2].trim().is_empty());
        if names_nothing || words.iter().any(|word| word.contains('\0')) {
            let why = if names_nothing {
                "it names no program"
            } else {
                "a value cannot hold a NUL byte"
            };
            self.impossible(key, value.span, why);
            return None;
        }
        Some(words)
    }

    /// An interval or a timeout.
    fn check_span(&mut self, key: &Key, value: &Value<'_>) -> Option<u64> {
        if matches!(&value.data, Data::Text(text) if text == "disable") && key.name.ends_with("Interval") {
            return Some(NEVER);
        }
        let span = self.milliseconds(key, value)?;
        if span < Health::SHORTEST {
            let why = format_args!("it is too short, write at least {}ms", Health::SHORTEST);
            self.impossible(key, value.span, why);
            return None;
        }
        Some(span)
    }

    fn milliseconds(&mut self, key: &Key, value: &Value<'_>) -> Option<u64> {
        let text = self.time_span(key, value)?;
        let span = milliseconds(&text).filter(|span| *span <= LONGEST);
        if span.is_none() {
            self.impossible(key, value.span, format_args!("'{text}' is too long, write at most 1w"));
        }
        span
    }

    /// A number from `least` on.
    fn count(&mut self, key: &Key, value: &Value<'_>, least: u32) -> Option<u32> {
        let number = match &value.data {
            Data::Integer(number) => u32::try_from(*number).ok(),
            Data::Text(text) => text.parse().ok(),
            _ => {
                self.wrong_type(key, value);
                return None;
            }
        };
        let number = number.filter(|number| *number >= least);
        if number.is_none() {
            self.impossible(key, value.span, format_args!("write a whole number from {least} on"));
        }
        number
    }

    /// Podman's 0 means no limit; here there always is one, since init keeps the text.
    fn log_size(&mut self, key: &Key, value: &Value<'_>) -> Option<usize> {
        let size = usize::try_from(self.count(key, value, 0)?).ok()?;
        Some(match size {
            0 => Health::LOG_SIZE_MAX,
            size => size.min(Health::LOG_SIZE_MAX),
        })
    }

    /// Podman's words for its own ways are taken; a directory is a place that nobody would look after.
    fn log_destination(&mut self, key: &Key, value: &Value<'_>) {
        let Some(text) = self.text(key, value) else { return };
        if !matches!(text.as_ref(), "local" | "events_logger" | "journal" | "journald") {
            let message = format!("'{}' is always the journal, ignoring", key.name);
            let suggestion = Some("'journalctl -u UNIT' shows each change of a container's health".to_owned());
            self.report.say(Severity::Warning, value.span, message, suggestion);
        }
    }
}

/// The longest span: a week.
const LONGEST: u64 = 7 * 24 * 3600 * 1000;

const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// `text` as a command for the container's shell.
fn shell(text: &str) -> Vec<String> {
    let words = SHELL.into_iter().map(Cow::Borrowed);
    words.chain([Cow::Borrowed(text)]).map(Cow::into_owned).collect()
}
