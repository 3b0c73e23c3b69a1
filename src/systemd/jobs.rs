//! Has systemd start, stop and restart units, and waits for what comes of it; and has it read its files anew.
//!
//! A job is over when systemd says so. A signal that is missed, because systemd was executing itself anew, is made up for by asking now and
//! then.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath};

use crate::systemd::proxies::{ManagerProxy, UnitProxy};
use crate::systemd::transient::{Event, ended_jobs, forward_jobs, unit_path};
use crate::systemd::{Manager, connect, connect_patiently, runtime};

/// What is to be done with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// `systemctl start`.
    Start,
    /// `systemctl stop`.
    Stop,
    /// `systemctl restart`.
    Restart,
}

/// How long a reload may take: generators have 90 s, and a thousand units some more.
const RELOAD: Duration = Duration::from_secs(120);

/// How often systemd is asked without a reason.
const NOW_AND_THEN: Duration = Duration::from_secs(2);

/// Has systemd run its generators and read its unit files (`systemctl daemon-reload`).
///
/// # Errors
/// systemd cannot be reached, or refuses.
pub fn reload(manager: Manager) -> Result<()> {
    runtime()?.block_on(async {
        let connection = connect_patiently(manager, RELOAD).await?;
        let proxy = ManagerProxy::new(&connection).await.context("asking systemd")?;
        proxy.reload().await.context("reloading systemd's units")
    })
}

/// Has systemd do it, and waits until it is done. Starting waits for readiness.
///
/// # Errors
/// systemd cannot be reached, refuses, or has not done it: then how the job ended is said.
pub fn carry_out(manager: Manager, job: Job, unit: &str) -> Result<()> {
    let result = runtime()?.block_on(run(manager, job, unit))?;
    match result.as_str() {
        "done" | "skipped" => Ok(()),
        _ => bail!("'{unit}' {} ({result})", failure(job)),
    }
}

fn failure(job: Job) -> &'static str {
    match job {
        Job::Start => "did not start",
        Job::Stop => "did not stop",
        Job::Restart => "did not come up again",
    }
}

async fn run(manager: Manager, job: Job, unit: &str) -> Result<String> {
    let connection = connect(manager).await?;
    let proxy = ManagerProxy::new(&connection).await.context("asking systemd")?;
    proxy.subscribe().await.context("subscribing to systemd's signals")?;
    let jobs = ended_jobs(&connection).await?;
    let (told, events) = unbounded_channel();
    tokio::spawn(forward_jobs(jobs, told));
    let queued = match job {
        Job::Start => proxy.start_unit(unit, "replace").await,
        Job::Stop => proxy.stop_unit(unit, "replace").await,
        Job::Restart => proxy.restart_unit(unit, "replace").await,
    };
    let queued = queued.map_err(|error| anyhow!("systemd refuses: {error}"))?;
    wait(&connection, &queued, job, unit, events).await
}

async fn wait(
    connection: &Connection,
    queued: &OwnedObjectPath,
    job: Job,
    unit: &str,
    mut events: UnboundedReceiver<Event>,
) -> Result<String> {
    let object = UnitProxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .path(unit_path(unit)?);
    let object = object.build().await.context("asking systemd")?;
    loop {
        tokio::select! {
            event = events.recv() => match event.context("systemd's bus has closed the connection")? {
                Event::JobOver(path, result) if path == *queued => return Ok(result),
                Event::JobOver(..) | Event::Changed => {}
            },
            () = tokio::time::sleep(NOW_AND_THEN) => {
                // Who is executing itself anew answers nobody.
                if let (Ok((0, _)), Ok(state)) = (object.job().await, object.active_state().await) {
                    // The signal may be on its way still.
                    if let Ok(Some(Event::JobOver(path, result))) =
                        tokio::time::timeout(NOW_AND_THEN, events.recv()).await
                        && path == *queued
                    {
                        return Ok(result);
                    }
                    let is_up = matches!(state.as_str(), "active" | "reloading");
                    return Ok(if is_up == (job != Job::Stop) { "done" } else { "failed" }.to_owned());
                }
            }
        }
    }
}
