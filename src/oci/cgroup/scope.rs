//! A container's scope, when systemd owns its control group (systemd.scope(5)).
//!
//! systemd makes the group and knows it: it is stopped with its slice, shown by systemctl(1), and its limits are properties that survive a
//! reload. What is below the group is ours (`Delegate=`), and so are the values for which systemd has no property.

use std::path::Path;

use anyhow::Result;
use nix::unistd::Pid;

use crate::oci::cgroup::limits::weight;
use crate::oci::config::Resources;
use crate::systemd::property::Property;
use crate::systemd::scope;

/// Makes the scope `unit` in `slice` around process `pid`.
///
/// # Errors
/// systemd cannot be reached, or refuses it.
pub fn start(slice: &str, unit: &str, pid: Pid, resources: &Resources) -> Result<()> {
    scope::start(unit, slice, pid.as_raw().cast_unsigned(), properties(resources))
}

/// Changes its limits.
///
/// # Errors
/// systemd cannot be reached, or refuses them.
pub fn update(unit: &str, resources: &Resources) -> Result<()> {
    scope::update(unit, &properties(resources))
}

/// Stops the scope if its group, which is `directory`, is still there: then systemd has not seen its end yet, or never will.
pub fn forget(unit: &str, directory: &Path) {
    if directory.exists() {
        let _ = scope::stop(unit);
    }
}

/// The limits that systemd has properties for; what is written to the group's files besides is the same.
fn properties(resources: &Resources) -> Vec<Property> {
    let mut properties: Vec<Property> = Vec::new();
    let mut set = |name: &str, value: Option<u64>| {
        properties.extend(value.map(|value| (name.to_owned(), value.into())));
    };
    let or_infinity = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX);
    if let Some(memory) = &resources.memory {
        let limit = memory.limit.filter(|limit| *limit != 0);
        set("MemoryMax", limit.map(or_infinity));
        set("MemoryLow", memory.reservation.filter(|low| *low != 0).map(or_infinity));
        let swap = memory.swap.filter(|swap| *swap != 0);
        let swap = swap.map(|swap| {
            if swap < 0 {
                u64::MAX
            } else {
                or_infinity(swap - limit.unwrap_or(0))
            }
        });
        set("MemorySwapMax", swap);
    }
    if let Some(cpu) = &resources.cpu {
        set("CPUWeight", cpu.shares.filter(|shares| *shares != 0).map(weight));
        if let Some(quota) = cpu.quota.filter(|quota| *quota != 0) {
            let period = cpu.period.filter(|period| *period != 0).unwrap_or(100_000);
            // Microseconds of each second.
            let share = u64::try_from(quota).map_or(u64::MAX, |quota| quota.saturating_mul(1_000_000) / period);
            set("CPUQuotaPerSecUSec", Some(share));
            set("CPUQuotaPeriodUSec", Some(period));
        }
    }
    let pids = resources.pids.and_then(|pids| pids.limit).filter(|limit| *limit != 0);
    set("TasksMax", pids.map(or_infinity));
    properties
}
