//! What becomes of each call: the rules of a profile, put together call by call.
//!
//! 32-bit x86 has two more ways to the calls of sockets and of System V IPC: socketcall(2) and ipc(2) take the number of the call as their
//! first argument and its arguments from memory, which a filter cannot see. What a profile says of such a call whatever its arguments
//! holds on these ways too, unless it names socketcall or ipc itself; conditions on arguments cannot be carried over.

use std::borrow::Cow;

use crate::plan::seccomp::architecture::Architecture;
use crate::plan::seccomp::call::{COUNT, Call, calls};
use crate::plan::seccomp::{Action, Comparison, Condition, Rules};

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The same whatever the arguments are.
    Plain(Action),
    /// The group of cases in [`Fates::groups`].
    Conditional(u16),
}

/// One answer that depends on the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case<'r> {
    /// All of them must hold.
    pub conditions: Cow<'r, [Condition]>,
    /// The answer then.
    pub action: Action,
}

/// The fates of all calls.
#[derive(Debug)]
pub struct Fates<'r> {
    /// By [`Call::index`].
    pub calls: Vec<Fate>,
    /// Cases are tried in this order, the strictest answers first. If none holds, the profile's default is the answer.
    pub groups: Vec<Vec<Case<'r>>>,
}

impl<'r> Fates<'r> {
    /// Puts `rules` together.
    #[must_use]
    pub fn of(rules: &'r Rules) -> Self {
        let mut plain = vec![None; COUNT];
        let mut cases: Vec<(Call, Case<'r>)> = Vec::new();
        for rule in rules.rules.iter().filter(|rule| rule.action != rules.default) {
            for call in rule.calls.iter() {
                if !rule.conditions.is_empty() {
                    let (conditions, action) = (Cow::Borrowed(rule.conditions.as_slice()), rule.action);
                    cases.push((*call, Case { conditions, action }));
                } else if let Some(fate) = plain.get_mut(call.index()) {
                    fate.get_or_insert(rule.action);
                }
            }
        }
        if rules.architectures.contains(&Architecture::I386) {
            multiplex(&plain, &mut cases);
        }
        // Stable, so that what is equally strict stays in the order of the profile.
        cases.sort_by_key(|(call, case)| (*call, case.action));
        let mut fates = Self {
            calls: plain
                .iter()
                .map(|action| Fate::Plain(action.unwrap_or(rules.default)))
                .collect(),
            groups: Vec::new(),
        };
        let mut grouped = None;
        for (call, case) in cases {
            if is_decided(&plain, call) {
                continue;
            }
            if grouped != Some(call) {
                grouped = Some(call);
                if let (Some(fate), Ok(index)) = (fates.calls.get_mut(call.index()), u16::try_from(fates.groups.len()))
                {
                    *fate = Fate::Conditional(index);
                }
                fates.groups.push(Vec::new());
            }
            if let Some(group) = fates.groups.last_mut() {
                group.push(case);
            }
        }
        fates
    }
}

fn is_decided(plain: &[Option<Action>], call: Call) -> bool {
    plain.get(call.index()).is_some_and(Option::is_some)
}

/// What is decided about the calls behind socketcall(2) and ipc(2).
fn multiplex(plain: &[Option<Action>], cases: &mut Vec<(Call, Case<'_>)>) {
    let ways: [(Call, u64, &[Call], &[u64]); 2] = [
        (WAYS[0], 0xffff_ffff, &SOCKETS, &SOCKET_NUMBERS),
        (WAYS[1], 0xffff, &IPC, &IPC_NUMBERS),
    ];
    for (way, mask, calls, numbers) in ways.into_iter().filter(|(way, ..)| !is_decided(plain, *way)) {
        for (call, value) in calls.iter().zip(numbers) {
            if let Some(Some(action)) = plain.get(call.index()) {
                let condition = Condition {
                    argument: 0,
                    comparison: Comparison::Masked { mask, value: *value },
                };
                let case = Case {
                    conditions: Cow::Owned(vec![condition]),
                    action: *action,
                };
                cases.push((way, case));
            }
        }
    }
}

const WAYS: [Call; 2] = calls(["socketcall", "ipc"]);

/// By their numbers in socketcall(2), from 1 on.
const SOCKETS: [Call; 20] = calls([
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
]);
const SOCKET_NUMBERS: [u64; 20] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];

/// The calls behind ipc(2), whose upper half is a version.
const IPC: [Call; 12] = calls([
    "semop",
    "semget",
    "semctl",
    "semtimedop",
    "msgsnd",
    "msgrcv",
    "msgget",
    "msgctl",
    "shmat",
    "shmdt",
    "shmget",
    "shmctl",
]);
const IPC_NUMBERS: [u64; 12] = [1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24];
