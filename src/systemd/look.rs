//! Looks at units closely: what `coracle apply`, `update` and `list` have to know of each, and which sockets a manager really has.
//!
//! What systemd says of a socket's addresses is what its file says now. After a reload that changed them it has closed the old ones and opened
//! no new ones, and still calls the unit listening; so the addresses are compared with the sockets that the manager's process holds
//! ([`crate::systemd::held`]).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::systemd::held::Held;
use crate::systemd::proxies::{BusProxy, ListedUnit, ManagerProxy, ServiceProxy, SocketProxy, UnitProxy};
use crate::systemd::{AT_ONCE, Manager, Question, connect, runtime};

/// What is to be known of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// `LoadState`.
    pub load: String,
    /// `ActiveState`.
    pub active: String,
    /// `SubState`.
    pub sub: String,
    /// The number of this run, in hexadecimal digits; empty where there is none.
    pub invocation: String,
    /// Whether it has been active or failed at any time since systemd knows it.
    pub has_run: bool,
    /// `Result`, of services and sockets.
    pub result: String,
    /// `MainPID`, of a service that has one.
    pub main_pid: Option<u32>,
    /// `NRestarts`: how often systemd has started it again, of a service that is up; only where all is asked for.
    pub restarts: u32,
    /// What it says of itself.
    pub status: String,
    /// Addresses of a socket that is active on which nobody listens; empty where that cannot be known.
    pub silent: Vec<String>,
}

impl Unit {
    /// Whether it runs, or is about to.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "activating")
    }
}

/// How closely the units are looked at. Each question takes a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closeness {
    /// Those that are inactive are not asked for more than their state.
    Living,
    /// All.
    All,
}

/// All units of the question, by name.
///
/// # Errors
/// systemd cannot be reached.
pub fn units(manager: Manager, question: &Question, closeness: Closeness) -> Result<BTreeMap<String, Unit>> {
    runtime()?.block_on(async {
        let connection = connect(manager).await?;
        let proxy = ManagerProxy::new(&connection).await.context("asking systemd")?;
        let mut listed = Vec::new();
        if !question.names.is_empty() {
            let names: Vec<&str> = question.names.iter().map(String::as_str).collect();
            let units = proxy.list_units_by_names(&names).await;
            listed = units.context("asking systemd for its units")?;
        }
        if !question.patterns.is_empty() {
            let patterns: Vec<&str> = question.patterns.iter().map(String::as_str).collect();
            let instances = proxy.list_units_by_patterns(&[], &patterns).await;
            listed.extend(instances.context("asking systemd for the instances of templates")?);
        }
        let held = held(&connection, manager, &listed).await;
        Ok(all(&connection, listed, held.as_ref(), closeness).await)
    })
}

/// The sockets of the manager's process, where there is a socket to be looked for and the process may be looked at.
async fn held(connection: &Connection, manager: Manager, listed: &[ListedUnit]) -> Option<Held> {
    let is_open = |unit: &ListedUnit| unit.name.ends_with(".socket") && unit.active == "active";
    if !listed.iter().any(is_open) {
        return None;
    }
    let pid = match manager {
        Manager::System => 1,
        Manager::User => {
            let bus = BusProxy::new(connection).await.ok()?;
            bus.process_of("org.freedesktop.systemd1").await.ok()?
        }
    };
    Held::by(pid).ok()
}

/// A unit by its name, and what it says that it listens on: each time how, and where.
type Answer = (String, Unit, Vec<(String, String)>);

async fn all(
    connection: &Connection,
    listed: Vec<ListedUnit>,
    held: Option<&Held>,
    closeness: Closeness,
) -> BTreeMap<String, Unit> {
    let mut units = BTreeMap::new();
    let mut under_way = JoinSet::new();
    let mut take = |answer: Option<Answer>| {
        if let Some((name, mut unit, listen)) = answer {
            if let Some(held) = held.filter(|_| unit.active == "active") {
                let silent = listen.into_iter().filter(|(kind, address)| !held.has(kind, address));
                unit.silent = silent.map(|(_, address)| address).collect();
            }
            units.insert(name, unit);
        }
    };
    for unit in listed {
        if under_way.len() >= AT_ONCE {
            take(under_way.join_next().await.and_then(Result::ok).flatten());
        }
        under_way.spawn(ask(connection.clone(), unit, closeness));
    }
    while let Some(answer) = under_way.join_next().await {
        take(answer.ok().flatten());
    }
    units
}

/// A unit that is forgotten meanwhile is not there, which is the truth.
async fn ask(connection: Connection, listed: ListedUnit, closeness: Closeness) -> Option<Answer> {
    let mut unit = Unit {
        load: listed.load,
        active: listed.active,
        sub: listed.sub,
        has_run: true,
        ..Unit::default()
    };
    let mut listen = Vec::new();
    if unit.active == "inactive" && closeness == Closeness::Living {
        return Some((listed.name, unit, listen));
    }
    let object = UnitProxy::builder(&connection).cache_properties(CacheProperties::No);
    let object = object.path(listed.path.clone()).build().await.ok()?;
    if unit.active == "inactive" {
        let (entered, left) = (
            object.active_enter_timestamp().await,
            object.inactive_enter_timestamp().await,
        );
        unit.has_run = entered.ok()? != 0 || left.ok()? != 0;
    }
    if listed.name.ends_with(".socket") {
        let socket = SocketProxy::builder(&connection).cache_properties(CacheProperties::No);
        let socket = socket.path(listed.path).build().await.ok()?;
        match unit.active.as_str() {
            "failed" => unit.result = socket.outcome().await.unwrap_or_default(),
            "active" => listen = socket.listen().await.unwrap_or_default(),
            _ => {}
        }
    } else if listed.name.ends_with(".service") {
        let service = ServiceProxy::builder(&connection).cache_properties(CacheProperties::No);
        let service = service.path(listed.path).build().await.ok()?;
        unit.status = service.status_text().await.unwrap_or_default();
        if unit.is_up() {
            unit.main_pid = service.main_pid().await.ok().filter(|pid| *pid != 0);
            let id = object.invocation_id().await.unwrap_or_default();
            unit.invocation = id.iter().map(|byte| format!("{byte:02x}")).collect();
            if closeness == Closeness::All {
                unit.restarts = service.restarts().await.unwrap_or_default();
            }
        } else {
            unit.result = service.outcome().await.unwrap_or_default();
            // One that is just stopping has one too.
            unit.main_pid = service.main_pid().await.ok().filter(|pid| *pid != 0);
        }
    }
    Some((listed.name, unit, listen))
}
