//! Puts a process that is there already into a unit of its own: a scope (systemd.scope(5), `StartTransientUnit()`).
//!
//! A scope is started with the processes that it is to have, and has ended when they have. The caller waits until it is there, since only
//! then the processes are in its control group.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use zbus::proxy::CacheProperties;
use zbus::{Connection, Variant};

use crate::systemd::control::{self, set_properties};
use crate::systemd::property::Property;
use crate::systemd::proxies::{ManagerProxy, UnitProxy};
use crate::systemd::{Manager, connect, runtime};

/// How long systemd may take to start it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the scope `unit` in `slice` around process `pid`, with `limits` among its properties.
///
/// # Errors
/// systemd cannot be reached, or refuses it.
pub fn start(unit: &str, slice: &str, pid: u32, limits: Vec<Property>) -> Result<()> {
    let property = |name: &str, value: Variant<'static>| (name.to_owned(), value);
    let mut properties: Vec<Property> = vec![
        property("Description", format!("Container {unit}").into()),
        property("Slice", slice.to_owned().into()),
        property("PIDs", vec![pid].into()),
        property("Delegate", true.into()),
        property("DefaultDependencies", false.into()),
        // One whose first process was killed leaves nothing to be reset.
        property("CollectMode", "inactive-or-failed".to_owned().into()),
    ];
    properties.extend(limits);
    make(Manager::System, unit, &properties)
}

/// Makes the scope `unit` of a manager around process `pid`, which wants nothing of it but to be in the control group of one of the manager's units.
///
/// # Errors
/// systemd cannot be reached, or refuses it.
pub fn join(manager: Manager, unit: &str, description: &str, pid: u32) -> Result<()> {
    let property = |name: &str, value: Variant<'static>| (name.to_owned(), value);
    make(
        manager,
        unit,
        &[
            property("Description", description.to_owned().into()),
            property("PIDs", vec![pid].into()),
            property("CollectMode", "inactive-or-failed".to_owned().into()),
        ],
    )
}

fn make(manager: Manager, unit: &str, properties: &[Property]) -> Result<()> {
    runtime()?.block_on(async {
        let connection = connect(manager).await?;
        let manager = ManagerProxy::new(&connection).await.context("asking systemd")?;
        let properties: Vec<_> = properties.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let made = manager.start_transient_unit(unit, "fail", &properties, &[]).await;
        made.map_err(|error| anyhow!("systemd refuses to make '{unit}': {error}"))?;
        let started = tokio::time::timeout(PATIENCE, await_start(&connection, &manager, unit)).await;
        started.with_context(|| format!("systemd has not started '{unit}' within {} s", PATIENCE.as_secs()))?
    })
}

/// Waits until the unit is active. Asked for and not listened to: it takes systemd a millisecond.
async fn await_start(connection: &Connection, manager: &ManagerProxy<'_>, unit: &str) -> Result<()> {
    let path = manager.load_unit(unit).await.context("asking systemd for the scope")?;
    let object = UnitProxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .path(path);
    let object = object.build().await.context("asking systemd for the scope")?;
    let mut pause = Duration::from_micros(200);
    loop {
        match object
            .active_state()
            .await
            .context("asking systemd for the scope")?
            .as_str()
        {
            "active" => return Ok(()),
            "failed" => bail!("systemd could not start '{unit}': see 'systemctl status {unit}'"),
            _ => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Changes its limits until it has ended.
///
/// # Errors
/// systemd cannot be reached, or refuses them.
pub fn update(unit: &str, limits: &[Property]) -> Result<()> {
    set_properties(Manager::System, unit, control::Duration::Runtime, limits)
}

/// Stops it if it is still there.
///
/// # Errors
/// systemd cannot be reached.
pub fn stop(unit: &str) -> Result<()> {
    runtime()?.block_on(async {
        let connection = connect(Manager::System).await?;
        let manager = ManagerProxy::new(&connection).await.context("asking systemd")?;
        // One that has ended is forgotten already, which is what was wanted.
        let _ = manager.stop_unit(unit, "replace").await;
        Ok(())
    })
}
