//! What a container's control group limits: the specification's words, which are version 1's, as version 2's files.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::oci::cgroup::Cgroup;
use crate::oci::config::{BlockIo, Cpu, Memory, Resources, ThrottleDevice};

/// One value, and the controller whose file it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// `memory`, `cpu` …; nothing for the core's own files.
    pub controller: String,
    /// The file.
    pub file: String,
    /// What is written there.
    pub value: String,
    /// Whether it can be done without.
    pub need: Need,
}

/// Whether a value can be done without, on a machine that lacks the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It limits something.
    Must,
    /// It says what holds without it too.
    IfThere,
}

/// The share of every group of version 1: engines write it where nobody has asked for one.
const USUAL_SHARES: u64 = 1024;

/// Decides what is written.
///
/// # Errors
/// What version 2 has no file for, or a value that none of them takes.
pub fn settings(resources: &Resources) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    let mut set = |file: &str, value: String| {
        let (controller, _) = file.split_once('.').unwrap_or((file, ""));
        settings.push(Setting {
            controller: if controller == "cgroup" {
                String::new()
            } else {
                controller.to_owned()
            },
            file: file.to_owned(),
            value,
            need: Need::Must,
        });
    };
    if let Some(word) = word_of_version_one(resources) {
        bail!("'linux.resources.{word}' is for control groups of version 1, which are not supported");
    }
    memory(resources.memory.as_ref(), &mut set)?;
    cpu(resources.cpu.as_ref(), &mut set)?;
    match resources.pids.and_then(|pids| pids.limit) {
        None | Some(0) => {}
        Some(limit) => set("pids.max", limit_or_max(limit)),
    }
    block_io(resources.block_io.as_ref(), &mut set);
    for limit in resources.hugepage_limits.iter().flatten() {
        ensure!(
            !limit.page_size.contains(['/', '.']),
            "'{}' is no size of pages",
            limit.page_size
        );
        // What is reserved counts first: who is refused that is told so, and not killed when the pages are used.
        for kind in ["rsvd.max", "max"] {
            set(&format!("hugetlb.{}.{kind}", limit.page_size), limit.limit.to_string());
        }
    }
    for (device, limit) in resources.rdma.iter().flatten() {
        let part = |name: &str, value: Option<u32>| value.map(|value| format!(" {name}={value}")).unwrap_or_default();
        let value = format!(
            "{device}{}{}",
            part("hca_handle", limit.hca_handles),
            part("hca_object", limit.hca_objects)
        );
        set("rdma.max", value);
    }
    for (file, value) in resources.unified.iter().flatten() {
        ensure!(
            !file.contains('/') && file.contains('.'),
            "'{file}' in 'linux.resources.unified' is no file of a control group"
        );
        set(file, value.clone());
    }
    if resources.cpu.as_ref().and_then(|cpu| cpu.shares) == Some(USUAL_SHARES) {
        let mut weights = settings.iter_mut().filter(|setting| setting.file == "cpu.weight");
        weights
            .next()
            .into_iter()
            .for_each(|weight| weight.need = Need::IfThere);
    }
    Ok(settings)
}

/// A word that asks for something which only version 1 has: to pass over it would be a promise that is not kept.
fn word_of_version_one(resources: &Resources) -> Option<&'static str> {
    let network = resources.network.as_ref();
    let memory = resources.memory.clone().unwrap_or_default();
    let cpu = resources.cpu.clone().unwrap_or_default();
    let block = resources.block_io.clone().unwrap_or_default();
    let is_limit = |limit: Option<i64>| limit.unwrap_or(0) > 0;
    let is_number = |number: Option<u16>| number.unwrap_or(0) != 0;
    let mut devices = block.weight_device.iter().flatten();
    let words = [
        (
            "network",
            network.is_some_and(|network| network.as_object().is_none_or(|fields| !fields.is_empty())),
        ),
        ("memory.kernel", is_limit(memory.kernel)),
        ("memory.kernelTCP", is_limit(memory.kernel_tcp)),
        ("memory.swappiness", memory.swappiness.is_some()),
        ("memory.disableOOMKiller", memory.disable_oom_killer == Some(true)),
        ("memory.useHierarchy", memory.use_hierarchy == Some(false)),
        (
            "cpu.realtime…",
            cpu.realtime_runtime.unwrap_or(0) != 0 || cpu.realtime_period.unwrap_or(0) != 0,
        ),
        ("blockIO.leafWeight", is_number(block.leaf_weight)),
        (
            "blockIO.weightDevice.leafWeight",
            devices.any(|device| is_number(device.leaf_weight)),
        ),
    ];
    words.into_iter().find_map(|(word, is_asked)| is_asked.then_some(word))
}

fn limit_or_max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

fn memory(memory: Option<&Memory>, set: &mut impl FnMut(&str, String)) -> Result<()> {
    let Some(memory) = memory else { return Ok(()) };
    let limit = memory.limit.filter(|limit| *limit != 0);
    // The first version counts memory and swap together, the second swap alone.
    match memory.swap.filter(|swap| *swap != 0) {
        None => {}
        Some(swap) if swap < 0 => set("memory.swap.max", "max".to_owned()),
        Some(swap) => {
            let limit = limit.filter(|limit| *limit > 0);
            let limit =
                limit.context("'linux.resources.memory.swap' counts memory too, and needs a 'limit' of that")?;
            ensure!(
                swap >= limit,
                "'linux.resources.memory.swap' is below the 'limit', which it counts too"
            );
            set("memory.swap.max", (swap - limit).to_string());
        }
    }
    if let Some(limit) = limit {
        set("memory.max", limit_or_max(limit));
    }
    if let Some(reservation) = memory.reservation.filter(|reservation| *reservation != 0) {
        set("memory.low", limit_or_max(reservation));
    }
    Ok(())
}

fn cpu(cpu: Option<&Cpu>, set: &mut impl FnMut(&str, String)) -> Result<()> {
    let Some(cpu) = cpu else { return Ok(()) };
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        set("cpu.weight", weight(shares).to_string());
    }
    let (quota, period) = (
        cpu.quota.filter(|quota| *quota != 0),
        cpu.period.filter(|period| *period != 0),
    );
    if quota.is_some() || period.is_some() {
        let quota = quota
            .filter(|quota| *quota > 0)
            .map_or("max".to_owned(), |quota| quota.to_string());
        set("cpu.max", format!("{quota} {}", period.unwrap_or(100_000)));
    }
    if let Some(burst) = cpu.burst {
        set("cpu.max.burst", burst.to_string());
    }
    if let Some(idle) = cpu.idle {
        set("cpu.idle", idle.to_string());
    }
    for (file, list) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            set(file, list.clone());
        }
    }
    Ok(())
}

/// Shares of version 1, 2 to 262144, as a weight of version 2, 1 to 10000.
#[must_use]
pub fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn block_io(block: Option<&BlockIo>, set: &mut impl FnMut(&str, String)) {
    let Some(block) = block else { return };
    // 10 to 1000 there, 1 to 10000 here.
    let weight = |weight: u16| 1 + (u64::from(weight).clamp(10, 1000) - 10) * 9999 / 990;
    if let Some(value) = block.weight.filter(|weight| *weight != 0) {
        set("io.weight", format!("default {}", weight(value)));
    }
    for device in block.weight_device.iter().flatten() {
        if let Some(value) = device.weight.filter(|weight| *weight != 0) {
            set(
                "io.weight",
                format!("{}:{} {}", device.major, device.minor, weight(value)),
            );
        }
    }
    let limits: [(&str, &Option<Vec<ThrottleDevice>>); 4] = [
        ("rbps", &block.throttle_read_bps_device),
        ("wbps", &block.throttle_write_bps_device),
        ("riops", &block.throttle_read_iops_device),
        ("wiops", &block.throttle_write_iops_device),
    ];
    for (word, devices) in limits {
        for device in devices.iter().flatten() {
            set(
                "io.max",
                format!("{}:{} {word}={}", device.major, device.minor, device.rate),
            );
        }
    }
}

/// Makes the controllers that `settings` need available in `cgroup`, below the tree's `top`, and writes them.
///
/// # Errors
/// The machine does not have a controller here, or the kernel does not take a value.
pub fn apply(cgroup: &Cgroup, top: &Path, settings: &[Setting]) -> Result<()> {
    let is_offered = |setting: &&Setting| setting.need == Need::Must || offers(top, &setting.controller);
    let settings: Vec<&Setting> = settings.iter().filter(is_offered).collect();
    if settings.is_empty() {
        return Ok(());
    }
    let Some(directory) = &cgroup.directory else {
        bail!("a limit is asked for, and the container has no control group of its own")
    };
    let mut enabled: Vec<&str> = vec![""];
    for setting in settings {
        if !enabled.contains(&setting.controller.as_str()) {
            enable(directory, top, &setting.controller).with_context(|| {
                format!(
                    "the limit '{}' needs the controller '{}'",
                    setting.file, setting.controller
                )
            })?;
            enabled.push(&setting.controller);
        }
        cgroup.set(&setting.file, &setting.value).with_context(|| {
            format!(
                "writing '{}' to '{}'",
                setting.value,
                directory.join(&setting.file).display()
            )
        })?;
    }
    Ok(())
}

/// Whether the machine has `controller` for the tree at all.
fn offers(top: &Path, controller: &str) -> bool {
    let text = fs::read_to_string(top.join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().any(|word| word == controller)
}

/// Hands `controller` down from the top to the parent of `directory`.
fn enable(directory: &Path, top: &Path, controller: &str) -> Result<()> {
    let mut above: Vec<&Path> = directory
        .ancestors()
        .skip(1)
        .take_while(|path| path.starts_with(top))
        .collect();
    above.reverse();
    for group in above {
        let read = |file: &str| fs::read_to_string(group.join(file)).unwrap_or_default();
        let has = |text: String| text.split_whitespace().any(|word| word == controller);
        if has(read("cgroup.subtree_control")) {
            continue;
        }
        ensure!(
            has(read("cgroup.controllers")),
            "which '{}' does not have: it is not in this kernel, or the host has it in control groups of version 1",
            group.display()
        );
        fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"))
            .with_context(|| format!("handing it down in '{}'", group.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{settings, weight};
    use crate::oci::config::Resources;

    fn decide(json: &str) -> Result<Vec<String>, String> {
        let resources: Resources = serde_json::from_str(json).expect("resources");
        let settings = settings(&resources).map_err(|error| error.to_string())?;
        Ok(settings
            .iter()
            .map(|one| format!("{}={}", one.file, one.value))
            .collect())
    }

    #[test]
    fn the_first_versions_words_are_the_second_versions_files() {
        let json = r#"{"memory": {"limit": 1000, "swap": 1500, "reservation": -1},
            "cpu": {"shares": 1024, "quota": 5000, "cpus": "0"}, "pids": {"limit": -1},
            "blockIO": {"weight": 10}, "hugepageLimits": [{"pageSize": "2MB", "limit": 7}], "unified": {"memory.high": "5"}}"#;
        let expected = [
            "memory.swap.max=500",
            "memory.max=1000",
            "memory.low=max",
            "cpu.weight=39",
            "cpu.max=5000 100000",
            "cpuset.cpus=0",
            "pids.max=max",
            "io.weight=default 1",
            "hugetlb.2MB.rsvd.max=7",
            "hugetlb.2MB.max=7",
            "memory.high=5",
        ];
        assert_eq!(decide(json).expect("settings"), expected);
        assert_eq!(
            (weight(0), weight(2), weight(262_144), weight(u64::MAX)),
            (1, 1, 10_000, 10_000)
        );
    }

    #[test]
    fn what_has_no_file_is_refused() {
        for json in [
            r#"{"memory": {"swap": 5}}"#,
            r#"{"memory": {"limit": 9, "swap": 5}}"#,
            r#"{"cpu": {"realtimeRuntime": 5}}"#,
            r#"{"network": {"classID": 5}}"#,
            r#"{"memory": {"kernel": 5}}"#,
            r#"{"memory": {"kernelTCP": 5}}"#,
            r#"{"memory": {"swappiness": 0}}"#,
            r#"{"memory": {"disableOOMKiller": true}}"#,
            r#"{"memory": {"useHierarchy": false}}"#,
            r#"{"blockIO": {"leafWeight": 5}}"#,
            r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 5}]}}"#,
            r#"{"unified": {"../x": "5"}}"#,
            r#"{"hugepageLimits": [{"pageSize": "../2MB", "limit": 5}]}"#,
        ] {
            assert!(decide(json).is_err(), "{json}");
        }
    }

    #[test]
    fn what_holds_in_the_second_version_anyway_is_taken() {
        let json = r#"{"network": {}, "memory": {"kernel": -1, "kernelTCP": 0, "disableOOMKiller": false, "useHierarchy": true},
            "cpu": {"realtimeRuntime": 0}, "blockIO": {"leafWeight": 0}}"#;
        assert_eq!(decide(json), Ok(Vec::new()));
    }
}
