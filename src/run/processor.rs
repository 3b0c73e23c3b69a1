//! Has the shim and the container's first process work at the same time, each on a processor of its own.
//!
//! Most kernels put a new process where a processor is idle. Some do not, above all in virtual machines, whose host would rather have few of
//! their processors busy: there the new process waits where its parent runs, and who is woken waits where its waker runs, so a start takes as
//! long as if one process did all of it. So for the moment that both are at work, neither may run where the other does.
//!
//! What cannot be had is no harm: it only takes longer. Nothing is forked in that moment, so nobody inherits it.

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// The processor that a process ran on when it was asked, of several.
#[derive(Debug, Clone, Copy)]
pub struct Processor(usize);

/// The calling process (sched_setaffinity(2)).
const SELF: Pid = Pid::from_raw(0);

impl Processor {
    /// That of this process, if it may use all that there are: whatever it may not use (`CPUAffinity=`, `AllowedCPUs=`), the kernel would remember
    /// as what it does not want, even when it may again.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten()?;
        let allowed = sched_getaffinity(SELF).ok()?;
        let is_allowed = |number: &usize| allowed.is_set(*number).unwrap_or(false);
        let count = (0..CpuSet::count()).filter(is_allowed).count();
        (count > 1 && i64::try_from(count) == Ok(online)).then_some(Self(sched_getcpu().ok()?))
    }

    /// Sends `process` to the others. A new one does the same itself ([`Self::leave`]), since nobody knows which of the two runs first.
    pub fn send_away(self, process: Pid) {
        let mut others = all();
        if others.unset(self.0).is_ok() {
            let _ = sched_setaffinity(process, &others);
        }
    }

    /// Leaves it to whoever was asked, and goes to the others.
    pub fn leave(self) {
        self.send_away(SELF);
    }

    /// May use all again.
    pub fn join(self) {
        let _ = sched_setaffinity(SELF, &all());
    }
}

/// All that there are and will be, as for a process that has never said anything: the kernel takes those that it has.
fn all() -> CpuSet {
    let mut all = CpuSet::new();
    for number in 0..CpuSet::count() {
        let _ = all.set(number);
    }
    all
}

/// Waits by `wait`, and goes on where it ran before, whoever wakes it.
pub fn staying<T>(wait: impl FnOnce() -> T) -> T {
    let processor = Processor::of_this_process();
    if let Some(Processor(number)) = processor {
        let mut here = CpuSet::new();
        if here.set(number).is_ok() {
            let _ = sched_setaffinity(SELF, &here);
        }
    }
    let result = wait();
    if let Some(processor) = processor {
        processor.join();
    }
    result
}

#[cfg(test)]
mod tests {
    use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu};

    use super::{Processor, SELF, staying};

    #[test]
    fn who_leaves_is_elsewhere_until_it_joins_again() {
        let before = sched_getaffinity(SELF);
        let Some(processor) = Processor::of_this_process() else {
            assert_eq!(std::thread::available_parallelism().map(usize::from).ok(), Some(1));
            return;
        };
        processor.leave();
        assert_ne!(sched_getcpu(), Ok(processor.0));
        // As a process that may not use all.
        assert!(Processor::of_this_process().is_none());
        processor.join();
        assert_eq!(sched_getaffinity(SELF), before);
        let here = staying(|| (sched_getcpu(), sched_getaffinity(SELF)));
        let (Ok(here), Ok(allowed)) = here else {
            panic!("{here:?}")
        };
        let allowed = (0..CpuSet::count()).filter(|number| allowed.is_set(*number) == Ok(true));
        assert!(allowed.eq([here]));
        assert_eq!(sched_getaffinity(SELF), before);
    }
}
