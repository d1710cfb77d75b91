//! The turns of engines: sessions of all models compute on the same processors, one at a time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Lets one engine compute at a time, in the order in which they asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    tickets: Mutex<Tickets>,
    passed: Condvar,
}

#[derive(Debug, Default)]
struct Tickets {
    given: u64,
    served: u64,
}

/// An engine's turn, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Shared);

impl Turns {
    /// Waits for the turn of whoever asks.
    pub(crate) fn take(&self) -> Turn<'_> {
        let shared = &*self.0;
        let mut tickets = shared.lock();
        let mine = tickets.given;
        tickets.given += 1;
        while tickets.served != mine {
            let passed = shared.passed.wait(tickets);
            tickets = passed.unwrap_or_else(PoisonError::into_inner);
        }
        Turn(shared)
    }
}

impl Shared {
    /// Nothing can panic while it is held.
    fn lock(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().served += 1;
        self.0.passed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Each thread asks when the one before it is known to wait.
    #[test]
    fn engines_take_turns_in_the_order_in_which_they_asked() {
        let (turns, (done, order)) = (Turns::default(), channel());
        let first = turns.take();
        let threads: Vec<_> = (1..=3)
            .map(|index| {
                let (waiting, done) = (turns.clone(), done.clone());
                let thread = std::thread::spawn(move || {
                    let _turn = waiting.take();
                    done.send(index).unwrap();
                });
                while turns.0.lock().given != index + 1 {
                    std::thread::yield_now();
                }
                thread
            })
            .collect();
        assert!(order.try_recv().is_err());
        drop(first);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }
}
