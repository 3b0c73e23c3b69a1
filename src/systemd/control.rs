//! Looks at services that run, and changes their properties.

use anyhow::{Context as _, Result, anyhow};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::systemd::property::Property;
use crate::systemd::proxies::{ManagerProxy, ServiceProxy, UnitProxy};
use crate::systemd::{Manager, connect, runtime};

/// What is asked of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Its full name.
    pub unit: String,
    /// `LoadState`.
    pub load: String,
    /// `ActiveState`.
    pub active: String,
    /// Its control group below the mount point, if it has one.
    pub control_group: Option<String>,
    /// How often systemd has started it again.
    pub restarts: u32,
}

/// The services of these names, in their order.
///
/// # Errors
/// systemd cannot be reached.
pub fn services(manager: Manager, units: &[String]) -> Result<Vec<Service>> {
    runtime()?.block_on(async {
        let connection = connect(manager).await?;
        let mut services = Vec::with_capacity(units.len());
        for unit in units {
            services.push(service(&connection, unit).await?);
        }
        Ok(services)
    })
}

async fn service(connection: &Connection, unit: &str) -> Result<Service> {
    let asking = || format!("asking systemd for '{unit}'");
    let manager = ManagerProxy::new(connection).await.with_context(asking)?;
    let path = manager.load_unit(unit).await.with_context(asking)?;
    let object = UnitProxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .path(path.clone());
    let object = object.build().await.with_context(asking)?;
    let service = ServiceProxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .path(path);
    let service = service.build().await.with_context(asking)?;
    Ok(Service {
        unit: unit.to_owned(),
        load: object.load_state().await.with_context(asking)?,
        active: object.active_state().await.with_context(asking)?,
        control_group: service.control_group().await.ok().filter(|path| !path.is_empty()),
        restarts: service.restarts().await.unwrap_or_default(),
    })
}

/// What is to be known of a container to go into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Main {
    /// The main process.
    pub pid: i32,
    /// The control group, below the mount point.
    pub control_group: String,
    /// The arguments of `ExecStart=`, from the zeroth on.
    pub arguments: Vec<String>,
    /// `UMask=`.
    pub umask: u32,
    /// The keys by which systemd restricts what its processes may ask of the kernel. Such a restriction is inherited and cannot be joined.
    pub restrictions: Vec<&'static str>,
}

/// The main process of a service; `None` if it has none.
///
/// # Errors
/// systemd cannot be reached.
pub fn main_process(manager: Manager, unit: &str) -> Result<Option<Main>> {
    runtime()?.block_on(async {
        let asking = || format!("asking systemd for '{unit}'");
        let connection = connect(manager).await?;
        let manager = ManagerProxy::new(&connection).await.with_context(asking)?;
        let path = manager.load_unit(unit).await.with_context(asking)?;
        let service = ServiceProxy::builder(&connection)
            .cache_properties(CacheProperties::No)
            .path(path);
        let service = service.build().await.with_context(asking)?;
        let pid = service.main_pid().await.with_context(asking)?;
        let control_group = service.control_group().await.with_context(asking)?;
        let commands = service.exec_start().await.with_context(asking)?;
        let umask = service.umask().await.with_context(asking)?;
        let restrictions = restrictions(&service).await.with_context(asking)?;
        let pid = i32::try_from(pid)
            .ok()
            .filter(|pid| *pid != 0 && !control_group.is_empty());
        Ok(pid.map(|pid| Main {
            pid,
            control_group,
            arguments: commands.into_iter().next().map(|command| command.1).unwrap_or_default(),
            umask,
            restrictions,
        }))
    })
}

async fn restrictions(service: &ServiceProxy<'_>) -> zbus::Result<Vec<&'static str>> {
    let (lists_allowed, calls) = service.system_call_filter().await?;
    let (lists_families, families) = service.restrict_address_families().await?;
    let restrictions = [
        ("SystemCallFilter=", lists_allowed || !calls.is_empty()),
        ("RestrictAddressFamilies=", lists_families || !families.is_empty()),
        (
            "SystemCallArchitectures=",
            !service.system_call_architectures().await?.is_empty(),
        ),
        ("LockPersonality=", service.lock_personality().await?),
        ("MemoryDenyWriteExecute=", service.memory_deny_write_execute().await?),
        ("RestrictRealtime=", service.restrict_realtime().await?),
        ("RestrictSUIDSGID=", service.restrict_set_ids().await?),
    ];
    let is_set = |(key, is_set): (&'static str, bool)| is_set.then_some(key);
    Ok(restrictions.into_iter().filter_map(is_set).collect())
}

/// For how long a property is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duration {
    /// Until the next boot.
    Runtime,
    /// For good: systemd writes a drop-in below `/etc/systemd/system.control`.
    Persistent,
}

/// Changes properties of a unit that is loaded.
///
/// # Errors
/// systemd cannot be reached, or refuses one of them, and then all.
pub fn set_properties(manager: Manager, unit: &str, duration: Duration, properties: &[Property]) -> Result<()> {
    let properties: Vec<_> = properties.iter().map(|(name, value)| (name.as_str(), value)).collect();
    runtime()?.block_on(async {
        let connection = connect(manager).await?;
        let proxy = ManagerProxy::new(&connection).await.context("asking systemd")?;
        let set = proxy
            .set_unit_properties(unit, duration == Duration::Runtime, &properties)
            .await;
        set.map_err(|error| anyhow!("systemd refuses to change '{unit}': {error}"))
    })
}
