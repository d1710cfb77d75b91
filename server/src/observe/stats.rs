//! What a model's engine and the queue in front of it have done: counted where it happens, read by the metrics.

mod requests;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::phase::Phase;
use requests::Counted;
pub(crate) use requests::{Requests, Tally};

/// Upper bounds of batches' buckets, in images.
const IMAGES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
/// Upper bounds of engine calls' buckets, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// What an engine has done since its model was first loaded; a model that takes another's place under its name goes
/// on counting in the same.
#[derive(Debug)]
pub(crate) struct EngineStats {
    batches: Histogram,
    calls: Histogram,
    failures: Counter,
    panics: Counter,
    restarts: Counter,
    cancelled: Counter,
    expired: Counter,
    shed: Counter,
    requests: Counted,
    /// Calls by their number of images, of which there are as many as batches are large.
    by_size: Mutex<BTreeMap<usize, Tally>>,
}

impl Default for EngineStats {
    fn default() -> Self {
        Self {
            batches: Histogram::new(IMAGES),
            calls: Histogram::new(SECONDS),
            failures: Counter::default(),
            panics: Counter::default(),
            restarts: Counter::default(),
            cancelled: Counter::default(),
            expired: Counter::default(),
            shed: Counter::default(),
            requests: Counted::default(),
            by_size: Mutex::default(),
        }
    }
}

impl EngineStats {
    /// A call of so many images took so long, however it ended.
    pub(crate) fn batch_ran(&self, images: usize, took: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "batches are small")]
        self.batches.observe(images as f64);
        self.calls.observe(took.as_secs_f64());
        let mut by_size = self.by_size.lock().unwrap_or_else(PoisonError::into_inner);
        by_size.entry(images).or_default().add(took);
    }

    /// A call gave an error.
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    /// A call panicked.
    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// The engine was opened anew after a panic.
    pub(crate) fn restarted(&self) {
        self.restarts.inc();
    }

    /// So many images were dropped before they were run because their client had left.
    pub(crate) fn cancelled(&self, images: usize) {
        self.cancelled.inc_by(images as u64);
    }

    /// So many images were dropped before they were run because their time was up.
    pub(crate) fn expired(&self, images: usize) {
        self.expired.inc_by(images as u64);
    }

    /// So many images were refused because there was no room for them.
    pub(crate) fn shed(&self, images: usize) {
        self.shed.inc_by(images as u64);
    }

    /// A request was answered after so long, in these phases.
    pub(crate) fn answered(&self, took: Duration, phases: impl Iterator<Item = (Phase, Duration)>) {
        self.requests.answered(took, phases);
    }

    /// A request ended after so long without an answer.
    pub(crate) fn unanswered(&self, took: Duration) {
        self.requests.failed(took);
    }

    /// What became of requests.
    pub(crate) fn requests(&self) -> Requests {
        self.requests.now()
    }

    /// Calls by their number of images, however they ended.
    pub(crate) fn calls_by_size(&self) -> BTreeMap<usize, Tally> {
        let by_size = self.by_size.lock().unwrap_or_else(PoisonError::into_inner);
        by_size.clone()
    }

    /// Images in each call.
    pub(crate) const fn batches(&self) -> &Histogram {
        &self.batches
    }

    /// From a call to its end, in seconds.
    pub(crate) const fn calls(&self) -> &Histogram {
        &self.calls
    }

    /// Every count, with the name and the help that the metrics give it.
    pub(crate) fn counts(&self) -> [(&'static str, &'static str, &Counter); 6] {
        [
            (
                "detcon_engine_failures",
                "Calls that gave an error.",
                &self.failures,
            ),
            ("detcon_engine_panics", "Calls that panicked.", &self.panics),
            (
                "detcon_engine_restarts",
                "Engines opened anew after a panic.",
                &self.restarts,
            ),
            (
                "detcon_abandoned_images",
                "Images whose client left before they were run.",
                &self.cancelled,
            ),
            (
                "detcon_expired_images",
                "Images whose time was up before they were run.",
                &self.expired,
            ),
            (
                "detcon_shed_images",
                "Images refused because there was no room for them.",
                &self.shed,
            ),
        ]
    }
}
