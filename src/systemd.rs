//! Talks with systemd over D-Bus: asks for the state of units, here; makes units ([`transient`]), changes and looks at them ([`control`]).
//!
//! A host may have a thousand definitions, so the number of round trips does not grow with them: one call names all units at once, one
//! more asks for all instances of the templates, and only the services that run are asked for their main PID, many at a time.
//!
//! Only the `coracle` command uses this, and `coracle-oci` where it is asked for scopes ([`scope`]). Neither the generator, which runs before there is a bus, nor the shim, which a client waits
//! for, speaks D-Bus.

pub mod cgroup;
pub mod control;
pub mod held;
pub mod jobs;
pub mod look;
pub mod property;
pub mod proxies;
pub mod scope;
pub mod transient;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::systemd::proxies::{ListedUnit, ManagerProxy, ServiceProxy};

/// Which systemd is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// PID 1, on the system bus.
    System,
    /// The calling user's, on the session bus.
    User,
}

/// What systemd says of a unit, in its own words (org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// `LoadState`: `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub load: String,
    /// `ActiveState`: `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
    pub active: String,
    /// `SubState`: `running`, `listening`, `dead` …
    pub sub: String,
    /// `MainPID`, of a service that has one.
    pub main_pid: Option<u32>,
}

/// The units that were asked for: full names, and shell patterns for the instances of templates (only loaded units match these).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Such as `web.service`. Never a template, which has no state.
    pub names: Vec<String>,
    /// Such as `web@*.service`.
    pub patterns: Vec<String>,
}

/// How long systemd may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many questions are under way at once: below the bus's limit of pending replies by far.
const AT_ONCE: usize = 64;

/// The states of all units in the question, by name. Fails where the manager cannot be reached.
pub fn states(manager: Manager, question: &Question) -> anyhow::Result<BTreeMap<String, UnitState>> {
    runtime()?.block_on(ask(manager, question))
}

/// One thread that talks with systemd.
fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the D-Bus client")
}

async fn ask(manager: Manager, question: &Question) -> anyhow::Result<BTreeMap<String, UnitState>> {
    let connection = connect(manager).await?;
    let proxy = ManagerProxy::new(&connection).await.context("asking systemd")?;
    let mut listed = Vec::new();
    if !question.names.is_empty() {
        let names: Vec<&str> = question.names.iter().map(String::as_str).collect();
        listed = proxy
            .list_units_by_names(&names)
            .await
            .context("asking systemd for its units")?;
    }
    if !question.patterns.is_empty() {
        let patterns: Vec<&str> = question.patterns.iter().map(String::as_str).collect();
        let instances = proxy.list_units_by_patterns(&[], &patterns).await;
        listed.extend(instances.context("asking systemd for the instances of templates")?);
    }
    let pids = main_pids(&connection, &listed).await;
    Ok(listed
        .into_iter()
        .map(|unit| {
            let main_pid = pids.get(&unit.name).copied();
            let state = UnitState {
                load: unit.load,
                active: unit.active,
                sub: unit.sub,
                main_pid,
            };
            (unit.name, state)
        })
        .collect())
}

async fn connect(manager: Manager) -> anyhow::Result<Connection> {
    connect_patiently(manager, PATIENCE).await
}

/// The same, where one answer may take `patience`.
async fn connect_patiently(manager: Manager, patience: Duration) -> anyhow::Result<Connection> {
    let (builder, bus) = match manager {
        Manager::System => (zbus::connection::Builder::system(), "the system bus"),
        Manager::User => (zbus::connection::Builder::session(), "the user's bus"),
    };
    match tokio::time::timeout(PATIENCE, builder.method_timeout(patience).build()).await {
        Ok(Ok(connection)) => Ok(connection),
        // Its text has its causes in it already.
        Ok(Err(error)) => bail!("connecting to {bus}: {error}"),
        Err(_) => bail!("connecting to {bus}: no answer within {} s", PATIENCE.as_secs()),
    }
}

/// The main PIDs of the services that run. A service that has stopped meanwhile has none, which is the truth and no error.
async fn main_pids(connection: &Connection, listed: &[ListedUnit]) -> BTreeMap<String, u32> {
    let mut pids = BTreeMap::new();
    let mut under_way = JoinSet::new();
    for unit in listed.iter().filter(|unit| may_have_main_pid(unit)) {
        if under_way.len() >= AT_ONCE {
            pids.extend(under_way.join_next().await.and_then(Result::ok).flatten());
        }
        let (connection, name, path) = (connection.clone(), unit.name.clone(), unit.path.clone());
        under_way.spawn(async move {
            let builder = ServiceProxy::builder(&connection).cache_properties(CacheProperties::No);
            let service = builder.path(path).build().await.ok()?;
            service
                .main_pid()
                .await
                .ok()
                .filter(|pid| *pid != 0)
                .map(|pid| (name, pid))
        });
    }
    while let Some(answer) = under_way.join_next().await {
        pids.extend(answer.ok().flatten());
    }
    pids
}

fn may_have_main_pid(unit: &ListedUnit) -> bool {
    unit.name.ends_with(".service") && !matches!(unit.active.as_str(), "inactive" | "failed")
}
