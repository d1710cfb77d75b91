//! What a bench found, as text for people and JSON for programs. Durations are in milliseconds.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::load::{Tally, percentile};

/// All that was measured, in one run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The model, where it is named.
    pub model: Option<String>,
    /// The arithmetic of the bare engine.
    pub precision: String,
    /// Threads of the bare engine.
    pub threads: usize,
    /// ONNX Runtime with nothing around it; missing where the model is not at hand.
    pub bare: Option<BareRates>,
    /// One client, one request after the other.
    pub single: Single,
    /// Clients that send one request after the other.
    pub closed: Vec<Closed>,
    /// Requests that arrive at a share of the best closed rate.
    pub open: Option<Open>,
    /// Requests that arrive faster than they can be answered.
    pub overload: Option<Overload>,
}

/// The bare engine.
#[derive(Debug, Serialize)]
pub struct BareRates {
    /// Images/s, one at a time.
    pub batch_1: f64,
    /// Images/s in batches of `batch`.
    pub batched: f64,
    /// Images in those batches.
    pub batch: usize,
    /// `batched` over the same in float32; missing where that is what was measured.
    pub over_fp32: Option<f64>,
    /// Median time of one image.
    pub run_ms: f64,
    /// Median time to decode, crop and resize the image on one thread.
    pub decode_ms: f64,
}

impl BareRates {
    /// Images/s of the better.
    #[must_use]
    pub fn best(&self) -> f64 {
        self.batch_1.max(self.batched)
    }
}

/// Latency of a client alone.
#[derive(Debug, Serialize)]
pub struct Single {
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Median less the bare run and the decoding.
    pub overhead_ms: Option<f64>,
}

/// A closed loop.
#[derive(Debug, Serialize)]
pub struct Closed {
    /// Clients.
    pub clients: usize,
    /// Images/s, the median of the rounds.
    pub images_per_second: f64,
    /// That over the better bare loop of the same round; the median of the rounds.
    pub ratio: Option<f64>,
    /// Median latency.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Requests that were not answered with 200.
    pub failed: usize,
}

/// An open loop below capacity.
#[derive(Debug, Serialize)]
pub struct Open {
    /// Requests a second.
    pub rate: f64,
    /// That over the best closed rate.
    pub load: f64,
    /// Requests.
    pub requests: usize,
    /// Requests that were not answered with 200.
    pub failed: usize,
    /// Median latency.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The same for the simulated queue.
    pub queue_p50_ms: f64,
    /// The same for the simulated queue.
    pub queue_p99_ms: f64,
}

/// An open loop above capacity.
#[derive(Debug, Serialize)]
pub struct Overload {
    /// Requests a second.
    pub rate: f64,
    /// That over the best closed rate.
    pub load: f64,
    /// Requests answered with 200.
    pub answered: usize,
    /// Answered a second, over a closed loop's rate right before and after.
    pub throughput_ratio: f64,
    /// Requests refused with 429 or 503.
    pub refused: usize,
    /// 99th percentile of the time to a refusal.
    pub refusal_p99_ms: Option<f64>,
    /// Refusals that did not say when to come back.
    pub without_retry_after: usize,
    /// All others.
    pub failed: usize,
    /// 99th percentile of `/livez` meanwhile.
    pub livez_p99_ms: Option<f64>,
    /// Resident memory of the server before.
    pub memory_before: Option<u64>,
    /// Most of it meanwhile.
    pub memory_peak: Option<u64>,
    /// And after.
    pub memory_after: Option<u64>,
}

/// Milliseconds.
pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A percentile in milliseconds; not a number where nothing was answered.
pub(super) fn percentile_ms(values: &[Duration], share: f64) -> f64 {
    percentile(values, share).map_or(f64::NAN, ms)
}

/// Requests that had neither an answer nor a refusal.
pub(super) fn failures(tally: &Tally) -> usize {
    tally.failed.values().sum()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for it in &self.closed {
            if let Some(ratio) = it.ratio {
                writeln!(f, "{:3} clients ÷ bare engine: {ratio:.3}", it.clients)?;
            }
        }
        if let Some(it) = &self.bare {
            writeln!(
                f,
                "bare ONNX Runtime, {} threads, {}: {:.1} images/s at batch 1, {:.1} at batch {}",
                self.threads, self.precision, it.batch_1, it.batched, it.batch
            )?;
            if let Some(ratio) = it.over_fp32 {
                writeln!(
                    f,
                    "bare {} ÷ bare fp32, batch {}: {ratio:.2}",
                    self.precision, it.batch
                )?;
            }
        }
        for it in &self.closed {
            writeln!(
                f,
                "{:3} clients: {:.1} images/s, p50 {:.1} ms, p99 {:.1} ms, {} failed",
                it.clients, it.images_per_second, it.p50_ms, it.p99_ms, it.failed
            )?;
        }
        let it = &self.single;
        write!(
            f,
            "  1 client alone: p50 {:.2} ms, p99 {:.2} ms",
            it.p50_ms, it.p99_ms
        )?;
        if let (Some(overhead), Some(bare)) = (it.overhead_ms, &self.bare) {
            write!(
                f,
                " = bare run {:.2} ms + decode {:.2} ms + {overhead:.2} ms",
                bare.run_ms, bare.decode_ms
            )?;
        }
        writeln!(f)?;
        if let Some(it) = &self.open {
            writeln!(
                f,
                "Poisson at {:.0} % of capacity ({:.1}/s, {} requests, {} failed):\n    \
                 p50 {:.1} ms, p99 {:.1} ms; simulated first-come-first-served queue {:.1} and {:.1} ms ({:.2}× and {:.2}×)",
                it.load * 100.0,
                it.rate,
                it.requests,
                it.failed,
                it.p50_ms,
                it.p99_ms,
                it.queue_p50_ms,
                it.queue_p99_ms,
                it.p50_ms / it.queue_p50_ms,
                it.p99_ms / it.queue_p99_ms,
            )?;
        }
        if let Some(it) = &self.overload {
            write!(f, "{it}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Poisson at {:.1}× capacity ({:.0}/s): {} answered ({:.3} of a closed loop's before and after), {} refused, {} failed",
            self.load, self.rate, self.answered, self.throughput_ratio, self.refused, self.failed
        )?;
        if let Some(p99) = self.refusal_p99_ms {
            writeln!(
                f,
                "    refusals' p99 {p99:.1} ms, {} without Retry-After",
                self.without_retry_after
            )?;
        }
        if let Some(p99) = self.livez_p99_ms {
            writeln!(f, "    /livez p99 {p99:.1} ms")?;
        }
        if let (Some(before), Some(peak), Some(after)) =
            (self.memory_before, self.memory_peak, self.memory_after)
        {
            let mebibytes = |bytes: u64| bytes >> 20;
            writeln!(
                f,
                "    resident memory {} MiB before, {} at most, {} after",
                mebibytes(before),
                mebibytes(peak),
                mebibytes(after)
            )?;
        }
        Ok(())
    }
}
