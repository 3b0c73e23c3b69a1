//! Memory that a process goes on sharing with the children it forks (`MAP_SHARED`, mmap(2)).

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicI32;

use nix::errno::Errno;

/// A value that this process and its children see alike. It is left mapped: whoever shares it ends or executes another program soon.
#[derive(Debug)]
pub struct Shared<T: 'static>(&'static T);

impl Shared<AtomicI32> {
    /// A zero.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn new() -> io::Result<Self> {
        let length = size_of::<AtomicI32>();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(Errno::last().into());
        }
        let value = NonNull::new(address.cast::<AtomicI32>()).ok_or(Errno::EFAULT)?;
        // SAFETY: the mapping is aligned to a page, as long as the value, all zero, which is one, and never unmapped.
        Ok(Self(unsafe { value.as_ref() }))
    }
}

impl<T> Shared<T> {
    /// The value.
    #[must_use]
    pub const fn get(&self) -> &T {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Shared;
    use crate::sys::process::{Parent, clone_process, exit, wait_for};
    use std::sync::atomic::Ordering;

    #[test]
    fn what_a_child_writes_is_seen() {
        let shared = Shared::new().expect("memory");
        match clone_process(0, Parent::Caller, None).expect("forking") {
            None => {
                shared.get().store(7, Ordering::Release);
                exit(0)
            }
            Some(child) => wait_for(child).expect("waiting"),
        };
        assert_eq!(shared.get().load(Ordering::Acquire), 7);
    }
}
