//! Which system call tables a machine has: its own, and those of the older programs that its kernel runs as well.
//!
//! Each table is a way into the kernel, so each must be filtered: a 64-bit program can make the calls of a 32-bit one (`int 0x80`).

/// A system call table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    I386,
    /// 64-bit x86 with 32-bit pointers: the numbers of x86_64, marked by a bit.
    X32,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm.
    Arm,
}

/// A kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Machine {
    /// The one this program is made for.
    #[cfg(target_arch = "x86_64")]
    pub const HOST: Self = Self::X86_64;
    /// The one this program is made for.
    #[cfg(target_arch = "aarch64")]
    pub const HOST: Self = Self::Aarch64;

    /// As Go calls it, and with it the profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Every table that its kernel may have.
    #[must_use]
    pub const fn architectures(self) -> &'static [Architecture] {
        match self {
            Self::X86_64 => &[Architecture::X86_64, Architecture::I386, Architecture::X32],
            Self::Aarch64 => &[Architecture::Aarch64, Architecture::Arm],
        }
    }
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::X86_64, Self::I386, Self::X32, Self::Aarch64, Self::Arm];

    /// The machine's own table.
    #[must_use]
    pub const fn native(machine: Machine) -> Self {
        match machine {
            Machine::X86_64 => Self::X86_64,
            Machine::Aarch64 => Self::Aarch64,
        }
    }

    /// As the profiles call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::I386 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// What `struct seccomp_data` holds (`AUDIT_ARCH_…`). x32 is not told from x86_64 by it.
    #[must_use]
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// What its numbers are marked with.
    #[must_use]
    pub const fn bit(self) -> u32 {
        match self {
            Self::X32 => X32_BIT,
            _ => 0,
        }
    }
}

/// `__X32_SYSCALL_BIT`.
pub const X32_BIT: u32 = 0x4000_0000;
