//! The program that is made against the rules it is made from: an interpreter of classic BPF, and a plain reading of the rules.

use std::borrow::Cow;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};
use proptest::{collection, proptest, sample};

use crate::plan::capability::capabilities;
use crate::plan::seccomp::architecture::{Architecture, Machine, X32_BIT};
use crate::plan::seccomp::call::{COUNT, Call};
use crate::plan::seccomp::profile::{Circumstances, Kernel, parse};
use crate::plan::seccomp::{Action, Comparison, Condition, Rule, Rules, default};
use crate::sys::bpf::Instruction;

/// One call as the filter sees it.
#[derive(Debug, Clone, Copy)]
struct Made {
    audit: u32,
    number: u32,
    arguments: [u64; 6],
}

impl Made {
    fn load(&self, place: u32) -> u32 {
        let halves: Vec<u32> = self
            .arguments
            .iter()
            .flat_map(|argument| [*argument & 0xffff_ffff, argument >> 32])
            .map(|half| u32::try_from(half).unwrap())
            .collect();
        match place {
            0 => self.number,
            4 => self.audit,
            _ => {
                assert!(place >= 16 && place.is_multiple_of(4), "loads from {place}");
                halves[usize::try_from((place - 16) / 4).unwrap()]
            }
        }
    }
}

/// What the program answers, and in how many steps.
fn interpret(program: &[Instruction], made: &Made) -> (u32, usize) {
    let (mut accumulator, mut at, mut steps) = (0, 0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        steps += 1;
        let either = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            0x20 => accumulator = made.load(k),
            0x54 => accumulator &= k,
            0x05 => at += usize::try_from(k).unwrap(),
            0x15 => at += either(accumulator == k),
            0x25 => at += either(accumulator > k),
            0x35 => at += either(accumulator >= k),
            0x06 => return (k, steps),
            other => panic!("{other:#x} is no instruction for a filter"),
        }
    }
}

/// The answer by the rules alone.
fn decide(rules: &Rules, architecture: Architecture, made: &Made) -> Action {
    if !rules.architectures.contains(&architecture) {
        let is_none = architecture == Architecture::X32 && made.number == u32::MAX;
        return if is_none { rules.default } else { Action::KillProcess };
    }
    let Some(call) = Call::all().find(|call| call.number(architecture) == Some(made.number)) else {
        return rules.default;
    };
    let about: Vec<&Rule> = rules
        .rules
        .iter()
        .filter(|rule| rule.action != rules.default && rule.calls.contains(&call))
        .collect();
    if let Some(plain) = about.iter().find(|rule| rule.conditions.is_empty()) {
        return plain.action;
    }
    let holds = |condition: &Condition| {
        condition
            .comparison
            .holds(made.arguments[usize::from(condition.argument)])
    };
    let matching = about.iter().filter(|rule| rule.conditions.iter().all(holds));
    matching.map(|rule| rule.action).min().unwrap_or(rules.default)
}

fn call(name: &str) -> Call {
    Call::named(name).unwrap()
}

fn rule(names: &[&str], action: Action, conditions: Vec<Condition>) -> Rule {
    Rule {
        calls: names.iter().map(|name| call(name)).collect::<Vec<_>>().into(),
        action,
        conditions,
    }
}

fn when(argument: u8, comparison: Comparison) -> Condition {
    Condition { argument, comparison }
}

fn rules(machine: Machine, default: Action, rules: Vec<Rule>) -> Rules {
    Rules {
        machine,
        architectures: machine.architectures().to_vec(),
        default,
        rules,
    }
}

/// Every jump leads to an instruction, and no path to the end but by an answer.
fn is_sound(program: &[Instruction]) {
    assert!(program.len() <= 4096);
    for (at, instruction) in program.iter().enumerate() {
        let reach = match instruction.code {
            0x06 => continue,
            0x05 => usize::try_from(instruction.k).unwrap(),
            _ => usize::from(instruction.jt.max(instruction.jf)),
        };
        assert!(at + 1 + reach < program.len(), "{at} leads out");
    }
}

fn compare(rules: &Rules, architecture: Architecture, made: &Made, program: &[Instruction]) {
    let (answer, _) = interpret(program, made);
    assert_eq!(
        answer,
        decide(rules, architecture, made).answer(),
        "{architecture:?} {made:?}"
    );
}

// Random rules.

fn values() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..4,
        Just(0xffff_ffff),
        Just(0x1_0000_0000),
        Just(0x1_0000_0001),
        Just(u64::MAX),
        any::<u64>(),
    ]
}

fn actions() -> impl Strategy<Value = Action> {
    sample::select(vec![
        Action::KillProcess,
        Action::KillThread,
        Action::Trap,
        Action::Errno(1),
        Action::Errno(38),
        Action::Trace(7),
        Action::Log,
        Action::Allow,
    ])
}

fn conditions() -> impl Strategy<Value = Condition> {
    let comparison = (0..7, values(), values()).prop_map(|(kind, value, mask)| match kind {
        0 => Comparison::Equal(value),
        1 => Comparison::NotEqual(value),
        2 => Comparison::Less(value),
        3 => Comparison::AtMost(value),
        4 => Comparison::Greater(value),
        5 => Comparison::AtLeast(value),
        _ => Comparison::Masked { mask, value },
    });
    (0_u8..6, comparison).prop_map(|(argument, comparison)| Condition { argument, comparison })
}

fn some_rules() -> impl Strategy<Value = Rules> {
    let calls = collection::vec(0..COUNT, 1..12).prop_map(|indices| {
        let all: Vec<Call> = Call::all()
            .filter(|call| !["socketcall", "ipc"].contains(&call.name()))
            .collect();
        indices
            .into_iter()
            .map(|index| all[index % all.len()])
            .collect::<Vec<_>>()
    });
    let rule = (calls, actions(), collection::vec(conditions(), 0..4)).prop_map(|(calls, action, conditions)| Rule {
        calls: Cow::Owned(calls),
        action,
        conditions,
    });
    let machine = sample::select(vec![Machine::X86_64, Machine::Aarch64]);
    (machine, any::<[bool; 3]>(), actions(), collection::vec(rule, 0..12)).prop_map(
        |(machine, chosen, default, rules)| {
            let native = Architecture::native(machine);
            let architectures = machine.architectures().iter().zip(chosen);
            let chosen = architectures.filter(|(one, chosen)| **one == native || *chosen);
            Rules {
                machine,
                architectures: chosen.map(|(one, _)| *one).collect(),
                default,
                rules,
            }
        },
    )
}

/// socketcall(2) and ipc(2): what is said of the calls behind them is a test of its own.
const MULTIPLEXED: [u32; 2] = [102, 117];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn the_program_does_what_the_rules_say(
        rules in some_rules(),
        arguments in collection::vec([values(), values(), values(), values(), values(), values()], 4),
    ) {
        let program = rules.clone().into_filter().unwrap().program().unwrap();
        is_sound(&program);
        for architecture in rules.machine.architectures() {
            let bit = architecture.bit();
            let numbers = (0..560).chain([1023, 1024, 1025, 0xf_0000, 0xf_0001, 0xf_0005, 0xf_0006, 0xf_0007]);
            let numbers = numbers.filter(|number| *architecture != Architecture::I386 || !MULTIPLEXED.contains(number));
            for (number, arguments) in numbers.zip(arguments.iter().cycle()) {
                let made = Made { audit: architecture.audit(), number: number | bit, arguments: *arguments };
                compare(&rules, *architecture, &made, &program);
            }
        }
        let foreign = Made { audit: 0x8000_0015, number: 0, arguments: [0; 6] };
        assert_eq!(interpret(&program, &foreign).0, Action::KillProcess.answer());
        let native = Architecture::native(rules.machine);
        let none = Made { audit: native.audit(), number: u32::MAX, arguments: [0; 6] };
        assert_eq!(interpret(&program, &none).0, rules.default.answer());
    }
}

#[test]
fn far_jumps_find_stepping_stones() {
    let condition = |index: usize| {
        let value = (u64::try_from(index).unwrap() << 32) + 7;
        vec![
            when(0, Comparison::Greater(value)),
            when(1, Comparison::NotEqual(value)),
        ]
    };
    let each = |(index, call): (usize, Call)| Rule {
        calls: Cow::Owned(vec![call]),
        action: Action::Errno(u16::try_from(index).unwrap()),
        conditions: condition(index),
    };
    let all = rules(
        Machine::X86_64,
        Action::Allow,
        Call::all().enumerate().take(260).map(each).collect(),
    );
    let program = all.clone().into_filter().unwrap().program().unwrap();
    is_sound(&program);
    assert!(program.len() > 3000, "{}", program.len());
    for call in Call::all().filter(|call| call.name() != "socketcall" && call.name() != "ipc") {
        for architecture in Machine::X86_64.architectures() {
            let Some(number) = call.number(*architecture) else {
                continue;
            };
            for argument in [0, u64::MAX, (1 << 32) * 300] {
                let made = Made {
                    audit: architecture.audit(),
                    number,
                    arguments: [argument; 6],
                };
                compare(&all, *architecture, &made, &program);
            }
        }
    }
}

#[test]
fn too_long_a_profile_is_an_error() {
    let many = |call: Call| Rule {
        calls: Cow::Owned(vec![call]),
        action: Action::Errno(1),
        conditions: (0..6)
            .map(|argument| when(argument, Comparison::AtLeast(1 << 33)))
            .collect(),
    };
    let all = rules(Machine::X86_64, Action::Allow, Call::all().map(many).collect());
    let error = all.into_filter().unwrap_err().to_string();
    assert!(error.contains("instructions"), "{error}");
}

#[test]
fn socketcall_and_ipc_do_not_get_around_a_refusal() {
    let names = ["connect", "shmget", "sendto"];
    let list = rules(
        Machine::X86_64,
        Action::Allow,
        vec![rule(&names, Action::Errno(13), Vec::new())],
    );
    let program = list.into_filter().unwrap().program().unwrap();
    let through = |name: &str, argument| {
        let number = call(name).number(Architecture::I386).unwrap();
        let arguments = [argument, 0, 0, 0, 0, 0];
        let audit = Architecture::I386.audit();
        interpret(
            &program,
            &Made {
                audit,
                number,
                arguments,
            },
        )
        .0
    };
    let (refused, made) = (Action::Errno(13).answer(), Action::Allow.answer());
    for (name, argument, answer) in [
        ("socketcall", 3, refused),
        ("socketcall", 11, refused),
        ("socketcall", 1, made),
        ("ipc", 23, refused),
        ("ipc", 0x1_0017, refused),
        ("ipc", 21, made),
        ("connect", 0, refused),
    ] {
        assert_eq!(through(name, argument), answer, "{name} {argument}");
    }
}

// The default profile.

/// The answer of the default profile on x86_64.
fn by_default(add: &[&str], architecture: Architecture, name: &str, arguments: &[u64]) -> Action {
    let add: Vec<String> = add.iter().map(|name| (*name).to_owned()).collect();
    let machine = match architecture {
        Architecture::Aarch64 | Architecture::Arm => Machine::Aarch64,
        _ => Machine::X86_64,
    };
    let filter = default(machine, capabilities(&add, &[]).unwrap());
    let program = filter.program().unwrap();
    is_sound(&program);
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let made = Made {
        audit: architecture.audit(),
        number: call(name).number(architecture).unwrap(),
        arguments: all,
    };
    let decided = decide(&filter.rules, architecture, &made);
    assert_eq!(interpret(&program, &made).0, decided.answer(), "{name}");
    decided
}

#[test]
fn the_default_profile_decides() {
    const ALLOW: Action = Action::Allow;
    const EPERM: Action = Action::Errno(1);
    const ENOSYS: Action = Action::Errno(38);
    let cases: &[(&[&str], &str, &[u64], Action)] = &[
        (&[], "read", &[], ALLOW),
        (&[], "chmod", &[], ALLOW),
        (&[], "ptrace", &[], ALLOW),
        (&[], "seccomp", &[], ALLOW),
        (&[], "bind", &[], ALLOW),
        (&[], "chroot", &[], ALLOW),
        (&[], "unshare", &[0x1000_0000], EPERM),
        (&["CAP_SYS_ADMIN"], "unshare", &[0x1000_0000], ALLOW),
        (&[], "clone", &[0x11], ALLOW),
        (&[], "clone", &[0x3d_0f00], ALLOW),
        (&[], "clone", &[0x1000_0011], EPERM),
        (&[], "clone", &[0x2_0011], EPERM),
        (&[], "clone", &[0xff_0000_4000_0011], EPERM),
        (&["CAP_SYS_ADMIN"], "clone", &[0x1000_0011], ALLOW),
        (&[], "clone3", &[], ENOSYS),
        (&["CAP_SYS_ADMIN"], "clone3", &[], ALLOW),
        (&[], "setns", &[], EPERM),
        (&[], "mount", &[], EPERM),
        (&["CAP_SYS_ADMIN"], "mount", &[], ALLOW),
        (&[], "keyctl", &[], EPERM),
        (&[], "add_key", &[], ENOSYS),
        (&[], "request_key", &[], ENOSYS),
        (&[], "reboot", &[], EPERM),
        (&["CAP_SYS_BOOT"], "reboot", &[], ALLOW),
        (&["CAP_SYS_BOOT"], "kexec_load", &[], EPERM),
        (&[], "bpf", &[], EPERM),
        (&["CAP_BPF"], "bpf", &[], ALLOW),
        (&["CAP_SYS_ADMIN"], "bpf", &[], ALLOW),
        (&[], "perf_event_open", &[], EPERM),
        (&["CAP_PERFMON"], "perf_event_open", &[], ALLOW),
        (&[], "syslog", &[], EPERM),
        (&["CAP_SYSLOG"], "syslog", &[], ALLOW),
        (&[], "open_by_handle_at", &[], EPERM),
        (&["CAP_DAC_READ_SEARCH"], "open_by_handle_at", &[], ALLOW),
        (&[], "init_module", &[], EPERM),
        (&["CAP_SYS_MODULE"], "init_module", &[], ALLOW),
        (&[], "acct", &[], EPERM),
        (&["CAP_SYS_PACCT"], "acct", &[], ALLOW),
        (&[], "pidfd_getfd", &[], EPERM),
        (&["CAP_SYS_PTRACE"], "pidfd_getfd", &[], ALLOW),
        (&[], "iopl", &[], EPERM),
        (&["CAP_SYS_RAWIO"], "iopl", &[], ALLOW),
        (&[], "settimeofday", &[], EPERM),
        (&["CAP_SYS_TIME"], "settimeofday", &[], ALLOW),
        (&[], "vhangup", &[], EPERM),
        (&["CAP_SYS_TTY_CONFIG"], "vhangup", &[], ALLOW),
        (&[], "mbind", &[], EPERM),
        (&["CAP_SYS_NICE"], "mbind", &[], ALLOW),
        (&["ALL"], "userfaultfd", &[], EPERM),
        (&["ALL"], "swapon", &[], EPERM),
        (&["ALL"], "io_uring_setup", &[], ENOSYS),
        (&["ALL"], "open_tree_attr", &[], ENOSYS),
        (&[], "personality", &[0], ALLOW),
        (&[], "personality", &[8], ALLOW),
        (&[], "personality", &[0x2_0008], ALLOW),
        (&[], "personality", &[0xffff_ffff], ALLOW),
        (&[], "personality", &[0x4_0000], ENOSYS),
        (&[], "personality", &[0xff_ffff_ffff], ENOSYS),
        (&[], "socket", &[1, 1, 0], ALLOW),
        (&[], "socket", &[16, 3, 0], ALLOW),
        (&[], "socket", &[2, 3, 9], ALLOW),
        (&[], "socket", &[16, 3, 9], Action::Errno(22)),
        (&[], "socket", &[0x1_0000_0010, 3, 0x1_0000_0009], Action::Errno(22)),
        (&["CAP_AUDIT_WRITE"], "socket", &[16, 3, 9], ALLOW),
        (&["ALL"], "socket", &[40, 1, 0], EPERM),
        (&["ALL"], "socket", &[0x1_0000_0028, 1, 0], EPERM),
        (&[], "socket", &[0x1_0000_0028, 1, 0], EPERM),
    ];
    for (add, name, arguments, expected) in cases {
        for architecture in [Architecture::X86_64, Architecture::X32, Architecture::Aarch64] {
            if call(name).number(architecture).is_some() {
                let decided = by_default(add, architecture, name, arguments);
                assert_eq!(
                    decided, *expected,
                    "{name} {arguments:?} with {add:?} on {architecture:?}"
                );
            }
        }
    }
    for (architecture, name, expected) in [
        (Architecture::I386, "unshare", EPERM),
        (Architecture::I386, "umount", EPERM),
        (Architecture::I386, "vm86", EPERM),
        (Architecture::I386, "sigreturn", ALLOW),
        (Architecture::I386, "socketcall", ALLOW),
        (Architecture::I386, "arch_prctl", ALLOW),
        (Architecture::Arm, "cacheflush", ALLOW),
        (Architecture::Arm, "set_tls", ALLOW),
        (Architecture::Arm, "usr26", ENOSYS),
    ] {
        assert_eq!(by_default(&[], architecture, name, &[]), expected, "{name}");
    }
}

/// How many calls of each table are made, fail with `EPERM`, fail with `ENOSYS`, or depend on their arguments.
#[test]
fn the_default_profile_counts() {
    let count = |architecture: Architecture, add: &[&str]| {
        let mut counts = [0; 4];
        for call in Call::all().filter(|call| call.number(architecture).is_some()) {
            let place = match (call.name(), by_default(add, architecture, call.name(), &[])) {
                ("clone" | "personality" | "socket", _) => 3,
                (_, Action::Allow) => 0,
                (_, Action::Errno(1)) => 1,
                (_, Action::Errno(38)) => 2,
                other => panic!("{other:?}"),
            };
            counts[place] += 1;
        }
        counts
    };
    assert_eq!(count(Architecture::X86_64, &[]), [290, 59, 30, 3]);
}

#[test]
fn common_calls_are_decided_in_a_few_steps() {
    let filter = default(Machine::X86_64, capabilities(&[], &[]).unwrap());
    let program = filter.program().unwrap();
    assert!(program.len() < 700, "{}", program.len());
    let mut longest = (0, "");
    for call in Call::all() {
        let Some(number) = call.number(Architecture::X86_64) else {
            continue;
        };
        let audit = Architecture::X86_64.audit();
        let arguments = [0; 6];
        let made = Made {
            audit,
            number,
            arguments,
        };
        let (answer, steps) = interpret(&program, &made);
        if answer == Action::Allow.answer() && !["clone", "socket", "personality"].contains(&call.name()) {
            longest = longest.max((steps, call.name()));
        }
    }
    assert!(longest.0 <= 12, "{longest:?}");
}

// Profiles.

const BARE: Circumstances = Circumstances {
    machine: Machine::X86_64,
    kernel: Kernel(6, 1),
    capabilities: 0,
};

fn mistake(text: &str) -> String {
    format!("{:#}", parse(text, &BARE).unwrap_err())
}

#[test]
fn profiles_are_read_in_all_their_forms() {
    let text = r#"{
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_S390X"],
        "comment": {"anything": [1, null]},
        "syscalls": [
            {"name": "chmod", "action": "SCMP_ACT_ERRNO", "args": null},
            {"names": ["fchmod", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errno": "EACCES"},
            {"names": ["no_such_call"], "action": "SCMP_ACT_KILL"},
            {"names": ["kill"], "action": "SCMP_ACT_TRACE", "errnoRet": 9, "includes": {"caps": ["CAP_KILL"]}},
            {"names": ["read"], "action": "SCMP_ACT_LOG", "excludes": {"caps": ["CAP_KILL"], "arches": ["arm64"]}},
            {"names": ["write"], "action": "SCMP_ACT_TRAP", "includes": {"minKernel": "6.1", "arches": ["amd64"]}},
            {"names": ["open"], "action": "SCMP_ACT_KILL_PROCESS", "includes": {"minKernel": "6.2"}},
            {"names": ["dup3"], "action": "SCMP_ACT_ERRNO", "args": [
                {"index": 0, "value": 3, "op": "SCMP_CMP_GE"}, {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
            {"names": ["dup2"], "action": "SCMP_ACT_ERRNO", "args": [
                {"index": 0, "value": 12, "valueTwo": 4, "op": "SCMP_CMP_MASKED_EQ"},
                {"index": 1, "value": 18446744073709551615, "op": "SCMP_CMP_NE"}]}
        ]
    }"#;
    let read = parse(text, &BARE).unwrap();
    assert_eq!(read.default, Action::Allow);
    assert_eq!(read.architectures, [Architecture::X86_64, Architecture::I386]);
    assert_eq!(
        read.rules,
        [
            rule(&["chmod"], Action::Errno(1), vec![]),
            rule(&["fchmod"], Action::Errno(13), vec![]),
            rule(&["read"], Action::Log, vec![]),
            rule(&["write"], Action::Trap, vec![]),
            rule(&["dup3"], Action::Errno(1), vec![when(0, Comparison::AtLeast(3))]),
            rule(&["dup3"], Action::Errno(1), vec![when(0, Comparison::Equal(1))]),
            rule(
                &["dup2"],
                Action::Errno(1),
                vec![
                    when(0, Comparison::Masked { mask: 12, value: 4 }),
                    when(1, Comparison::NotEqual(u64::MAX)),
                ]
            ),
        ]
    );
    let capable = Circumstances {
        capabilities: 1 << 5,
        ..BARE
    };
    let read = parse(text, &capable).unwrap();
    assert!(read.rules.contains(&rule(&["kill"], Action::Trace(9), vec![])));
    assert!(!read.rules.iter().any(|rule| rule.action == Action::Log));

    let mapped = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS", "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}]}"#;
    let read = parse(mapped, &BARE).unwrap();
    assert_eq!(read.default, Action::Errno(38));
    assert_eq!(read.architectures, [Architecture::X86_64, Architecture::X32]);
    let arm = Circumstances {
        machine: Machine::Aarch64,
        ..BARE
    };
    assert_eq!(
        parse(mapped, &arm).unwrap().architectures,
        [Architecture::Aarch64, Architecture::Arm]
    );
    let program = read.into_filter().unwrap().program().unwrap();
    let old = Made {
        audit: Architecture::I386.audit(),
        number: 1,
        arguments: [0; 6],
    };
    assert_eq!(interpret(&program, &old).0, Action::KillProcess.answer());
    let marked = Made {
        audit: Architecture::X86_64.audit(),
        number: X32_BIT | 1,
        arguments: [0; 6],
    };
    assert_eq!(interpret(&program, &marked).0, Action::Errno(38).answer());
}

#[test]
fn mistakes_in_profiles_are_named() {
    let entry = |entry: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{entry}]}}"#);
    for (text, said) in [
        (String::new(), "it is no profile: EOF"),
        ("[]".to_owned(), "no profile"),
        ("{}".to_owned(), "defaultAction"),
        (r#"{"defaultAction": "ALLOW"}"#.to_owned(), "'ALLOW' is no action"),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}"#.to_owned(),
            "4096",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"}"#.to_owned(),
            "listenerPath",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}"#.to_owned(),
            "'X' is no flag",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["x86"]}"#.to_owned(),
            "'x86' is no architecture",
        ),
        (
            entry(r#"{"names": ["a"], "action": "SCMP_ACT_NOTIFY"}"#),
            "entry 1 of 'syscalls', for 'a': 'SCMP_ACT_NOTIFY'",
        ),
        (entry(r#"{"names": ["chmod"], "action": ""}"#), "'' is no action"),
        (
            entry(r#"{"names": ["a"], "name": "b", "action": "SCMP_ACT_LOG"}"#),
            "exclude one another",
        ),
        (
            entry(r#"{"names": ["a"], "action": "SCMP_ACT_ERRNO", "errno": "EWHAT"}"#),
            "'EWHAT' is no error",
        ),
        (
            entry(
                r#"{"names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}"#,
            ),
            "no 6",
        ),
        (
            entry(
                r#"{"names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_XX"}]}"#,
            ),
            "'SCMP_CMP_XX' is no operator",
        ),
        (
            entry(
                r#"{"names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}"#,
            ),
            "no profile",
        ),
        (
            entry(r#"{"names": ["a"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "6"}}"#),
            "minKernel",
        ),
    ] {
        let mistake = mistake(&text);
        assert!(mistake.contains(said), "{text}: {mistake}");
    }
}

#[test]
fn a_profile_does_not_grow_beyond_measure() {
    let names = r#""read","write","#.repeat(20_000) + r#""open""#;
    let argument = r#"{"index": 1, "value": 7, "op": "SCMP_CMP_GT"}"#;
    let entry = |arguments: usize| {
        let arguments = vec![argument; arguments].join(",");
        format!(r#"{{"names": [{names}], "action": "SCMP_ACT_LOG", "args": [{arguments}]}}"#)
    };
    let profile = |entries: &[String]| {
        let entries = entries.join(",");
        format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{entries}]}}"#)
    };
    let rules = parse(&profile(&[entry(3)]), &BARE).unwrap().rules;
    assert_eq!(rules.len(), 3);
    assert!(rules.iter().all(|rule| rule.calls.len() == 3));
    assert!(mistake(&profile(&[entry(5_000)])).contains("more conditions"));
    assert!(mistake(&profile(&vec![entry(1_000); 2])).contains("more conditions"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}") {
        let _ = parse(&text, &BARE);
    }

    #[test]
    fn no_value_makes_the_reader_panic(
        action in "SCMP_ACT_[A-Z]{0,6}", errno in any::<i64>(), index in any::<i16>(), value in any::<u64>(), kernel in ".{0,12}",
    ) {
        let kernel = serde_json::Value::String(kernel);
        let text = format!(
            r#"{{"defaultAction": "{action}", "defaultErrnoRet": {errno}, "syscalls": [{{"names": ["read"], "action": "SCMP_ACT_LOG",
            "args": [{{"index": {index}, "value": {value}, "op": "SCMP_CMP_LE"}}], "excludes": {{"minKernel": {kernel}}}}}]}}"#
        );
        if let Ok(rules) = parse(&text, &BARE) {
            is_sound(&rules.into_filter().unwrap().program().unwrap());
        }
    }
}
