//! Programs of extended BPF that decide which devices a control group may use (bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`).
//!
//! The few instructions that such a program is made of, and the two calls that load it and put it in place.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::errno::Errno;

/// One instruction, laid out as the kernel's `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    code: u8,
    /// The destination's number, and the source's four bits higher.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// Loads the 32 bits at `offset` of what register 1 points to: here the kernel's `struct bpf_cgroup_dev_ctx`.
#[must_use]
pub const fn load(register: u8, offset: i16) -> Instruction {
    instruction(0x61, register | 1 << 4, offset, 0)
}

/// Keeps the bits of `mask`.
#[must_use]
pub const fn and(register: u8, mask: i32) -> Instruction {
    instruction(0x54, register, 0, mask)
}

/// Moves the bits down.
#[must_use]
pub const fn shift_right(register: u8, bits: i32) -> Instruction {
    instruction(0x74, register, 0, bits)
}

/// A copy of another register.
#[must_use]
pub const fn copy(register: u8, source: u8) -> Instruction {
    instruction(0xbc, register | source << 4, 0, 0)
}

/// A number.
#[must_use]
pub const fn set(register: u8, value: i32) -> Instruction {
    instruction(0xb4, register, 0, value)
}

/// Skips `count` instructions unless the register's 32 bits are `value`.
#[must_use]
pub const fn skip_unless(register: u8, value: i32, count: i16) -> Instruction {
    instruction(0x56, register, count, value)
}

/// Skips `count` instructions.
#[must_use]
pub const fn skip(count: i16) -> Instruction {
    instruction(0x05, 0, count, 0)
}

/// Answers with register 0.
#[must_use]
pub const fn exit() -> Instruction {
    instruction(0x95, 0, 0, 0)
}

const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers,
        offset,
        immediate,
    }
}

/// The part of `union bpf_attr` that loading takes.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The part that attaching takes.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

/// Puts a program in place that decides about the devices of the control group `directory`, beside those of its parents.
///
/// # Errors
/// `EPERM` without `CAP_BPF` or `CAP_SYS_ADMIN`, `EINVAL` or `EACCES` for a program that the kernel does not take.
pub fn attach_device_policy(directory: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let load = Load {
        kind: PROGRAM_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr().addr() as u64,
        license: c"Apache-2.0".as_ptr().addr() as u64,
        ..Load::default()
    };
    // SAFETY: the kernel reads as many bytes of the structure as are named, `count` instructions, and a C string.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<Load>()) })?;
    // SAFETY: the result is a new descriptor.
    let program = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
    let attach = Attach {
        target: directory.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
        replaced: 0,
    };
    // SAFETY: the kernel reads as many bytes of the structure as are named; descriptors are given by number and stay ours.
    Errno::result(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attach, size_of::<Attach>()) })?;
    Ok(())
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const PROGRAM_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

const _: () = assert!(size_of::<Instruction>() == 8);
