//! Which options of `[Socket]` came with which systemd, of those that the oldest supported one (252) lacks.
//!
//! An option that systemd does not know is ignored by it with a line in the journal that nobody looks for. So such an option is left out
//! where systemd is older, and `coracle check` says so. The list has what systemd 262 knows and 252 does not: its own options
//! (systemd.socket(5)), and those of the commands that a socket unit may run (systemd.exec(5), systemd.resource-control(5)).

/// The first version of systemd that has this option in `[Socket]`; nothing if all supported ones have it, or none.
#[must_use]
pub fn since(option: &str) -> Option<u32> {
    let index = NEWER.binary_search_by(|(name, _)| (*name).cmp(option)).ok()?;
    NEWER.get(index).map(|(_, version)| *version)
}

/// Sorted by name.
const NEWER: [(&str, u32); 56] = [
    ("AcceptFileDescriptors", 258),
    ("BPFDelegateAttachments", 258),
    ("BPFDelegateCommands", 258),
    ("BPFDelegateMaps", 258),
    ("BPFDelegatePrograms", 258),
    ("BindLogSockets", 257),
    ("BindNetworkInterface", 260),
    ("CPUPressureThresholdSec", 261),
    ("CPUPressureWatch", 261),
    ("CPUSetPartition", 261),
    ("CacheDirectoryAccounting", 258),
    ("CacheDirectoryQuota", 258),
    ("CoredumpReceive", 255),
    ("DefaultStartupMemoryLow", 254),
    ("DeferTrigger", 258),
    ("DeferTriggerMaxSec", 258),
    ("DelegateNamespaces", 258),
    ("DelegateSubgroup", 254),
    ("ExtensionImagePolicy", 254),
    ("IOPressureThresholdSec", 261),
    ("IOPressureWatch", 261),
    ("ImportCredential", 254),
    ("LogFilterPatterns", 253),
    ("LogsDirectoryAccounting", 258),
    ("LogsDirectoryQuota", 258),
    ("ManagedOOMMemoryPressureDurationSec", 257),
    ("MemoryKSM", 254),
    ("MemoryPressureThresholdSec", 254),
    ("MemoryPressureWatch", 254),
    ("MemoryTHP", 260),
    ("MemoryZSwapMax", 253),
    ("MemoryZSwapWriteback", 256),
    ("MountImagePolicy", 254),
    ("NFTSet", 255),
    ("OOMRules", 261),
    ("PassFileDescriptorsToExec", 256),
    ("PassPIDFD", 258),
    ("PollLimitBurst", 255),
    ("PollLimitIntervalSec", 255),
    ("PrivateBPF", 258),
    ("PrivatePIDs", 257),
    ("RootEphemeral", 254),
    ("RootImagePolicy", 254),
    ("RootMStack", 260),
    ("SetLoginEnvironment", 255),
    ("StartupMemoryHigh", 254),
    ("StartupMemoryLow", 254),
    ("StartupMemoryMax", 254),
    ("StartupMemorySwapMax", 254),
    ("StartupMemoryZSwapMax", 254),
    ("StateDirectoryAccounting", 258),
    ("StateDirectoryQuota", 258),
    ("UserNamespacePath", 259),
    ("XAttrAccept", 262),
    ("XAttrEntryPoint", 262),
    ("XAttrListen", 262),
];

#[cfg(test)]
mod tests {
    use super::{NEWER, since};

    #[test]
    fn the_list_is_sorted() {
        for pair in NEWER.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{}", pair[1].0);
        }
        assert!(NEWER.iter().all(|(_, version)| *version > 252));
        assert_eq!((since("PassPIDFD"), since("Backlog")), (Some(258), None));
    }
}
