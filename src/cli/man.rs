//! `coracle man [PAGE]`: the manual pages, from the description of the command line and from the key table.
//!
//! What the program prints cannot fall behind what it does. Packages write the pages at build time: `coracle man` lists their names, one
//! a line, and `coracle man NAME` prints one.

mod format;

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::cli;
use crate::cli::output::Output;
use crate::oci;

/// Print a manual page
///
/// Without a page, the names of all pages are printed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coracle man\n  coracle man coracle.toml.5 | man -l -")]
pub struct Arguments {
    /// The page: coracle.1, coracle-check.1, coracle.toml.5, coracle-oci.8 …
    pub page: Option<String>,
}

/// The page of the file format.
const FORMAT_PAGE: &str = "coracle.toml.5";

/// The end of each page of a verb.
const SEE_ALSO: &str = r".SH SEE ALSO
coracle(1), coracle.toml(5), systemctl(1), journalctl(1), systemd.service(5), systemd.socket(5)
";

/// Prints one page, or the names of all.
pub fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<ExitCode> {
    let pages = pages();
    let Some(wanted) = &arguments.page else {
        pages.iter().try_for_each(|(name, _)| output.line(name))?;
        output.line(FORMAT_PAGE)?;
        return Ok(ExitCode::SUCCESS);
    };
    if wanted == FORMAT_PAGE || wanted == "coracle.toml" {
        output.bytes(format::page().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some((name, command)) = pages
        .into_iter()
        .find(|(name, _)| name == wanted || name.rsplit_once('.').is_some_and(|(bare, _)| bare == wanted))
    else {
        bail!("there is no page '{wanted}'; 'coracle man' lists the pages");
    };
    let mut page = Vec::new();
    let section = name.rsplit_once('.').map_or("1", |(_, section)| section).to_owned();
    let man = Man::new(command)
        .section(section)
        .source(concat!("coracle ", env!("CARGO_PKG_VERSION")))
        .manual("Coracle");
    man.render(&mut page).context("writing the page")?;
    let page = String::from_utf8(page).context("writing the page")?;
    output.bytes(page.replace(".SH EXTRA\n", ".SH EXAMPLES\n").as_bytes())?;
    output.bytes(SEE_ALSO.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The pages of the program and of each verb that is not hidden: file names and what describes them.
fn pages() -> Vec<(String, Command)> {
    let mut root = cli::Arguments::command();
    root.build();
    let mut pages = Vec::new();
    collect(&root, &mut pages);
    // Its verbs are for engines, so one page names them all.
    let mut engine = oci::arguments::Arguments::command();
    engine.build();
    pages.push(("coracle-oci.8".to_owned(), engine));
    pages
}

fn collect(command: &Command, pages: &mut Vec<(String, Command)>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    pages.push((format!("{name}.1"), command.clone()));
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        collect(verb, pages);
    }
}
