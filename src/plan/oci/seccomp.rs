//! The rules of system calls in the words of the runtime specification (config-linux.md, "Seccomp").
//!
//! The specification does not say what holds where several conditions of one call do; here the strictest answer does
//! ([`crate::plan::seccomp`]).

use anyhow::Result;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

use crate::plan::seccomp::architecture::Architecture;
use crate::plan::seccomp::{Action, Comparison, Condition, Rule, Rules};

/// `linux.seccomp`.
pub(super) fn profile(rules: &Rules) -> Result<LinuxSeccomp> {
    let (action, number) = words(rules.default);
    let profile = LinuxSeccompBuilder::default()
        .default_action(action)
        .architectures(
            rules
                .architectures
                .iter()
                .map(|one| architecture(*one))
                .collect::<Vec<_>>(),
        )
        .syscalls(rules.rules.iter().map(syscall).collect::<Result<Vec<_>>>()?);
    let profile = match number {
        Some(number) => profile.default_errno_ret(number),
        None => profile,
    };
    Ok(profile.build()?)
}

fn syscall(rule: &Rule) -> Result<LinuxSyscall> {
    let (action, number) = words(rule.action);
    let names: Vec<String> = rule.calls.iter().map(|call| call.name().to_owned()).collect();
    let mut syscall = LinuxSyscallBuilder::default().names(names).action(action);
    if let Some(number) = number {
        syscall = syscall.errno_ret(number);
    }
    if !rule.conditions.is_empty() {
        syscall = syscall.args(rule.conditions.iter().map(argument).collect::<Result<Vec<_>>>()?);
    }
    Ok(syscall.build()?)
}

fn argument(condition: &Condition) -> Result<LinuxSeccompArg> {
    use LinuxSeccompOperator as Operator;
    let (operator, value, second) = match condition.comparison {
        Comparison::Equal(value) => (Operator::ScmpCmpEq, value, None),
        Comparison::NotEqual(value) => (Operator::ScmpCmpNe, value, None),
        Comparison::Less(value) => (Operator::ScmpCmpLt, value, None),
        Comparison::AtMost(value) => (Operator::ScmpCmpLe, value, None),
        Comparison::Greater(value) => (Operator::ScmpCmpGt, value, None),
        Comparison::AtLeast(value) => (Operator::ScmpCmpGe, value, None),
        Comparison::Masked { mask, value } => (Operator::ScmpCmpMaskedEq, mask, Some(value)),
    };
    let argument = LinuxSeccompArgBuilder::default()
        .index(usize::from(condition.argument))
        .op(operator)
        .value(value);
    let argument = match second {
        Some(second) => argument.value_two(second),
        None => argument,
    };
    Ok(argument.build()?)
}

fn words(action: Action) -> (LinuxSeccompAction, Option<u32>) {
    use LinuxSeccompAction as Word;
    match action {
        Action::KillProcess => (Word::ScmpActKillProcess, None),
        Action::KillThread => (Word::ScmpActKillThread, None),
        Action::Trap => (Word::ScmpActTrap, None),
        Action::Errno(number) => (Word::ScmpActErrno, Some(number.into())),
        Action::Notify => (Word::ScmpActNotify, None),
        Action::Trace(number) => (Word::ScmpActTrace, Some(number.into())),
        Action::Log => (Word::ScmpActLog, None),
        Action::Allow => (Word::ScmpActAllow, None),
    }
}

const fn architecture(architecture: Architecture) -> Arch {
    match architecture {
        Architecture::X86_64 => Arch::ScmpArchX86_64,
        Architecture::I386 => Arch::ScmpArchX86,
        Architecture::X32 => Arch::ScmpArchX32,
        Architecture::Aarch64 => Arch::ScmpArchAarch64,
        Architecture::Arm => Arch::ScmpArchArm,
    }
}
