//! The default profile: what every container may call, what it may with a capability, and what it is refused.
//!
//! It is the profile that Docker and Podman share. Where the two differ a call passes only if it passes in both, so that a program which
//! runs under this one runs under either; the answers are Podman's: a call that is known and refused fails with `EPERM`, one that is not
//! known with `ENOSYS`, so that C libraries fall back to an older one. Which call has which number, and which exists at all, differs
//! between architectures; the lists hold for all of them.
//!
//! Against Podman's file of 2025, call by call on three tables and for seventeen sets of capabilities, the differences are these. Docker
//! ties to a capability, and so do we, what Podman leaves to the kernel: clone(2) into new namespaces, clone3, unshare, mounting by all its
//! calls and setns (`CAP_SYS_ADMIN`, to which we tie pivot_root too, which Docker never lets through), memory policies (`CAP_SYS_NICE`), pidfd_getfd (`CAP_SYS_PTRACE`), reboot (`CAP_SYS_BOOT`),
//! syslog (`CAP_SYSLOG`). Docker refuses, and so do we, keyctl and `AF_VSOCK`. Of Docker's list, Podman refuses io_uring, vmsplice and the
//! like, and so do we. perf_event_open passes with `CAP_PERFMON` or `CAP_SYS_ADMIN`, as in Docker: Podman's two rules for it cancel each other.
//! And we compare the domain and protocol of socket(2) by the 32 bits that the kernel looks at, so that upper bits do not get around it.

use std::borrow::Cow;

use crate::plan::capability;
use crate::plan::seccomp::call::{Call, calls};
use crate::plan::seccomp::{Action, Comparison, Condition, Rule};
use crate::sys::capability::Mask;

/// The answer to what is not known.
pub(super) const ANSWER: Action = Action::Errno(errno(libc::ENOSYS));

/// The answer to what is refused.
const REFUSED: Action = Action::Errno(errno(libc::EPERM));

/// The rules for a payload with `capabilities`.
pub(super) fn rules(capabilities: Mask) -> Vec<Rule> {
    let has = |names: &[&str]| names.iter().any(|name| capability::holds(capabilities, name));
    let mut rules: Vec<Rule> = ALLOWED.iter().map(|calls| plain(calls, Action::Allow)).collect();
    rules.push(plain(&NEVER, REFUSED));
    for (names, calls) in BY_CAPABILITY {
        rules.push(plain(calls, if has(names) { Action::Allow } else { REFUSED }));
    }
    if has(&["CAP_SYS_ADMIN"]) {
        rules.push(plain(&NEW_PROCESS, Action::Allow));
    } else {
        rules.extend(clone_without_namespaces());
    }
    rules.extend(personality());
    rules.extend(socket(has(&["CAP_AUDIT_WRITE"])));
    rules
}

fn plain(calls: &'static [Call], action: Action) -> Rule {
    rule(calls, action, Vec::new())
}

fn rule(calls: &'static [Call], action: Action, conditions: Vec<Condition>) -> Rule {
    Rule {
        calls: Cow::Borrowed(calls),
        action,
        conditions,
    }
}

const fn when(argument: u8, comparison: Comparison) -> Condition {
    Condition { argument, comparison }
}

const fn bits(mask: u64, value: u64) -> Comparison {
    Comparison::Masked { mask, value }
}

/// clone(2) with none of the `CLONE_NEW…` flags. What clone3(2) asks for lies in memory, where a filter does not see it: libraries fall
/// back to clone(2) where it does not exist.
fn clone_without_namespaces() -> Vec<Rule> {
    let flag = |flag: u64| rule(&NEW_PROCESS[..1], REFUSED, vec![when(0, bits(flag, flag))]);
    let mut rules: Vec<Rule> = NAMESPACES.into_iter().map(flag).collect();
    let none = bits(NAMESPACES.iter().sum(), 0);
    rules.push(rule(&NEW_PROCESS[..1], Action::Allow, vec![when(0, none)]));
    rules
}

/// personality(2): Linux and 32-bit Linux, each with the host name of old kernels or not, and the question which one it is.
fn personality() -> Vec<Rule> {
    let allowed = |value| rule(&PERSONALITY, Action::Allow, vec![when(0, Comparison::Equal(value))]);
    [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff].map(allowed).into()
}

/// socket(2) but for the host's audit log, and for virtual machine sockets, which no network namespace holds back.
fn socket(may_write_audit: bool) -> Vec<Rule> {
    const WORD: u64 = 0xffff_ffff;
    const NETLINK: u64 = 16;
    const AUDIT: u64 = 9;
    const VSOCK: u64 = 40;
    let invalid = Action::Errno(errno(libc::EINVAL));
    let vsock = rule(&SOCKET, REFUSED, vec![when(0, bits(WORD, VSOCK))]);
    let audit = rule(
        &SOCKET,
        invalid,
        vec![when(0, bits(WORD, NETLINK)), when(2, bits(WORD, AUDIT))],
    );
    if may_write_audit {
        let others = rule(&SOCKET, Action::Allow, vec![when(0, Comparison::NotEqual(VSOCK))]);
        return vec![vsock, others];
    }
    let others = |argument, value| {
        rule(
            &SOCKET,
            Action::Allow,
            vec![when(argument, Comparison::NotEqual(value))],
        )
    };
    vec![audit, vsock, others(0, NETLINK), others(2, AUDIT)]
}

const fn errno(number: i32) -> u16 {
    let [low, high, ..] = number.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// `CLONE_NEWNS`, `…CGROUP`, `…UTS`, `…IPC`, `…USER`, `…PID`, `…NET`.
const NAMESPACES: [u64; 7] = [
    0x2_0000,
    0x200_0000,
    0x400_0000,
    0x800_0000,
    0x1000_0000,
    0x2000_0000,
    0x4000_0000,
];

const NEW_PROCESS: [Call; 2] = calls(["clone", "clone3"]);
const PERSONALITY: [Call; 1] = calls(["personality"]);
const SOCKET: [Call; 1] = calls(["socket"]);

/// What passes whatever the arguments and capabilities.
static ALLOWED: [&[Call]; 10] = [
    &PATHS, &FILES, &WAITING, &MEMORY, &PROCESSES, &IDENTITY, &SIGNALS, &TIME, &SOCKETS, &MESSAGES,
];

/// What passes with one of these capabilities and is refused without.
static BY_CAPABILITY: [(&[&str], &[Call]); 14] = [
    (
        &["CAP_SYS_ADMIN"],
        &calls([
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "pivot_root",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "umount",
            "umount2",
            "unshare",
        ]),
    ),
    (&["CAP_SYS_ADMIN", "CAP_BPF"], &calls(["bpf"])),
    (&["CAP_SYS_ADMIN", "CAP_PERFMON"], &calls(["perf_event_open"])),
    (&["CAP_SYS_ADMIN", "CAP_SYSLOG"], &calls(["syslog"])),
    (&["CAP_DAC_READ_SEARCH"], &calls(["open_by_handle_at"])),
    (&["CAP_SYS_BOOT"], &calls(["reboot"])),
    (&["CAP_SYS_CHROOT"], &calls(["chroot"])),
    (
        &["CAP_SYS_MODULE"],
        &calls(["delete_module", "finit_module", "init_module", "query_module"]),
    ),
    (&["CAP_SYS_NICE"], &calls(["get_mempolicy", "mbind", "set_mempolicy"])),
    (&["CAP_SYS_PACCT"], &calls(["acct"])),
    (&["CAP_SYS_PTRACE"], &calls(["kcmp", "pidfd_getfd", "process_madvise"])),
    (&["CAP_SYS_RAWIO"], &calls(["ioperm", "iopl"])),
    (
        &["CAP_SYS_TIME"],
        &calls(["clock_settime", "clock_settime64", "settimeofday", "stime"]),
    ),
    (&["CAP_SYS_TTY_CONFIG"], &calls(["vhangup"])),
];

/// What is refused whatever the capabilities: old calls with a history, and new ones that nobody misses.
const NEVER: [Call; 35] = calls([
    "bdflush",
    "cachestat",
    "futex_requeue",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "io_pgetevents",
    "io_pgetevents_time64",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "map_shadow_stack",
    "migrate_pages",
    "move_pages",
    "nfsservctl",
    "nice",
    "oldfstat",
    "oldlstat",
    "oldolduname",
    "oldstat",
    "olduname",
    "pciconfig_iobase",
    "pciconfig_read",
    "pciconfig_write",
    "sgetmask",
    "ssetmask",
    "swapoff",
    "swapon",
    "sysfs",
    "uselib",
    "userfaultfd",
    "ustat",
    "vm86",
    "vm86old",
    "vmsplice",
]);

/// Files by their path, and their attributes.
const PATHS: [Call; 67] = calls([
    "access",
    "chdir",
    "chmod",
    "chown",
    "chown32",
    "creat",
    "faccessat",
    "faccessat2",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchown32",
    "fchownat",
    "fgetxattr",
    "flistxattr",
    "fremovexattr",
    "fsetxattr",
    "fstatat64",
    "futimesat",
    "getcwd",
    "getxattr",
    "lchown",
    "lchown32",
    "lgetxattr",
    "link",
    "linkat",
    "listxattr",
    "llistxattr",
    "lremovexattr",
    "lsetxattr",
    "lstat",
    "lstat64",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "name_to_handle_at",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "readlink",
    "readlinkat",
    "removexattr",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "setxattr",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statx",
    "symlink",
    "symlinkat",
    "truncate",
    "truncate64",
    "umask",
    "unlink",
    "unlinkat",
    "utime",
    "utimensat",
    "utimensat_time64",
    "utimes",
]);

/// What is done with an open file.
const FILES: [Call; 54] = calls([
    "_llseek",
    "arm_fadvise64_64",
    "arm_sync_file_range",
    "close",
    "close_range",
    "copy_file_range",
    "dup",
    "dup2",
    "dup3",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "flock",
    "fstat",
    "fstat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftruncate",
    "ftruncate64",
    "getdents",
    "getdents64",
    "io_cancel",
    "io_destroy",
    "io_getevents",
    "io_setup",
    "io_submit",
    "ioctl",
    "lseek",
    "memfd_create",
    "memfd_secret",
    "pipe",
    "pipe2",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readv",
    "sendfile",
    "sendfile64",
    "splice",
    "sync",
    "sync_file_range",
    "syncfs",
    "tee",
    "write",
    "writev",
]);

/// Waiting for files, events and other threads.
const WAITING: [Call; 28] = calls([
    "_newselect",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "epoll_wait_old",
    "eventfd",
    "eventfd2",
    "fanotify_mark",
    "futex",
    "futex_time64",
    "get_robust_list",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "membarrier",
    "poll",
    "ppoll",
    "ppoll_time64",
    "pselect6",
    "pselect6_time64",
    "rseq",
    "select",
    "set_robust_list",
]);

/// Memory, one's own and that of processes one may trace.
const MEMORY: [Call; 23] = calls([
    "brk",
    "cacheflush",
    "madvise",
    "mincore",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mmap2",
    "modify_ldt",
    "mprotect",
    "mremap",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "process_mrelease",
    "process_vm_readv",
    "process_vm_writev",
    "remap_file_pages",
]);

/// Processes, threads, how they are scheduled, and the machine they see.
const PROCESSES: [Call; 50] = calls([
    "arch_prctl",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "fork",
    "get_thread_area",
    "getcpu",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getrlimit",
    "getrusage",
    "getsid",
    "gettid",
    "ioprio_get",
    "ioprio_set",
    "pidfd_open",
    "prlimit64",
    "ptrace",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_rr_get_interval_time64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    "set_thread_area",
    "set_tid_address",
    "set_tls",
    "setpgid",
    "setpriority",
    "setrlimit",
    "setsid",
    "sysinfo",
    "ugetrlimit",
    "uname",
    "vfork",
    "wait4",
    "waitid",
    "waitpid",
]);

/// Who a process is, and giving rights away.
const IDENTITY: [Call; 39] = calls([
    "capget",
    "capset",
    "getegid",
    "getegid32",
    "geteuid",
    "geteuid32",
    "getgid",
    "getgid32",
    "getgroups",
    "getgroups32",
    "getresgid",
    "getresgid32",
    "getresuid",
    "getresuid32",
    "getuid",
    "getuid32",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "prctl",
    "seccomp",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setgid",
    "setgid32",
    "setgroups",
    "setgroups32",
    "setregid",
    "setregid32",
    "setresgid",
    "setresgid32",
    "setresuid",
    "setresuid32",
    "setreuid",
    "setreuid32",
    "setuid",
    "setuid32",
]);

/// Signals.
const SIGNALS: [Call; 22] = calls([
    "breakpoint",
    "kill",
    "pause",
    "pidfd_send_signal",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo",
    "sigaltstack",
    "signal",
    "signalfd",
    "signalfd4",
    "sigprocmask",
    "sigreturn",
    "tgkill",
    "tkill",
]);

/// Clocks and timers. Setting a clock takes its capability, which the kernel asks for.
const TIME: [Call; 28] = calls([
    "adjtimex",
    "alarm",
    "clock_adjtime",
    "clock_adjtime64",
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "getitimer",
    "gettimeofday",
    "nanosleep",
    "setitimer",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_gettime64",
    "timer_settime",
    "timer_settime64",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_gettime64",
    "timerfd_settime",
    "timerfd_settime64",
    "times",
]);

/// Sockets, once there is one.
const SOCKETS: [Call; 21] = calls([
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "send",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socketcall",
    "socketpair",
]);

/// System V and POSIX message queues, semaphores and shared memory.
const MESSAGES: [Call; 22] = calls([
    "ipc",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedreceive_time64",
    "mq_timedsend",
    "mq_timedsend_time64",
    "mq_unlink",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "semtimedop_time64",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
]);
