//! The command line: what was typed, and which verb it means. One file a verb, all printing in [`output`].
//!
//! Nothing here changes a definition; and, but for what a change of definitions or images brings with it (`apply`, `update`), starting, stopping and reading logs of what is defined is systemctl's and journalctl's work, and
//! stays it.

pub mod apply;
mod broken;
pub mod check;
pub mod completions;
pub mod cp;
pub mod diff;
pub mod exec;
pub mod explain;
pub mod image;
mod inside;
pub mod journal;
pub mod list;
pub mod man;
pub mod network;
pub mod output;
pub mod probe;
pub mod run;
pub mod scope;
pub mod set;
pub mod show;
pub mod stats;
pub mod top;
mod units;
pub mod update;
pub mod volume;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli::output::{Output, When};

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "coracle",
    version,
    about = "Containers as plain systemd services that wake up when somebody connects",
    long_about = LONG_ABOUT,
    after_long_help = EXAMPLES,
    max_term_width = 100,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Arguments {
    /// When to use colours. Where it is not said, on a terminal only, and never with $NO_COLOR set
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub color: When,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const LONG_ABOUT: &str = "\
Containers as plain systemd services that wake up when somebody connects.

A file NAME.toml in /etc/coracle becomes NAME.service and NAME.socket at the next 'systemctl daemon-reload' or 'coracle apply'. From then on they are \
units like any other: systemctl starts and stops them, journalctl shows their logs. This command checks and shows definitions, shows \
what containers use, runs single commands in containers, and keeps the images and volumes.";

const EXAMPLES: &str = "\
Examples:
  coracle init IMAGE             run it once, and write a definition that fits
  coracle check                  look for mistakes before the reload
  coracle apply                  reload, and do what a daemon-reload leaves undone
  coracle list                   what is defined, and what runs
  coracle show web --units       the units that 'web' becomes
  coracle explain PublishPort    what a key means
  coracle run IMAGE [CMD...]     a command in a container of its own
  coracle exec -it web sh        a shell in a container that runs
  coracle update web             restart it with its image's new version
  coracle stats                  what the running containers use
  coracle image import FILE      take what 'docker save' wrote
  coracle volume list            the volumes, and what uses them

Exit status: 0 done, 1 failed or mistakes found, 2 wrong command line.
Manual pages: coracle(1), coracle.toml(5); 'coracle man' prints them, 'coracle completions SHELL' completions.";

/// The verbs. Each is described by its own arguments, from which its help and its manual page are made.
#[derive(Debug, Subcommand)]
#[allow(
    missing_docs,
    reason = "a comment here would stand in the help instead of that description"
)]
pub enum Verb {
    Check(check::Arguments),
    Apply(apply::Arguments),
    List(list::Arguments),
    Run(Box<run::Arguments>),
    Exec(exec::Arguments),
    Cp(cp::Arguments),
    Diff(diff::Arguments),
    Stats(stats::Arguments),
    Top(top::Arguments),
    Set(set::Arguments),
    Update(update::Arguments),
    Show(show::Arguments),
    Explain(explain::Arguments),
    Probe(probe::Arguments),
    Init(probe::Init),
    Image(image::Arguments),
    Network(network::Arguments),
    Volume(volume::Arguments),
    #[command(hide = true)]
    Man(man::Arguments),
    #[command(hide = true)]
    Completions(completions::Arguments),
}

/// Does what was typed.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut output = Output::stdout(arguments.color);
    let code = match arguments.verb {
        Verb::Check(arguments) => check::run(&arguments, &mut output),
        Verb::Apply(arguments) => apply::run(&arguments, &mut output),
        Verb::List(arguments) => list::run(&arguments, &mut output),
        Verb::Run(arguments) => run::run(&arguments, &mut output),
        Verb::Exec(arguments) => exec::run(&arguments),
        Verb::Cp(arguments) => cp::run(&arguments),
        Verb::Diff(arguments) => diff::run(&arguments, &mut output),
        Verb::Stats(arguments) => stats::run(&arguments, &mut output),
        Verb::Top(arguments) => top::run(&arguments, &mut output),
        Verb::Set(arguments) => set::run(&arguments, &mut output),
        Verb::Update(arguments) => update::run(&arguments, &mut output),
        Verb::Show(arguments) => show::run(&arguments, &mut output),
        Verb::Explain(arguments) => explain::run(&arguments, &mut output),
        Verb::Probe(arguments) => probe::run(&arguments, &mut output),
        Verb::Init(arguments) => probe::init(&arguments, &mut output),
        Verb::Image(arguments) => image::run(&arguments, &mut output),
        Verb::Network(arguments) => network::run(&arguments, &mut output),
        Verb::Volume(arguments) => volume::run(&arguments, &mut output),
        Verb::Man(arguments) => man::run(&arguments, &mut output),
        Verb::Completions(arguments) => completions::run(&arguments, &mut output),
    }?;
    output.finish()?;
    Ok(code)
}
