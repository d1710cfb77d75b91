//! Work on many threads, results in order, in bounded memory.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// Results that may wait for an earlier one, for each thread.
const AHEAD: usize = 8;

/// Calls `work` for each of `items` on `threads` threads and hands the results to `take`, on this thread and in order.
///
/// An item is begun only while fewer than 8 a thread are begun and not yet taken, so a slow item holds up the others
/// rather than filling memory. An error of `take` ends it; work under way is finished and dropped. `start` makes what
/// each thread keeps from one item to the next.
pub(super) fn in_order<S, T: Send, E>(
    threads: NonZeroUsize,
    items: Range<usize>,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> T + Sync,
    mut take: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let window = threads.get() * AHEAD;
    let (leave, leaves) = mpsc::sync_channel(window);
    for _ in 0..window {
        leave.send(()).expect("the receiver is on this thread");
    }
    let queue = Mutex::new((leaves, items.clone()));
    let next = || {
        let (leaves, items) = &mut *queue.lock().unwrap_or_else(PoisonError::into_inner);
        let item = items.next()?;
        leaves.recv().ok().map(|()| item)
    };
    let (result, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.get() {
            let (result, start, work, next) = (result.clone(), &start, &work, &next);
            scope.spawn(move || {
                let mut state = start();
                while let Some(item) = next() {
                    let value = catch_unwind(AssertUnwindSafe(|| work(&mut state, item)));
                    if result.send((item, value)).is_err() {
                        return; // an error ended it
                    }
                }
            });
        }
        drop(result);
        // Moved in, so that an error or a panic hangs up on threads that wait for leave, and they end.
        let (leave, results) = (leave, results);
        let (mut early, mut due) = (BTreeMap::new(), items.start);
        for (item, value) in results {
            early.insert(item, value.unwrap_or_else(|panic| resume_unwind(panic)));
            while let Some(value) = early.remove(&due) {
                take(due, value)?;
                due += 1;
                // Refused only once no thread waits for leave any more.
                let _ = leave.try_send(());
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn results_come_in_order_and_the_first_holds_the_rest_within_bounds() {
        let (begun, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut seen = Vec::new();
        let done: Result<(), Infallible> = in_order(
            threads(4),
            0..1000,
            || (),
            |(), item| {
                let ahead = begun.fetch_add(1, Ordering::SeqCst) + 1;
                assert!(ahead <= taken.load(Ordering::SeqCst) + 4 * AHEAD);
                if item % 100 == 0 {
                    (0..100).for_each(|_| thread::yield_now());
                }
                item * 2
            },
            |item, value| {
                seen.push((item, value));
                taken.fetch_add(1, Ordering::SeqCst);
                Ok(())
            },
        );
        assert_eq!(done, Ok(()));
        assert!(seen.into_iter().eq((0..1000).map(|item| (item, item * 2))));
    }

    #[test]
    fn an_error_ends_it() {
        let done = in_order(
            threads(3),
            0..1_000_000,
            || (),
            |(), item| item,
            |_, item| if item == 50 { Err("full") } else { Ok(()) },
        );
        assert_eq!(done, Err("full"));
    }

    #[test]
    #[should_panic(expected = "item 50")]
    fn a_panic_ends_it_too() {
        let _: Result<(), Infallible> = in_order(
            threads(3),
            0..1_000_000,
            || (),
            |(), item| assert!(item != 50, "item 50"),
            |_, ()| Ok(()),
        );
    }

    #[test]
    fn nothing_to_do_is_done() {
        let done: Result<(), ()> = in_order(threads(2), 0..0, || (), |(), _| (), |_, ()| Err(()));
        assert_eq!(done, Ok(()));
    }
}
