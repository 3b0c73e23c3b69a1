//! `pause`, `resume`, `update` and `events`: what the control group of a container can be told and asked.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::oci::arguments::{Events, Update};
use crate::oci::cgroup::{self, Cgroup, limits, scope};
use crate::oci::config::{Memory, Resources};
use crate::oci::container::{Directory, Record, Status};
use crate::oci::print;

/// Lets a container stand still.
///
/// # Errors
/// It does not run, or has no control group of its own.
pub fn pause(directory: &Directory) -> Result<()> {
    freeze(directory, &[Status::Running, Status::Created], "1")
}

/// Lets it go on.
///
/// # Errors
/// It is not paused.
pub fn resume(directory: &Directory) -> Result<()> {
    freeze(directory, &[Status::Paused], "0")
}

fn freeze(directory: &Directory, from: &[Status], value: &str) -> Result<()> {
    let _locked = directory.lock()?;
    let record = directory.read()?;
    let status = directory.status(&record);
    ensure!(
        from.contains(&status),
        "container '{}' is {}",
        directory.id,
        status.name()
    );
    record
        .cgroup
        .set("cgroup.freeze", value)
        .context("freezing the control group")?;
    for _ in 0..1000 {
        if record.cgroup.is_frozen() == (value == "1") {
            return Ok(());
        }
        sleep(Duration::from_millis(2));
    }
    let _ = record.cgroup.set("cgroup.freeze", "0");
    bail!("the container's processes do not come to a stop within 2 s")
}

/// Changes a container's limits.
///
/// # Errors
/// The kernel or systemd does not take them.
pub fn update(directory: &Directory, options: &Update) -> Result<()> {
    let _locked = directory.lock()?;
    let record = directory.read()?;
    ensure!(
        directory.status(&record) != Status::Stopped,
        "container '{}' has stopped",
        directory.id
    );
    let resources = resources(options)?;
    let settings = limits::settings(&resources)?;
    if let Some(memory) = &resources.memory {
        check_usage(memory, &record.cgroup)?;
    }
    if let Some(unit) = &record.cgroup.scope {
        scope::update(unit, &resources)?;
    }
    let top = cgroup::mount_point().unwrap_or(Path::new("/sys/fs/cgroup"));
    limits::apply(&record.cgroup, top, &settings)
}

/// A limit below what is used takes effect by killing. `checkBeforeUpdate` asks for a refusal, as version 1 has it.
fn check_usage(memory: &Memory, group: &Cgroup) -> Result<()> {
    let limit = memory.limit.and_then(|limit| u64::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit != 0);
    let (Some(true), Some(limit), Some(directory)) = (memory.check_before_update, limit, &group.directory) else {
        return Ok(());
    };
    let path = directory.join("memory.current");
    let text = fs::read_to_string(&path).with_context(|| format!("reading '{}'", path.display()))?;
    let used: u64 = text.trim().parse()?;
    ensure!(
        used <= limit,
        "the memory limit stays as it is ('checkBeforeUpdate'): it would be {limit}, and {used} are in use"
    );
    Ok(())
}

fn resources(options: &Update) -> Result<Resources> {
    let mut resources: Resources = match &options.resources {
        None => Resources::default(),
        Some(path) => {
            let mut text = Vec::new();
            if path == Path::new("-") {
                std::io::stdin()
                    .take(1 << 20)
                    .read_to_end(&mut text)
                    .context("reading standard input")?;
            } else {
                text = fs::read(path).with_context(|| format!("reading '{}'", path.display()))?;
            }
            serde_json::from_slice(&text).with_context(|| format!("reading '{}'", path.display()))?
        }
    };
    let memory = resources.memory.get_or_insert_default();
    memory.limit = options.memory.or(memory.limit);
    memory.reservation = options.memory_reservation.or(memory.reservation);
    memory.swap = options.memory_swap.or(memory.swap);
    let cpu = resources.cpu.get_or_insert_default();
    cpu.quota = options.cpu_quota.or(cpu.quota);
    cpu.period = options.cpu_period.or(cpu.period);
    cpu.shares = options.cpu_share.or(cpu.shares);
    cpu.cpus = options.cpuset_cpus.clone().or(cpu.cpus.take());
    cpu.mems = options.cpuset_mems.clone().or(cpu.mems.take());
    let pids = resources.pids.get_or_insert_default();
    pids.limit = options.pids_limit.or(pids.limit);
    let block = resources.block_io.get_or_insert_default();
    block.weight = options.blkio_weight.or(block.weight);
    Ok(resources)
}

/// Prints what a container uses, once or again and again until it has ended.
///
/// # Errors
/// There is no such container.
pub fn events(directory: &Directory, options: &Events) -> Result<u8> {
    let seconds = options
        .interval
        .trim_end_matches('s')
        .parse()
        .ok()
        .filter(|seconds| *seconds > 0);
    let pause: u64 = seconds.with_context(|| format!("'{}' is no number of seconds", options.interval))?;
    loop {
        let record = directory.read()?;
        ensure!(
            directory.status(&record) != Status::Stopped,
            "container '{}' has stopped",
            directory.id
        );
        let line = json!({"type": "stats", "id": directory.id, "data": statistics(&record)});
        print(&[line.to_string()])?;
        if options.stats {
            return Ok(0);
        }
        sleep(Duration::from_secs(pause));
    }
}

/// What the group's files say.
fn statistics(record: &Record) -> Value {
    let read = |file: &str| {
        let directory = record.cgroup.directory.as_ref()?;
        fs::read_to_string(directory.join(file)).ok()
    };
    let number = |file: &str| read(file).and_then(|text| text.trim().parse::<u64>().ok());
    let fields = |file: &str| -> Map<String, Value> {
        let text = read(file).unwrap_or_default();
        let pair = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), json!(value.parse::<u64>().ok()?)))
        };
        text.lines().filter_map(pair).collect()
    };
    let cpu = fields("cpu.stat");
    let microseconds = |name: &str| cpu.get(name).and_then(Value::as_u64).unwrap_or(0) * 1000;
    let count = |name: &str| cpu.get(name).and_then(Value::as_u64).unwrap_or(0);
    json!({
        "cpu": {
            "usage": {
                "total": microseconds("usage_usec"),
                "kernel": microseconds("system_usec"),
                "user": microseconds("user_usec"),
            },
            "throttling": {
                "periods": count("nr_periods"),
                "throttledPeriods": count("nr_throttled"),
                "throttledTime": microseconds("throttled_usec"),
            },
        },
        "memory": {
            "usage": {"limit": number("memory.max").unwrap_or(u64::MAX), "usage": number("memory.current").unwrap_or(0), "max": number("memory.peak").unwrap_or(0), "failcnt": 0},
            "swap": {"limit": number("memory.swap.max").unwrap_or(u64::MAX), "usage": number("memory.swap.current").unwrap_or(0), "failcnt": 0},
            "raw": fields("memory.stat"),
        },
        "pids": {"current": number("pids.current").unwrap_or(record.cgroup.processes().len() as u64), "limit": number("pids.max").unwrap_or(0)},
    })
}
