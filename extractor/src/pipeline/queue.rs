//! Queues between threads: first in, first out, or by ticket. Closed, they give what is in them no more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What can be closed, so that nobody waits any more.
pub(super) trait Close: Sync {
    fn close(&self);
}

/// First in, first out.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    most: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    /// Nothing more is put in.
    ended: bool,
    /// Nobody waits any more, in or out.
    closed: bool,
}

impl<T> Queue<T> {
    /// Who puts something in waits while it holds `most`.
    pub(super) const fn bounded(most: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                ended: false,
                closed: false,
            }),
            changed: Condvar::new(),
            most,
        }
    }

    /// Nobody waits to put something in: something else bounds it.
    pub(super) const fn unbounded() -> Self {
        Self::bounded(usize::MAX)
    }

    fn locked(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in; false where it is closed.
    pub(super) fn push(&self, item: T) -> bool {
        let full = |state: &mut State<T>| state.items.len() >= self.most && !state.closed;
        let state = self.changed.wait_while(self.locked(), full);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return false;
        }
        state.items.push_back(item);
        self.changed.notify_all();
        true
    }

    /// The next; nothing once it has ended and is empty, or was closed.
    pub(super) fn pop(&self) -> Option<T> {
        let empty = |state: &mut State<T>| state.items.is_empty() && !state.ended && !state.closed;
        let state = self.changed.wait_while(self.locked(), empty);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        let item = state.items.pop_front();
        self.changed.notify_all();
        item
    }

    /// Nothing more is put in.
    pub(super) fn end(&self) {
        self.locked().ended = true;
        self.changed.notify_all();
    }
}

impl<T: Send> Close for Queue<T> {
    fn close(&self) {
        let mut state = self.locked();
        state.closed = true;
        state.items.clear();
        self.changed.notify_all();
    }
}

/// By ticket, from 0 on without a gap, in whatever order they come.
#[derive(Debug)]
pub(super) struct Sequence<T> {
    state: Mutex<Tickets<T>>,
    changed: Condvar,
    most: u64,
    most_bytes: u64,
}

#[derive(Debug)]
struct Tickets<T> {
    here: BTreeMap<u64, (u64, T)>,
    bytes: u64,
    next: u64,
    end: Option<u64>,
    closed: bool,
}

impl<T> Sequence<T> {
    /// Tickets are handed out while fewer than `most` are, and what is here has fewer bytes than that.
    pub(super) const fn new(most: u64, most_bytes: u64) -> Self {
        Self {
            state: Mutex::new(Tickets {
                here: BTreeMap::new(),
                bytes: 0,
                next: 0,
                end: None,
                closed: false,
            }),
            changed: Condvar::new(),
            most,
            most_bytes,
        }
    }

    fn locked(&self) -> MutexGuard<'_, Tickets<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a ticket may be handed out; false where it is closed.
    pub(super) fn room(&self, ticket: u64) -> bool {
        let full = |state: &mut Tickets<T>| {
            let ahead = ticket - state.next >= self.most;
            // What is waited for may always come.
            let heavy = state.bytes >= self.most_bytes && ticket > state.next;
            (ahead || heavy) && !state.closed
        };
        let state = self.changed.wait_while(self.locked(), full);
        !state.unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Brings what a ticket stands for.
    pub(super) fn push(&self, ticket: u64, bytes: u64, item: T) {
        let mut state = self.locked();
        state.bytes += bytes;
        state.here.insert(ticket, (bytes, item));
        self.changed.notify_all();
    }

    /// The next ticket's, once it is here; nothing after the last, or once it is closed.
    pub(super) fn pop(&self) -> Option<(u64, T)> {
        let missing = |state: &mut Tickets<T>| {
            !state.here.contains_key(&state.next) && state.end != Some(state.next) && !state.closed
        };
        let state = self.changed.wait_while(self.locked(), missing);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        let ticket = state.next;
        let (bytes, item) = state.here.remove(&ticket)?;
        state.bytes -= bytes;
        state.next += 1;
        self.changed.notify_all();
        Some((ticket, item))
    }

    /// So many tickets there are.
    pub(super) fn end(&self, tickets: u64) {
        self.locked().end = Some(tickets);
        self.changed.notify_all();
    }
}

impl<T: Send> Close for Sequence<T> {
    fn close(&self) {
        let mut state = self.locked();
        state.closed = true;
        state.here.clear();
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_sequence_gives_in_the_order_of_tickets_and_holds_up_who_is_ahead() {
        let sequence = Sequence::new(4, 100);
        thread::scope(|scope| {
            scope.spawn(|| {
                for ticket in [1, 0, 3, 2, 5, 4] {
                    // A pair is handed out together.
                    assert!(sequence.room(ticket.min(ticket ^ 1)));
                    sequence.push(ticket, 10, ticket * 2);
                }
                sequence.end(6);
            });
            let taken: Vec<_> = std::iter::from_fn(|| sequence.pop()).collect();
            assert!(
                taken
                    .into_iter()
                    .eq((0..6).map(|ticket| (ticket, ticket * 2)))
            );
        });
    }

    #[test]
    fn nobody_waits_for_what_is_closed() {
        let (queue, sequence) = (Queue::bounded(1), Sequence::<u8>::new(1, 1));
        assert!(queue.push(1));
        thread::scope(|scope| {
            let (push, pop) = (
                scope.spawn(|| queue.push(2)),
                scope.spawn(|| sequence.pop()),
            );
            let room = scope.spawn(|| sequence.room(1));
            queue.close();
            sequence.close();
            assert!(!push.join().unwrap() && !room.join().unwrap());
            assert_eq!((pop.join().unwrap(), queue.pop()), (None, None));
        });
    }

    #[test]
    fn what_is_in_an_ended_queue_is_still_taken() {
        let queue = Queue::unbounded();
        assert!(queue.push(1));
        queue.end();
        assert_eq!((queue.pop(), queue.pop()), (Some(1), None));
    }
}
