//! `coracle update`: has containers run from the image that their image's name leads to by now, or leaves them with what they had.
//!
//! A container knows which manifest it was started from ([`crate::run::record`]); a name may lead to another one since. Containers of one name
//! go together: they are restarted one after the other, each is waited for, and if one does not come up, the name is given back to the image
//! before ([`crate::store::refuse`]) and those that were restarted are restarted again. So a restart of tomorrow starts what runs today, and
//! nothing has to remember anything. As long as an update is at work it holds the old images' layers, since for a moment no container does.

mod act;
mod decide;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::cli::journal;
use crate::cli::output::{Cell, Format, Output, Paint, complain};
use crate::cli::scope::Scope;
use crate::store::Store;

/// Restart containers whose image has changed, and go back if they do not come up
///
/// Takes the image that the name in the definition leads to now: import it under that name first. A container that runs from another one is
/// restarted and waited for, until it is ready (Notify=) and stays up for two seconds. If it does not, the name is given back to the image before,
/// the container is restarted from that, and the refused image stays in the store under its digest, as 'coracle image list' shows. Containers with one
/// image go together, all or none. The sockets stay, and who connects meanwhile waits.
///
/// Without names, the containers with AutoUpdate=local are meant, and an image that was refused before is not tried again: so does coracle-update.timer,
/// which is enabled with 'systemctl enable --now coracle-update.timer'. A container that does not run takes its image when it is started next.
///
/// Not on a terminal, the columns are separated by tabs and have no heading: name, outcome, digests before and after, image, remark.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coracle update web\n  coracle update --dry-run\n  coracle update --format json | jq -r '.[] | select(.outcome == \"went-back\").name'\n\nExit status: 0 all run what they should, 1 something failed, 3 some went back to their old image."
)]
pub struct Arguments {
    /// The containers; without any, those with AutoUpdate=local
    pub names: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The calling user's containers instead of the system's
    #[arg(long)]
    pub user: bool,
    /// In which form
    #[arg(long, value_enum, default_value = "table", value_name = "FORM")]
    pub format: Format,
}

/// What became of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// It runs what its image's name leads to.
    Current,
    /// It does not run.
    Stopped,
    /// It was left alone, and the remark says why.
    Skipped,
    /// It would be restarted.
    Due,
    /// It runs the new image.
    Updated,
    /// It runs the old image again.
    WentBack,
    /// It could not be restarted.
    Failed,
}

/// One container in what is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) outcome: Outcome,
    pub(super) image: Option<String>,
    /// The manifests that it ran, and that its image's name leads to now.
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) remark: String,
}

/// The exit status where a container runs again, but from its old image.
const WENT_BACK: u8 = 3;

/// Updates, and says what became of each.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<ExitCode> {
    let scope = Scope {
        user: arguments.user,
        root: None,
    };
    ensure!(
        arguments.user || nix::unistd::geteuid().is_root(),
        "only root can update the system's containers; your own are updated with '--user'"
    );
    let store = Store::open(&scope.store())?;
    let candidates =
        decide::candidates(&scope, &store, &arguments.names).context("looking for what is to be updated")?;
    let rows: Vec<Row> = match arguments.dry_run {
        true => candidates.into_iter().map(|candidate| candidate.row).collect(),
        false => {
            journal::open();
            act::carry_out(&scope, &store, candidates)
        }
    };
    match arguments.format {
        Format::Json => output.json(&rows)?,
        Format::Table => output.table(
            &["NAME", "OUTCOME", "FROM", "TO", "IMAGE", "REMARK"],
            &rows.iter().map(cells).collect::<Vec<_>>(),
        )?,
    }
    output.finish()?;
    if rows.is_empty() {
        complain("no definition has AutoUpdate=; name the containers that are to be updated");
    }
    let any = |outcome| rows.iter().any(|row| row.outcome == outcome);
    Ok(match (any(Outcome::Failed), any(Outcome::WentBack)) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(WENT_BACK),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn cells(row: &Row) -> Vec<Cell> {
    let (word, paint) = match row.outcome {
        Outcome::Current => ("current", Paint::Dim),
        Outcome::Stopped => ("stopped", Paint::Dim),
        Outcome::Skipped => ("skipped", Paint::Yellow),
        Outcome::Due => ("due", Paint::Yellow),
        Outcome::Updated => ("updated", Paint::Green),
        Outcome::WentBack => ("went-back", Paint::Red),
        Outcome::Failed => ("failed", Paint::Red),
    };
    let short = |digest: &Option<String>| {
        let hex = digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:"));
        Cell::plain(hex.and_then(|hex| hex.get(..12)).unwrap_or_default())
    };
    vec![
        Cell::new(row.name.clone(), Paint::Bold),
        Cell::new(word, paint),
        short(&row.from),
        short(&row.to),
        Cell::plain(row.image.clone().unwrap_or_default()),
        Cell::plain(row.remark.clone()),
    ]
}
