//! Memory for images under way, handed out in the order of their tickets: so the first of them always has its own, and
//! nobody waits for ever. One may take more than there is left, so that none is too large.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::queue::Close;

/// Memory for images under way.
#[derive(Debug)]
pub(super) struct Budget {
    state: Mutex<State>,
    changed: Condvar,
    bytes: u64,
}

#[derive(Debug)]
struct State {
    used: u64,
    next: u64,
    closed: bool,
}

/// What an image holds of it, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                used: 0,
                next: 0,
                closed: false,
            }),
            changed: Condvar::new(),
            bytes,
        })
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a ticket's bytes, when its turn has come and there is room; nothing where it is closed. A ticket asks once.
    pub(super) fn take(self: &Arc<Self>, ticket: u64, bytes: u64) -> Option<Share> {
        let blocked = |state: &mut State| {
            let room = state.used < self.bytes || bytes == 0;
            (state.next != ticket || !room) && !state.closed
        };
        let state = self.changed.wait_while(self.locked(), blocked);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        state.next += 1;
        state.used += bytes;
        self.changed.notify_all();
        Some(Share {
            budget: Arc::clone(self),
            bytes,
        })
    }
}

impl Share {
    /// Gives back all but so many bytes.
    pub(super) fn keep(&mut self, bytes: u64) {
        let back = self.bytes.saturating_sub(bytes);
        self.bytes -= back;
        self.budget.locked().used -= back;
        self.budget.changed.notify_all();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.keep(0);
    }
}

impl Close for Arc<Budget> {
    fn close(&self) {
        self.locked().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_next_ticket_waits_for_room_and_the_first_may_take_more_than_there_is() {
        let budget = Budget::new(10);
        let mut first = budget.take(0, 100).unwrap();
        thread::scope(|scope| {
            let third = scope.spawn(|| budget.take(2, 0).is_some());
            let second = scope.spawn(|| budget.take(1, 5).unwrap().bytes);
            assert_eq!(budget.locked().used, 100);
            first.keep(9);
            assert_eq!(second.join().unwrap(), 5);
            assert!(third.join().unwrap());
        });
        drop(first);
        assert_eq!(budget.locked().used, 0);
    }
}
