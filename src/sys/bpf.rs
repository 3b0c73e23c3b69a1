//! Classic BPF as seccomp(2) takes it: the instruction, and the few forms of it that filters here are made of.
//!
//! Only these forms are used because the kernel, when it installs a filter, works out for which system calls the answer is "allow" whatever
//! the arguments are, and understands no others (seccomp_is_const_allow() in the kernel's seccomp.c).

/// One instruction, laid out as the kernel's `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip where a comparison holds.
    pub jt: u8,
    /// How many instructions to skip where it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// The longest program that the kernel takes (`BPF_MAXINSNS`).
pub const LONGEST: usize = 4096;

/// Place of the system call's number in `struct seccomp_data`.
pub const NUMBER: u32 = 0;

/// Place of the architecture.
pub const ARCHITECTURE: u32 = 4;

/// Loads 32 bits of `struct seccomp_data`.
pub const LOAD: u16 = short(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);

/// Keeps the bits of the operand.
pub const AND: u16 = short(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K);

/// Answers with the operand.
pub const ANSWER: u16 = short(libc::BPF_RET | libc::BPF_K);

/// Skips as many instructions as the operand says.
pub const SKIP: u16 = short(libc::BPF_JMP | libc::BPF_JA);

/// Compares for equality.
pub const EQUAL: u16 = short(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);

/// Compares, unsigned: greater than the operand.
pub const GREATER: u16 = short(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K);

/// Compares, unsigned: greater than the operand or equal to it.
pub const AT_LEAST: u16 = short(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K);

/// An instruction without jumps.
#[must_use]
pub const fn plain(code: u16, k: u32) -> Instruction {
    jump(code, 0, 0, k)
}

/// A comparison, and how many instructions to skip if it holds or not.
#[must_use]
pub const fn jump(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// Place of the lower half of an argument; the upper half is 4 further on, both architectures here being little-endian.
#[must_use]
pub fn argument(index: u8) -> u32 {
    16 + 8 * u32::from(index)
}

const fn short(code: u32) -> u16 {
    let [low, high, ..] = code.to_le_bytes();
    u16::from_le_bytes([low, high])
}
