//! Where a request's time went, phase by phase.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::outcome::Outcome;
use super::phase::Phase;
use super::stats::EngineStats;

tokio::task_local! {
    static CURRENT: Timings;
}

/// How long each phase of a request took: of several images, the one that took longest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timings(Arc<Measured>);

#[derive(Debug, Default)]
struct Measured {
    nanos: [AtomicU64; Phase::ALL.len()],
    model: OnceLock<Arc<EngineStats>>,
}

impl Timings {
    /// Those of the request that the caller works on; of nobody's, where it works on none.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Makes these the current ones of a future.
    pub(crate) fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), future)
    }

    /// Makes these the current ones of work on another thread.
    pub(crate) fn within<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }

    /// Does work that is a phase of the current request.
    pub(crate) fn measure<T>(phase: Phase, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        Self::current().add(phase, start.elapsed());
        done
    }

    /// Notes a phase.
    pub(crate) fn add(&self, phase: Phase, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.nanos[phase as usize].fetch_max(nanos, Ordering::Relaxed);
    }

    /// Notes whose request it is: it is counted in these, once, whatever becomes of it.
    pub(crate) fn of(&self, model: &Arc<EngineStats>) {
        self.0.model.get_or_init(|| Arc::clone(model));
    }

    /// Counts the request as its model's, if it was of one.
    pub(super) fn count(&self, outcome: Outcome, took: Duration) {
        match (self.0.model.get(), outcome) {
            (None, _) => {}
            (Some(model), Outcome::Answered) => model.answered(took, self.measured()),
            (Some(model), _) => model.unanswered(took),
        }
    }

    /// The phases that were measured.
    pub(super) fn measured(&self) -> impl Iterator<Item = (Phase, Duration)> {
        Phase::ALL.into_iter().filter_map(|phase| {
            let took = Duration::from_nanos(self.0.nanos[phase as usize].load(Ordering::Relaxed));
            (took > Duration::ZERO).then_some((phase, took))
        })
    }

    /// The value of `Server-Timing`, in milliseconds.
    pub(super) fn header(&self, total: Duration) -> String {
        let mut text = format!("total;dur={:.3}", total.as_secs_f64() * 1e3);
        for (phase, took) in self.measured() {
            let milliseconds = took.as_secs_f64() * 1e3;
            // A string takes everything.
            let _ = write!(text, ", {};dur={milliseconds:.3}", phase.name());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_told_and_the_longest_image_counts() {
        let timings = Timings::default();
        timings.add(Phase::Infer, Duration::from_millis(5));
        timings.add(Phase::Decode, Duration::from_millis(3));
        timings.add(Phase::Decode, Duration::from_millis(2));
        assert_eq!(
            timings.header(Duration::from_millis(10)),
            "total;dur=10.000, decode;dur=3.000, infer;dur=5.000"
        );
    }

    #[tokio::test]
    async fn a_future_has_the_timings_of_its_request() {
        let timings = Timings::default();
        let millisecond = Duration::from_millis(1);
        let elsewhere = async {
            let timings = Timings::current();
            let work = move || Timings::current().add(Phase::Encode, millisecond);
            tokio::task::spawn_blocking(move || timings.within(work)).await
        };
        timings.scope(elsewhere).await.unwrap();
        assert_eq!(
            timings.measured().next(),
            Some((Phase::Encode, millisecond))
        );
    }
}
