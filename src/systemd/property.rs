//! Keys of unit files as systemd takes them over D-Bus: under the bus's name for them, with a value of the right type.
//!
//! `coracle run` makes a unit of what the generator would write into a file, and `coracle set` changes a unit that runs. Both name
//! properties as systemd.resource-control(5), systemd.service(5) and their kind do. A key that is not in this table is an error and never
//! guessed at, because systemd tells a wrong type from an unknown name no better than by refusing the whole call.

mod values;

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail};
use zbus::{Fd, Variant};

use crate::definition::keys::{Section, nearest_of, refused};
use crate::systemd::property::values::{
    Amount, addresses, boolean, command, count, limits, of_device, quota, scaled, set, signal, size, span, weight,
    words,
};

/// One property as a call takes it.
pub type Property = (String, Variant<'static>);

/// How a key's text becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// As it is.
    Text,
    Boolean,
    /// A signed number.
    Number,
    /// An unsigned number.
    Count,
    /// Bytes; a share goes under another name, with `Scale` behind it.
    Size,
    /// Tasks; the same.
    Tasks,
    /// Under another name, in microseconds.
    Span(&'static str),
    /// `CPUQuotaPerSecUSec`.
    Quota,
    Weight,
    Set,
    Words,
    Command,
    Addresses,
    Signal,
    /// Bytes a second of a device, 1000 to the kilobyte.
    Bandwidth,
    /// Operations a second of a device.
    Operations,
    DeviceWeight,
    DeviceTime,
    DeviceAllow,
    /// A credential and where it comes from.
    Credential,
    /// A resource limit in bytes: with a second property for the soft one.
    LimitSize,
    /// A resource limit that is a number.
    LimitCount,
    /// Access bits.
    Mode,
    /// The addresses of a socket: a kind of `Listen`.
    Listen,
}

use Shape::{
    Addresses, Bandwidth, Boolean, Command, Count, Credential, DeviceAllow, DeviceTime, DeviceWeight, LimitCount,
    LimitSize, Listen, Mode, Number, Operations, Quota, Set, Signal, Size, Span, Tasks, Text, Weight, Words,
};

/// What is known, sorted by name.
const KEYS: &[(&str, Shape)] = &[
    ("After", Words),
    ("AllowedCPUs", Set),
    ("AllowedMemoryNodes", Set),
    ("Before", Words),
    ("BindsTo", Words),
    ("CPUAccounting", Boolean),
    ("CPUQuota", Quota),
    ("CPUQuotaPeriodSec", Span("CPUQuotaPeriodUSec")),
    ("CPUWeight", Weight),
    ("CollectMode", Text),
    ("Conflicts", Words),
    ("DefaultDependencies", Boolean),
    ("Delegate", Boolean),
    ("Description", Text),
    ("DeviceAllow", DeviceAllow),
    ("DevicePolicy", Text),
    ("ExecStart", Command),
    ("ExecStartPre", Command),
    ("ExecStopPost", Command),
    ("FileDescriptorName", Text),
    ("FreeBind", Boolean),
    ("IOAccounting", Boolean),
    ("IODeviceLatencyTargetSec", DeviceTime),
    ("IODeviceWeight", DeviceWeight),
    ("IOReadBandwidthMax", Bandwidth),
    ("IOReadIOPSMax", Operations),
    ("IOWeight", Weight),
    ("IOWriteBandwidthMax", Bandwidth),
    ("IOWriteIOPSMax", Operations),
    ("IPAccounting", Boolean),
    ("IPAddressAllow", Addresses),
    ("IPAddressDeny", Addresses),
    ("ImportCredential", Words),
    ("KillMode", Text),
    ("KillSignal", Signal),
    ("LimitAS", LimitSize),
    ("LimitCORE", LimitSize),
    ("LimitDATA", LimitSize),
    ("LimitFSIZE", LimitSize),
    ("LimitMEMLOCK", LimitSize),
    ("LimitNOFILE", LimitCount),
    ("LimitNPROC", LimitCount),
    ("LimitRSS", LimitSize),
    ("LimitSTACK", LimitSize),
    ("ListenDatagram", Listen),
    ("ListenStream", Listen),
    ("LoadCredential", Credential),
    ("LoadCredentialEncrypted", Credential),
    ("ManagedOOMMemoryPressure", Text),
    ("ManagedOOMPreference", Text),
    ("ManagedOOMSwap", Text),
    ("MemoryAccounting", Boolean),
    ("MemoryHigh", Size),
    ("MemoryLow", Size),
    ("MemoryMax", Size),
    ("MemoryMin", Size),
    ("MemorySwapMax", Size),
    ("MemoryZSwapMax", Size),
    ("Nice", Number),
    ("NotifyAccess", Text),
    ("OOMPolicy", Text),
    ("OOMScoreAdjust", Number),
    ("OnFailure", Words),
    ("OnSuccess", Words),
    ("PartOf", Words),
    ("RemoveOnStop", Boolean),
    ("Requires", Words),
    ("RequiresMountsFor", Words),
    ("RuntimeMaxSec", Span("RuntimeMaxUSec")),
    ("Slice", Text),
    ("SocketMode", Mode),
    ("SourcePath", Text),
    ("StandardError", Text),
    ("StandardInput", Text),
    ("StandardOutput", Text),
    ("StartLimitBurst", Count),
    ("StartLimitIntervalSec", Span("StartLimitIntervalUSec")),
    ("StartupCPUWeight", Weight),
    ("StartupIOWeight", Weight),
    ("StopWhenUnneeded", Boolean),
    ("SyslogIdentifier", Text),
    ("TasksAccounting", Boolean),
    ("TasksMax", Tasks),
    ("TimeoutAbortSec", Span("TimeoutAbortUSec")),
    ("TimeoutSec", Span("TimeoutUSec")),
    ("TimeoutStartSec", Span("TimeoutStartUSec")),
    ("TimeoutStopSec", Span("TimeoutStopUSec")),
    ("Type", Text),
    ("Wants", Words),
    ("WantsMountsFor", Words),
    ("WatchdogSec", Span("WatchdogUSec")),
];

/// The names of all keys that can be given.
pub fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(name, _)| *name)
}

/// A property that is a descriptor, such as `StandardInputFileDescriptor`.
#[must_use]
pub fn descriptor(name: &str, descriptor: OwnedFd) -> Property {
    (name.to_owned(), Variant::Fd(Fd::from(descriptor)))
}

/// Takes `KEY=VALUE` apart.
///
/// # Errors
/// There is no equals sign, or nothing before it.
pub fn split(text: &str) -> Result<(&str, &str)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key, value)),
        _ => bail!("'{text}' is not KEY=VALUE, such as MemoryMax=256M"),
    }
}

/// The properties that a key with this value sets: two where there is a soft limit too.
///
/// # Errors
/// A key that is not known here, or a value that it does not take, with what it would take.
pub fn parse(key: &str, value: &str) -> Result<Vec<Property>> {
    let found = KEYS
        .binary_search_by(|(name, _)| name.cmp(&key))
        .ok()
        .and_then(|at| KEYS.get(at));
    let Some((_, shape)) = found else {
        if let Some(refusal) = refused::find(Section::Service, key, value, &[]) {
            let instead = refusal
                .instead
                .map(|instead| format!(": {instead}"))
                .unwrap_or_default();
            bail!("the property '{key}' {}{instead}", refusal.why);
        }
        match nearest_of(key, names()) {
            Some(near) => bail!("the property '{key}' is not known here, did you mean '{near}'?"),
            None => bail!("the property '{key}' is not known here: write it into [Service] of a definition"),
        }
    };
    if let Some(control) = value.chars().find(|c| c.is_control() && *c != '\t') {
        bail!(
            "'{key}' cannot hold the control character '{}'",
            control.escape_default()
        );
    }
    shape.parse(key, value).with_context(|| format!("'{key}={value}'"))
}

impl Shape {
    fn parse(self, key: &str, value: &str) -> Result<Vec<Property>> {
        let same = |value: Variant<'static>| Ok(vec![(key.to_owned(), value)]);
        let amount = |amount: Amount| match amount {
            Amount::Absolute(value) => Ok(vec![(key.to_owned(), value.into())]),
            Amount::Share(share) => Ok(vec![(format!("{key}Scale"), share.into())]),
        };
        match self {
            Text => same(value.to_owned().into()),
            Boolean => same(boolean(value)?.into()),
            Number => same(value.parse::<i32>().context("write a whole number")?.into()),
            Count => same(value.parse::<u32>().context("write a whole number")?.into()),
            // An empty value takes a limit back, as it does in a unit file.
            Size if value.is_empty() => same(neutral(key).into()),
            Size => amount(size(value)?),
            Tasks if value.is_empty() => same(values::INFINITY.into()),
            Tasks => amount(count(value)?),
            Span(name) => Ok(vec![(name.to_owned(), span(value)?.into())]),
            Quota => Ok(vec![("CPUQuotaPerSecUSec".to_owned(), quota(value)?.into())]),
            Weight => same(weight(value)?.into()),
            Set => same(set(value)?.into()),
            Words => same(words(value)?.into()),
            Command => same(vec![command(value)?].into()),
            Addresses => same(addresses(value)?.into()),
            Signal => same(signal(value)?.into()),
            Bandwidth => same(per_device(value, |text| scaled(text, 1000))?),
            Operations => same(per_device(value, |text| scaled(text, 1000))?),
            DeviceWeight => same(per_device(value, |text| weight(text).ok())?),
            DeviceTime => same(per_device(value, |text| span(text).ok())?),
            DeviceAllow => same(device_allow(value)?),
            Credential => {
                // Without a path it is looked for under its own name.
                let (id, source) = value.split_once(':').unwrap_or((value, value));
                same(vec![(id.to_owned(), source.to_owned())].into())
            }
            LimitSize => soft_and_hard(key, limits(value, |text| scaled(text, 1024))?),
            LimitCount => soft_and_hard(key, limits(value, |text| text.parse().ok())?),
            Mode => same(
                u32::from_str_radix(value, 8)
                    .context("write a mode such as 0660")?
                    .into(),
            ),
            Listen => {
                let kind = key.trim_start_matches("Listen").to_owned();
                Ok(vec![("Listen".to_owned(), vec![(kind, value.to_owned())].into())])
            }
        }
    }
}

/// What a memory limit is without one: lower bounds are nothing, upper ones infinite.
fn neutral(key: &str) -> u64 {
    match key {
        "MemoryMin" | "MemoryLow" => 0,
        _ => values::INFINITY,
    }
}

fn soft_and_hard(key: &str, (soft, hard): (u64, u64)) -> Result<Vec<Property>> {
    Ok(vec![(key.to_owned(), hard.into()), (format!("{key}Soft"), soft.into())])
}

/// An empty list takes back what was set.
fn per_device(value: &str, number: impl Fn(&str) -> Option<u64>) -> Result<Variant<'static>> {
    let mut devices: Vec<(String, u64)> = Vec::new();
    if !value.is_empty() {
        let (device, value) = of_device(value)?;
        let number = number(&value).context("write a device and a number, such as '/dev/sda 10M'")?;
        devices.push((device, number));
    }
    Ok(devices.into())
}

fn device_allow(value: &str) -> Result<Variant<'static>> {
    let mut devices: Vec<(String, String)> = Vec::new();
    match words(value)?.as_slice() {
        [] => {}
        [device] => devices.push((device.clone(), "rwm".to_owned())),
        [device, access] if access.chars().all(|c| "rwm".contains(c)) => devices.push((device.clone(), access.clone())),
        _ => bail!("write a device and what is allowed, such as '/dev/fuse rw'"),
    }
    Ok(devices.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> (String, String) {
        let properties = parse(key, value).unwrap();
        let (name, value) = &properties[0];
        (name.clone(), format!("{} {value}", value.value_signature()))
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(KEYS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn types_are_those_of_the_bus() {
        for (key, value, name, signature) in [
            ("MemoryMax", "256M", "MemoryMax", "t"),
            ("MemoryMax", "50%", "MemoryMaxScale", "u"),
            ("TasksMax", "64", "TasksMax", "t"),
            ("CPUQuota", "50%", "CPUQuotaPerSecUSec", "t"),
            ("CPUWeight", "200", "CPUWeight", "t"),
            ("AllowedCPUs", "0-1", "AllowedCPUs", "ay"),
            ("IOReadBandwidthMax", "/dev/sda 1M", "IOReadBandwidthMax", "a(st)"),
            ("IOReadBandwidthMax", "", "IOReadBandwidthMax", "a(st)"),
            ("IPAddressDeny", "any", "IPAddressDeny", "a(iayu)"),
            ("IPAddressDeny", "", "IPAddressDeny", "a(iayu)"),
            ("DeviceAllow", "/dev/fuse rw", "DeviceAllow", "a(ss)"),
            ("LoadCredential", "db", "LoadCredential", "a(ss)"),
            ("ImportCredential", "db", "ImportCredential", "as"),
            ("ExecStart", "/bin/x a", "ExecStart", "a(sasb)"),
            ("Wants", "a.service b.service", "Wants", "as"),
            ("LimitNOFILE", "10:20", "LimitNOFILE", "t"),
            ("Nice", "-5", "Nice", "i"),
            ("KillSignal", "SIGINT", "KillSignal", "i"),
            ("TimeoutStopSec", "1min", "TimeoutStopUSec", "t"),
            ("ListenStream", "8080", "Listen", "a(ss)"),
            ("SocketMode", "0660", "SocketMode", "u"),
            ("Delegate", "yes", "Delegate", "b"),
        ] {
            let (got, shown) = one(key, value);
            assert_eq!(got, name);
            assert!(shown.starts_with(&format!("{signature} ")), "{key}: {shown}");
        }
    }

    #[test]
    fn what_is_not_known_is_said() {
        let error = |key, value| format!("{:#}", parse(key, value).unwrap_err());
        assert!(error("MemoryMaks", "1").contains("did you mean 'MemoryMax'?"));
        assert!(error("Nonsense", "1").contains("not known here"));
        assert!(error("MemoryMax", "lots").contains("'MemoryMax=lots': write a number of bytes"));
        assert!(error("Description", "a\nb").contains("control character"));
        assert!(split("MemoryMax").is_err() && split("=1").is_err());
        assert_eq!(split("A=b=c").unwrap(), ("A", "b=c"));
    }
}
