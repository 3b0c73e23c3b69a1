//! Has the shim and the container's first process work at the same time, each on a processor of its own.
//!
//! Most kernels put a new process where a processor is idle. Some do not, above all in virtual machines, whose host would rather have few of
//! their processors busy: there the new process waits where its parent runs, and who is woken waits where its waker runs, so a start takes as
//! long as if one process did all of it. So for the moment that both are at work, neither may run where the other does.
//!
//! What cannot be had is no harm: it only takes longer. Nothing is forked in that moment, so nobody inherits it.

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

/// The processors that a process may use, and the one that it ran on when it was asked.
#[derive(Debug, Clone, Copy)]
pub struct Processors {
    all: CpuSet,
    own: usize,
}

/// The calling process (sched_setaffinity(2)).
const SELF: Pid = Pid::from_raw(0);

impl Processors {
    /// Those of this process. Nothing where it has only one, or where there are more than a set here can name.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        let all = sched_getaffinity(SELF).ok()?;
        let own = sched_getcpu().ok()?;
        let is_other = |processor: &usize| *processor != own && all.is_set(*processor).unwrap_or(false);
        (0..CpuSet::count())
            .any(|processor| is_other(&processor))
            .then_some(Self { all, own })
    }

    /// Sends `process` to the others. A new one does the same itself ([`Self::leave`]), since nobody knows which of the two runs first.
    pub fn send_away(&self, process: Pid) {
        let mut others = self.all;
        if others.unset(self.own).is_ok() {
            let _ = sched_setaffinity(process, &others);
        }
    }

    /// Leaves this one to whoever was asked, and goes to the others.
    pub fn leave(&self) {
        self.send_away(SELF);
    }

    /// May use all again.
    pub fn join(&self) {
        let _ = sched_setaffinity(SELF, &self.all);
    }
}

/// Waits by `wait`, and goes on where it ran before, whoever wakes it.
pub fn staying<T>(wait: impl FnOnce() -> T) -> T {
    let processors = Processors::of_this_process();
    if let Some(processors) = &processors {
        let mut here = CpuSet::new();
        if here.set(processors.own).is_ok() {
            let _ = sched_setaffinity(SELF, &here);
        }
    }
    let result = wait();
    processors.inspect(Processors::join);
    result
}

#[cfg(test)]
mod tests {
    use nix::sched::{sched_getaffinity, sched_getcpu};

    use super::{Processors, SELF, staying};

    #[test]
    fn who_leaves_is_elsewhere_until_it_joins_again() {
        let Some(processors) = Processors::of_this_process() else {
            assert_eq!(std::thread::available_parallelism().map(usize::from).ok(), Some(1));
            return;
        };
        processors.leave();
        assert_ne!(sched_getcpu(), Ok(processors.own));
        let here = staying(|| (sched_getcpu(), sched_getaffinity(SELF)));
        let (Ok(here), Ok(all)) = here else { panic!("{here:?}") };
        let allowed = (0..nix::sched::CpuSet::count()).filter(|number| all.is_set(*number) == Ok(true));
        assert!(allowed.eq([here]));
        processors.join();
        assert_eq!(sched_getaffinity(SELF), Ok(processors.all));
    }
}
