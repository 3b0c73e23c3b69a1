//! `coracle explain [KEY]`: what a key of the definition files means, from the key table.
//!
//! Decides nothing of its own about keys: what is printed is the table, with a default and an example beside it.

pub mod examples;

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use crate::cli::explain::examples::{default, example};
use crate::cli::output::{Cell, Format, Output, Paint};
use crate::definition::diagnostic::Severity;
use crate::definition::keys::{self, Key, Kind, Origin, Repeat, Section, Support, newer};

/// Explain a key of the definition files
///
/// Without a key, all keys are listed. Keys of systemd's sections that are not listed go through to systemd as they are:
/// systemd.directives(7) says where each is described.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coracle explain PublishPort\n  coracle explain Socket.Accept\n  coracle explain | grep -i health"
)]
pub struct Arguments {
    /// The key, or SECTION.KEY; upper and lower case are the same
    pub key: Option<String>,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
}

/// A key as it is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Explanation {
    key: &'static str,
    section: &'static str,
    meaning: &'static str,
    value: String,
    repeatable: bool,
    default: Option<&'static str>,
    /// `carried-out`, `not-yet` or `never`.
    support: &'static str,
    /// What using it does where it is not carried out: `warning`, and the container starts without it, or `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<&'static str>,
    origin: &'static str,
    since: String,
    /// Not of a key that will never be carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<String>,
}

/// Prints one key or all.
pub fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<ExitCode> {
    let keys: Vec<&Key> = match &arguments.key {
        Some(name) => find(name)?,
        None => keys::all().collect(),
    };
    match (arguments.format, &arguments.key) {
        (Format::Json, _) => output.json(&keys.iter().map(|key| explain(key)).collect::<Vec<_>>())?,
        (Format::Table, None) => output.table(&["KEY", "SECTION", "VALUE", "SUPPORT", "MEANING"], &rows(&keys))?,
        (Format::Table, Some(_)) => {
            for (index, key) in keys.iter().enumerate() {
                if index > 0 {
                    output.line("")?;
                }
                print(&explain(key), output)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The keys of this name, or an error with the nearest one.
fn find(typed: &str) -> anyhow::Result<Vec<&'static Key>> {
    let (section, name) = match typed.split_once('.') {
        Some((section, name)) => (Some(section.trim_matches(['[', ']'])), name),
        None => (None, typed),
    };
    let mut found = keys::find_anywhere(name);
    if let Some(section) = section {
        if !Section::ALL
            .iter()
            .any(|known| known.name().eq_ignore_ascii_case(section))
        {
            bail!(
                "there is no section '{section}'; the sections are {}",
                Section::ALL.map(Section::name).join(", ")
            );
        }
        found.retain(|key| key.section.name().eq_ignore_ascii_case(section));
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let near = match section.and_then(Section::find) {
        Some(section) => keys::nearest(section, name),
        None => keys::nearest_anywhere(name),
    };
    match near {
        Some(near) => bail!(
            "there is no key '{typed}', did you mean '{}' in [{}]? (systemd's own keys: systemd.directives(7))",
            near.name,
            near.section
        ),
        None => bail!("there is no key '{typed}' of Coracle's; systemd.directives(7) explains systemd's own"),
    }
}

fn explain(key: &Key) -> Explanation {
    let (support, effect, reason, instead) = match key.support {
        Support::CarriedOut => ("carried-out", None, None, None),
        Support::NotYet { severity, meanwhile } => ("not-yet", Some(severity), None, Some(meanwhile)),
        Support::Never {
            severity,
            reason,
            instead,
        } => ("never", Some(severity), Some(reason), Some(instead)),
    };
    Explanation {
        key: key.name,
        section: key.section.name(),
        meaning: key.meaning,
        value: value(key.kind),
        repeatable: key.repeat == Repeat::Many,
        default: default(key),
        support,
        effect: effect.map(|severity: Severity| severity.to_string()),
        reason,
        instead: instead.filter(|instead| !instead.is_empty()),
        origin: match key.origin {
            Origin::Quadlet => "podman-systemd.unit(5)",
            Origin::Coracle => "coracle.toml(5)",
            Origin::Systemd => "systemd.directives(7)",
        },
        since: since(key),
        example: (support != "never").then(|| example(key)),
    }
}

/// What to write, as a phrase.
#[must_use]
pub fn value(kind: Kind) -> String {
    match kind {
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
        kind => kind.wanted().to_owned(),
    }
}

/// The first version that knows it: Coracle's, and systemd's where not every supported one does.
#[must_use]
pub fn since(key: &Key) -> String {
    match newer::since(key.name).filter(|_| key.section == Section::Socket) {
        Some(version) => format!("{}, with systemd {version}", key.since),
        None => key.since.to_owned(),
    }
}

/// Whether a key is carried out, as a sentence.
#[must_use]
pub fn support(key: &Key) -> String {
    let explanation = explain(key);
    let effect = match explanation.effect.as_deref() {
        Some("error") => ", and a definition that uses it does not start",
        Some(_) => ", and the container starts without it",
        None => "",
    };
    let mut sentence = match key.support {
        Support::CarriedOut => "carried out".to_owned(),
        Support::NotYet { .. } => format!("not carried out yet{effect}"),
        Support::Never { reason, .. } => format!("not carried out, since {reason}{effect}"),
    };
    if let Some(instead) = explanation.instead {
        sentence.push_str(": ");
        sentence.push_str(instead);
    }
    sentence
}

fn print(explanation: &Explanation, output: &mut Output) -> anyhow::Result<()> {
    let name = output.paint(Paint::Bold, explanation.key);
    output.line(&format!("{name} in [{}]\n", explanation.section))?;
    output.line(&format!("  {}\n", explanation.meaning))?;
    let times = if explanation.repeatable {
        "; repeatable, as an array"
    } else {
        ""
    };
    let mut fields = vec![("Value", format!("{}{times}", explanation.value))];
    fields.extend(explanation.default.map(|default| ("Default", default.to_owned())));
    let key = keys::all().find(|key| key.name == explanation.key && key.section.name() == explanation.section);
    fields.extend(key.map(|key| ("Support", support(key))));
    fields.push(("Since", explanation.since.clone()));
    fields.push(("See", explanation.origin.to_owned()));
    for (name, text) in fields {
        let name = output.paint(Paint::Dim, &format!("{name:<8}"));
        output.line(&format!("  {name}  {text}"))?;
    }
    let Some(example) = &explanation.example else {
        return Ok(());
    };
    output.line("")?;
    example.lines().try_for_each(|line| output.line(&format!("    {line}")))
}

fn rows(keys: &[&Key]) -> Vec<Vec<Cell>> {
    keys.iter()
        .map(|key| {
            let explanation = explain(key);
            let paint = match (explanation.support, explanation.effect.as_deref()) {
                ("carried-out", _) => Paint::Green,
                (_, Some("error")) => Paint::Red,
                _ => Paint::Yellow,
            };
            vec![
                Cell::new(key.name, Paint::Bold),
                Cell::plain(key.section.name()),
                Cell::plain(short(key.kind)),
                Cell::new(explanation.support, paint),
                Cell::plain(key.meaning),
            ]
        })
        .collect()
}

/// One word for what a key takes.
fn short(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Text => "text",
        Kind::Integer => "integer",
        Kind::Size => "size",
        Kind::TimeSpan => "time-span",
        Kind::Command => "command",
        Kind::Map => "map",
        Kind::Signal => "signal",
        Kind::Path => "path",
        Kind::Choice(_) => "word",
    }
}
