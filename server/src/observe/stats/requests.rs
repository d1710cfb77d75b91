//! What became of a model's requests, and where their time went.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::observe::phase::Phase;

/// How often something was, and for how long in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How often.
    pub(crate) count: u64,
    /// For how long, in nanoseconds.
    pub(crate) nanos: u64,
}

impl Tally {
    /// Once more, for so long.
    pub(crate) fn add(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.count += 1;
        self.nanos = self.nanos.saturating_add(nanos);
    }
}

/// The requests of a model.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Requests {
    /// Those that were answered.
    pub(crate) answered: Tally,
    /// Those that were not.
    pub(crate) failed: Tally,
    /// When the last was answered, in milliseconds since 1970.
    pub(crate) last_millis: u64,
    phases: [Tally; Phase::ALL.len()],
}

impl Requests {
    /// A phase of those that were answered.
    pub(crate) const fn phase(&self, phase: Phase) -> Tally {
        self.phases[phase as usize]
    }
}

/// Requests as they are counted.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<Requests>);

impl Counted {
    /// Every phase counts once a request, with no time where it had none: clients of statistics expect equal counts.
    pub(super) fn answered(
        &self,
        took: Duration,
        measured: impl Iterator<Item = (Phase, Duration)>,
    ) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        let mut phases = [Duration::ZERO; Phase::ALL.len()];
        for (phase, took) in measured {
            phases[phase as usize] = took;
        }
        self.with(|requests| {
            requests.answered.add(took);
            requests.last_millis = now;
            for (tally, took) in requests.phases.iter_mut().zip(phases) {
                tally.add(took);
            }
        });
    }

    pub(super) fn failed(&self, took: Duration) {
        self.with(|requests| requests.failed.add(took));
    }

    pub(super) fn now(&self) -> Requests {
        self.with(|requests| *requests)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Requests) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
