//! `coracle check [FILE…]`: what the generator would say at the next daemon-reload.
//!
//! The same parser and the same generator decide here and there, so that a clean check means a clean reload. Nothing is written.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};
use serde::Serialize;

use crate::cli::broken::sentence;
use crate::cli::output::{Format, Output, Paint, visible};
use crate::cli::scope::Scope;
use crate::definition::diagnostic::{Diagnostic, Severity};
use crate::definition::places::{self, Contents};
use crate::generate::broken::Broken;
use crate::generate::generate;

/// Look for mistakes in definitions
///
/// Says what the generator would say at the next daemon-reload, and exits with status 1 if there is an error. Given files are checked on
/// their own, wherever they lie; otherwise all definitions are, also against each other.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coracle check\n  coracle check web.toml && sudo install -m 644 web.toml /etc/coracle/\n  coracle check --format json | jq '.diagnostics[].line'"
)]
pub struct Arguments {
    /// Definitions, instead of all in their places
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Whose definitions.
    #[command(flatten)]
    pub scope: Scope,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    definitions: usize,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<Diagnostic>,
    broken: Vec<Broken>,
}

/// Prints the mistakes.
pub fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<ExitCode> {
    let contents = if arguments.files.is_empty() {
        arguments.scope.contents()
    } else {
        places::load_files(&arguments.files, &arguments.scope.places())
    };
    let findings = find(contents, &arguments.scope);
    match arguments.format {
        Format::Json => output.json(&findings)?,
        Format::Table => print(&findings, &arguments.scope, output)?,
    }
    Ok(if findings.errors > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn find(contents: Contents, scope: &Scope) -> Findings {
    let generated = generate(&contents.definitions, &scope.context());
    let mut diagnostics: Vec<Diagnostic> = generated
        .diagnostics
        .into_iter()
        .map(|report| report.diagnostic)
        .collect();
    diagnostics.extend(contents.volumes.iter().flat_map(|volume| volume.diagnostics.clone()));
    diagnostics.extend(contents.strays);
    let count = |severity| {
        diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    };
    Findings {
        definitions: contents.definitions.len() + contents.volumes.len(),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        diagnostics,
        broken: generated.broken,
    }
}

fn print(findings: &Findings, scope: &Scope, output: &mut Output) -> anyhow::Result<()> {
    for diagnostic in &findings.diagnostics {
        explain(diagnostic, output)?;
    }
    for broken in &findings.broken {
        output.line(&visible(&sentence(broken)))?;
    }
    if findings.definitions == 0 && findings.diagnostics.is_empty() {
        return output.line(&format!("no definitions in {}", scope.describe_places()));
    }
    let files: BTreeSet<_> = findings.diagnostics.iter().map(|diagnostic| &diagnostic.file).collect();
    let verdict = match (findings.errors, findings.warnings) {
        (0, 0) => output.paint(Paint::Green, "no mistakes"),
        (errors, warnings) => {
            let counted = format!(
                "{}, {} in {}",
                count(errors, "error"),
                count(warnings, "warning"),
                count(files.len(), "file")
            );
            output.paint(if errors > 0 { Paint::Red } else { Paint::Yellow }, &counted)
        }
    };
    output.line(&format!(
        "{} checked: {verdict}",
        count(findings.definitions, "definition")
    ))
}

/// The text of [`Diagnostic::render`], with colours.
fn explain(diagnostic: &Diagnostic, output: &mut Output) -> anyhow::Result<()> {
    let paint = match diagnostic.severity {
        Severity::Error => Paint::Red,
        Severity::Warning => Paint::Yellow,
    };
    let place = output.paint(Paint::Bold, &diagnostic.place());
    let severity = output.paint(paint, &diagnostic.severity.to_string());
    output.line(&format!("{place}: {severity}: {}", diagnostic.sentence()))?;
    if let Some((line, carets)) = diagnostic.excerpt() {
        let number = diagnostic.line.to_string();
        let gutter = output.paint(Paint::Dim, &format!(" {number} |"));
        let blank = output.paint(Paint::Dim, &format!(" {:width$} |", "", width = number.len()));
        output.line(&format!("{gutter} {line}\n{blank} {}", output.paint(paint, &carets)))?;
    }
    Ok(())
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
