//! Capability sets: capabilities(7), capset(2), and the bounding set.

use std::io;

use nix::errno::Errno;

/// A set of capabilities, bit N for capability number N.
pub type Mask = u64;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: 64 bits in two halves.
const VERSION: u32 = 0x2008_0522;

/// Sets this thread's effective and permitted sets to `mask` and empties the inheritable one.
///
/// # Errors
/// `EPERM` if `mask` has what the permitted set lacks.
pub fn set(mask: Mask) -> io::Result<()> {
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    let half = |bits: u64| {
        let bits = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
        Data {
            effective: bits,
            permitted: bits,
            inheritable: 0,
        }
    };
    let data = [half(mask), half(mask >> 32)];
    // SAFETY: both structures have the kernel's layout for version 3, which reads two Data.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    Ok(())
}

/// Makes all that is permitted to this thread effective again.
///
/// # Errors
/// What capget(2) and capset(2) say.
pub fn raise() -> io::Result<()> {
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    let none = Data {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    };
    let mut data = [none; 2];
    // SAFETY: both structures have the kernel's layout for version 3, which writes two Data.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    for half in &mut data {
        half.effective = half.permitted;
    }
    // SAFETY: as above, but read.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    Ok(())
}

/// Takes everything that is not in `mask` out of the bounding set, and empties the ambient set.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn bound(mask: Mask) -> io::Result<()> {
    // SAFETY: prctl with integer arguments.
    unsafe {
        Errno::result(libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        ))?;
        for capability in (0..64).filter(|capability| mask & (1 << capability) == 0) {
            match Errno::result(libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0)) {
                Ok(_) => {}
                // Past the last one that this kernel knows.
                Err(Errno::EINVAL) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    Ok(())
}
