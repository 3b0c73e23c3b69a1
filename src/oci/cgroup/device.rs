//! A container's device policy as the program that the kernel runs at each open(2) of a node and each mknod(2).

use std::os::fd::BorrowedFd;

use anyhow::{Context as _, Result};

use crate::oci::plan::device::{Rule, Verdict};
use crate::sys::ebpf::{self, Instruction, and, attach_device_policy, copy, exit, load, set, shift_right, skip_unless};

/// Puts the policy in place for the control group `directory`.
///
/// # Errors
/// What the kernel says.
pub fn apply(directory: BorrowedFd<'_>, policy: &[Rule]) -> Result<()> {
    attach_device_policy(directory, &compile(policy)?).context("setting the device policy")
}

/// `BPF_DEVCG_DEV_BLOCK` and `BPF_DEVCG_DEV_CHAR`.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

/// Registers: what is asked for, the type, the numbers, and one to reckon in.
const ACCESS: u8 = 3;
const TYPE: u8 = 2;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

/// The program. The last rule that fits counts, so it comes first; what no rule speaks of is denied.
fn compile(policy: &[Rule]) -> Result<Vec<Instruction>> {
    // The kernel's word has the access in its upper half and the type in the lower.
    let mut program = vec![
        load(TYPE, 0),
        copy(ACCESS, TYPE),
        and(TYPE, 0xffff),
        shift_right(ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in policy.iter().rev() {
        let mut tests: Vec<(u8, i32)> = Vec::new();
        match rule.kind {
            'b' => tests.push((TYPE, BLOCK)),
            'c' => tests.push((TYPE, CHARACTER)),
            _ => {}
        }
        let number = |number: u32| i32::try_from(number).context("a device's number is too large");
        tests.extend(rule.major.map(number).transpose()?.map(|major| (MAJOR, major)));
        tests.extend(rule.minor.map(number).transpose()?.map(|minor| (MINOR, minor)));
        // The kernel counts making a node as 1, reading as 2, writing as 4; all that is asked for must be spoken of. A denial speaks of what is
        // asked for if it names any of it.
        let access = kernels(rule.access);
        let reckons = access != 7;
        let answer = [set(0, i32::from(rule.verdict == Verdict::Allow)), exit()];
        let mut block = Vec::new();
        if reckons {
            match rule.verdict {
                Verdict::Allow => {
                    block.extend([
                        copy(SCRATCH, ACCESS),
                        and(SCRATCH, !access & 7),
                        skip_unless(SCRATCH, 0, 2),
                    ]);
                }
                Verdict::Deny => {
                    // Skips the skip where nothing of it is asked for.
                    block.extend([
                        copy(SCRATCH, ACCESS),
                        and(SCRATCH, access),
                        skip_unless(SCRATCH, 0, 1),
                        ebpf::skip(2),
                    ]);
                }
            }
        }
        block.extend(answer);
        let mut guarded = Vec::with_capacity(tests.len() + block.len());
        for (position, (register, value)) in tests.iter().enumerate() {
            let rest = tests.len() - position - 1 + block.len();
            guarded.push(skip_unless(*register, *value, i16::try_from(rest)?));
        }
        guarded.extend(block);
        program.extend(guarded);
        // Behind a rule that fits everything the kernel would find code that is never reached, and refuse it.
        if tests.is_empty() && !reckons {
            return Ok(program);
        }
    }
    program.extend([set(0, 0), exit()]);
    Ok(program)
}

/// Read, write and make as the kernel counts them.
const fn kernels(access: u32) -> i32 {
    let mut bits = 0;
    if access & 1 != 0 {
        bits |= 1;
    }
    if access & 4 != 0 {
        bits |= 2;
    }
    if access & 2 != 0 {
        bits |= 4;
    }
    bits
}
