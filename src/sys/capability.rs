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

/// The five sets of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// What it and all that it executes can ever have.
    pub bounding: Mask,
    /// What counts now.
    pub effective: Mask,
    /// What can be made to count.
    pub permitted: Mask,
    /// What a program with a file's inheritable set takes over.
    pub inheritable: Mask,
    /// What any program takes over.
    pub ambient: Mask,
}

impl Sets {
    /// `mask` for a root that has no other rights, as is usual: nothing is inheritable.
    #[must_use]
    pub const fn of_root(bounding: Mask, mask: Mask) -> Self {
        Self {
            bounding,
            effective: mask,
            permitted: mask,
            inheritable: 0,
            ambient: 0,
        }
    }
}

/// `_LINUX_CAPABILITY_VERSION_3`: 64 bits in two halves.
const VERSION: u32 = 0x2008_0522;

/// Sets this thread's effective and permitted sets to `mask` and empties the inheritable one.
///
/// # Errors
/// `EPERM` if `mask` has what the permitted set lacks.
pub fn set(mask: Mask) -> io::Result<()> {
    set_all(&Sets::of_root(mask, mask))
}

/// Sets this thread's effective, permitted and inheritable sets, and not the other two.
///
/// # Errors
/// `EPERM` if they have what they may not.
pub fn set_all(sets: &Sets) -> io::Result<()> {
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    let half = |bits: u64, shift: u32| u32::try_from(bits >> shift & u64::from(u32::MAX)).unwrap_or(0);
    let data = [0, 32].map(|shift| Data {
        effective: half(sets.effective, shift),
        permitted: half(sets.permitted, shift),
        inheritable: half(sets.inheritable, shift),
    });
    // SAFETY: both structures have the kernel's layout for version 3, which reads two Data.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    Ok(())
}

/// What counts now for this thread.
///
/// # Errors
/// What capget(2) says.
pub fn effective() -> io::Result<Mask> {
    let [low, high] = get()?.map(|half| u64::from(half.effective));
    Ok(high << 32 | low)
}

/// What this thread can pass on to a program: what is permitted to it and in its bounding set.
///
/// # Errors
/// What capget(2) says.
pub fn grantable() -> io::Result<Mask> {
    let [low, high] = get()?.map(|half| u64::from(half.permitted));
    // SAFETY: prctl with integer arguments.
    let is_bounding = |capability: &u32| unsafe { libc::prctl(libc::PR_CAPBSET_READ, *capability, 0, 0, 0) == 1 };
    let bounding = (0..64)
        .filter(is_bounding)
        .fold(0, |mask, capability| mask | 1 << capability);
    Ok((high << 32 | low) & bounding)
}

fn get() -> io::Result<[Data; 2]> {
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
    Ok(data)
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
    let mut data = get()?;
    for half in &mut data {
        half.effective = half.permitted;
    }
    // SAFETY: as above, but read.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    Ok(())
}

/// Puts what is in `mask` into the ambient set.
///
/// # Errors
/// `EPERM` for one that is not both permitted and inheritable.
pub fn raise_ambient(mask: Mask) -> io::Result<()> {
    for capability in (0..64).filter(|capability| mask & (1 << capability) != 0) {
        // SAFETY: prctl with integer arguments.
        Errno::result(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, capability, 0, 0) })?;
    }
    Ok(())
}

/// The capabilities that this kernel has.
#[must_use]
pub fn known() -> Mask {
    // SAFETY: prctl with integer arguments.
    let is_known = |capability: &u32| unsafe { libc::prctl(libc::PR_CAPBSET_READ, *capability, 0, 0, 0) >= 0 };
    (0..64)
        .take_while(is_known)
        .fold(0, |mask, capability| mask | 1 << capability)
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
