//! Shares work among the processors: systemd waits for its generators, and at boot everything else waits for systemd.
//!
//! The results come in the order of the work, however many threads there are, so that nothing depends on the machine.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Below twice that many a second thread costs more than it gains.
const PER_THREAD: usize = 200;

/// More would only wait for one another: a directory has one lock in the kernel.
const THREADS_MAX: usize = 4;

/// How many items are taken at once.
const PORTION: usize = 25;

/// What `work` makes of each portion of `items`, in their order.
///
/// Nobody has a share of its own: a thread may start milliseconds late where the machine is busy, and what is at the end may be more
/// work than what is at the beginning. The calling thread takes from the beginning and the others from the end, so that different
/// things are done at once where `items` has different things at its ends.
pub fn share<'i, T: Sync, R: Send>(items: &'i [T], work: impl Fn(&'i [T]) -> Vec<R> + Sync) -> Vec<R> {
    if items.len() < 2 * PER_THREAD {
        return work(items);
    }
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = (items.len() / PER_THREAD).clamp(1, processors.min(THREADS_MAX));
    let left = Mutex::new(items.chunks(PORTION).enumerate());
    let left = || left.lock().unwrap_or_else(PoisonError::into_inner);
    let from_beginning = || std::iter::from_fn(|| left().next());
    let from_end = || std::iter::from_fn(|| left().next_back());
    let work = |(index, portion)| (index, work(portion));
    let mut done: Vec<(usize, Vec<R>)> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|_| scope.spawn(|| from_end().map(work).collect::<Vec<_>>()))
            .collect();
        let mut done: Vec<_> = from_beginning().map(work).collect();
        for other in others {
            match other.join() {
                Ok(others) => done.extend(others),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().flat_map(|(_, results)| results).collect()
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
