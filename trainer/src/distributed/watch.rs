//! Signs of life: each rank gives them, and finds out who no longer does.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::store::{Sign, Store};
use super::{DistributedError, Rendezvous};

/// Time between two signs.
const BEAT: Duration = Duration::from_millis(500);
/// How long the run has to stop by itself once a rank is gone. A collective may never return.
const GRACE: Duration = Duration::from_secs(15);

/// What the watch and the run tell each other.
#[derive(Debug, Default)]
struct Board {
    /// A collective failed, so that a rank that has left was needed.
    failing: AtomicBool,
    /// The run is over, or knows the verdict.
    over: AtomicBool,
    verdict: Mutex<Option<DistributedError>>,
    found: Condvar,
}

/// A thread that gives this rank's signs and watches the others'.
#[derive(Debug)]
pub(super) struct Watch {
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
    silence: Duration,
}

impl Watch {
    pub(super) fn start(rendezvous: &Rendezvous, store: Store) -> Self {
        let board = Arc::<Board>::default();
        let silence = Duration::from_secs(rendezvous.silence);
        let watcher = Watcher::new(rendezvous, store, Arc::clone(&board));
        Self {
            board,
            thread: Some(thread::spawn(move || watcher.run())),
            silence,
        }
    }

    /// Why a collective failed: the rank that is gone, where one is.
    pub(super) fn explain(&self, reason: String) -> DistributedError {
        self.board.failing.store(true, Ordering::Relaxed);
        let verdict = self
            .board
            .verdict
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let patience = self.silence + 4 * BEAT;
        let waited = self
            .board
            .found
            .wait_timeout_while(verdict, patience, |verdict| verdict.is_none());
        let (mut verdict, _) = waited.unwrap_or_else(PoisonError::into_inner);
        self.board.over.store(true, Ordering::Relaxed);
        verdict
            .take()
            .unwrap_or(DistributedError::Collective { reason })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.board.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread knows of the others.
struct Watcher {
    store: Store,
    board: Arc<Board>,
    own: usize,
    serves: bool,
    silence: Duration,
    /// The last sign of each rank, and when it was new.
    signs: Vec<(Sign, Instant)>,
}

impl Watcher {
    fn new(rendezvous: &Rendezvous, store: Store, board: Arc<Board>) -> Self {
        let share = rendezvous.share;
        Self {
            store,
            board,
            own: share.rank(),
            serves: share.leads() && !rendezvous.served,
            silence: Duration::from_secs(rendezvous.silence),
            signs: vec![(Sign::None, Instant::now()); share.size()],
        }
    }

    fn run(mut self) {
        for count in 0.. {
            if self.board.over.load(Ordering::Relaxed) {
                return self.leave();
            }
            if let Err(verdict) = self.store.beat(count).and_then(|()| self.look()) {
                return self.announce(verdict);
            }
            thread::sleep(BEAT);
        }
    }

    /// Fails where a rank is gone.
    fn look(&mut self) -> Result<(), DistributedError> {
        let failing = self.board.failing.load(Ordering::Relaxed);
        for rank in (0..self.signs.len()).filter(|&rank| rank != self.own) {
            let sign = self.store.sign(rank)?;
            let (last, since) = &mut self.signs[rank];
            if sign != *last {
                (*last, *since) = (sign, Instant::now());
            }
            let gone = match last {
                Sign::Left => failing,
                Sign::None | Sign::Beat(_) => since.elapsed() > self.silence,
            };
            if gone {
                self.store.mourn(rank)?;
            }
        }
        let size = self.signs.len();
        let gone = self.store.gone()?;
        gone.map_or(Ok(()), |rank| Err(DistributedError::Gone { rank, size }))
    }

    /// Hands over the verdict, and ends the program where the run does not come to ask for it.
    fn announce(self, verdict: DistributedError) {
        let said = verdict.to_string();
        *self
            .board
            .verdict
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        self.board.found.notify_all();
        let begin = Instant::now();
        while !self.board.over.load(Ordering::Relaxed) {
            if begin.elapsed() > GRACE {
                eprintln!("detcon-train: {said}");
                process::exit(1);
            }
            thread::sleep(BEAT);
        }
        self.leave();
    }

    /// Says that this rank has ended. The store's own rank stays until the others have, so that they can say so too.
    fn leave(self) {
        let begin = Instant::now();
        if self.store.leave().is_err() || !self.serves {
            return;
        }
        let others = || (0..self.signs.len()).filter(|&rank| rank != self.own);
        let gone = |rank| {
            let dead = self.store.gone().ok().flatten() == Some(rank);
            dead || self.store.sign(rank).is_ok_and(|sign| sign == Sign::Left)
        };
        while !others().all(gone) && begin.elapsed() < self.silence {
            thread::sleep(BEAT / 5);
        }
    }
}
