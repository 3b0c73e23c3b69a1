//! Shares work among the processors: systemd waits for its generators, and at boot everything else waits for systemd.
//!
//! The results come in the order of the work, however many threads there are, so that nothing depends on the machine.

use std::thread;

/// Below that many a second thread costs more than it gains.
const PER_THREAD: usize = 200;

/// More would only wait for one another: a directory has one lock in the kernel.
const THREADS_MAX: usize = 4;

/// What `work` makes of each share of `items`, in their order.
pub fn share<'i, T: Sync, R: Send>(items: &'i [T], work: impl Fn(&'i [T]) -> Vec<R> + Sync) -> Vec<R> {
    if items.len() < 2 * PER_THREAD {
        return work(items);
    }
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = (items.len() / PER_THREAD).clamp(1, processors.min(THREADS_MAX));
    let mut shares = items.chunks(items.len().div_ceil(threads));
    let own = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = shares.map(|share| scope.spawn(move || work(share))).collect();
        let mut results = work(own);
        for other in others {
            match other.join() {
                Ok(others) => results.extend(others),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn the_order_stays() {
        for count in [0, 1, 399, 400, 1001] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = share(&items, |share| share.iter().map(|item| item * 2).collect());
            assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }
}
