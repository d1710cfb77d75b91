//! The order of a bench: bare engine and closed loops in turn, one client, an open loop, overload.

use std::time::{Duration, Instant};

use super::BenchArguments;
use super::arrivals::{first_come_first_served, poisson};
use super::bare::Bare;
use super::load::{Request, Tally, closed, open, percentile};
use super::report::{
    BareRates, Closed, Open, Overload, Report, Single, failures, ms, percentile_ms,
};
use super::target::Target;

/// Seed of what is random here.
const SEED: u64 = 1;
/// Between two samples of memory and liveness under overload.
const PROBE: Duration = Duration::from_millis(50);

/// What a bench needs.
pub(super) struct Bench<'a> {
    pub(super) arguments: &'a BenchArguments,
    pub(super) target: Target,
    pub(super) request: Request,
    pub(super) reference: Option<Reference>,
}

/// What the server is held against.
pub(super) struct Reference {
    /// The bare engine.
    pub(super) engine: Bare,
    /// The same in float32, where that is another.
    pub(super) fp32: Option<Bare>,
    /// Median time to decode, crop and resize the image on one thread.
    pub(super) decode: Duration,
}

/// Images/s of the bare engine in each round.
#[derive(Default)]
struct BareRounds {
    batch_1: Vec<f64>,
    batched: Vec<f64>,
    over_fp32: Vec<f64>,
    runs: Vec<Duration>,
}

impl BareRounds {
    /// One more round: one image at a time, batches, and batches in float32.
    fn measure(
        &mut self,
        reference: &mut Reference,
        batch: usize,
        span: Duration,
    ) -> Result<(), detcon_inference::InferenceError> {
        let singles = reference.engine.runs(1, span)?;
        let batched = rate(&reference.engine.runs(batch, span)?, batch);
        if let Some(fp32) = &mut reference.fp32 {
            self.over_fp32
                .push(batched / rate(&fp32.runs(batch, span)?, batch));
        }
        self.batch_1.push(rate(&singles, 1));
        self.batched.push(batched);
        self.runs.extend(singles);
        Ok(())
    }

    /// The better of the newest round.
    fn best(&self) -> Option<f64> {
        Some(self.batch_1.last()?.max(*self.batched.last()?))
    }
}

/// A number of clients in each round.
#[derive(Default)]
struct ClosedRounds {
    rates: Vec<f64>,
    ratios: Vec<f64>,
    latencies: Vec<Duration>,
    failed: usize,
}

impl Bench<'_> {
    /// Measures everything that was asked for.
    pub(super) async fn measure(mut self) -> anyhow::Result<Report> {
        let span = self.arguments.span();
        closed(&self.request, 1, span / 2).await; // warms the server up
        let (bare, alone, closed_loops) = self.rounds(span).await?;
        let bare = self.bare_rates(bare);
        let overhead = bare
            .as_ref()
            .map(|bare| percentile_ms(&alone.answered, 0.5) - bare.run_ms - bare.decode_ms);
        let single = Single {
            p50_ms: percentile_ms(&alone.answered, 0.5),
            p99_ms: percentile_ms(&alone.answered, 0.99),
            overhead_ms: overhead,
        };
        let peak = closed_loops.iter().map(|it| it.images_per_second);
        let peak = peak.fold(alone.rate(), f64::max);
        let below = match self.arguments.open {
            Some(load) => Some(self.below_capacity(load, peak, &alone).await),
            None => None,
        };
        let overload = match self.arguments.overload {
            Some(load) => Some(self.above_capacity(load, peak).await?),
            None => None,
        };
        Ok(Report {
            model: self.arguments.model.clone(),
            precision: self.arguments.precision.to_string(),
            threads: self.arguments.threads().get(),
            bare,
            single,
            closed: closed_loops,
            open: below,
            overload,
        })
    }

    /// Bare engine, one client and closed loops in turn, so that a machine that slows down slows all.
    async fn rounds(&mut self, span: Duration) -> anyhow::Result<(BareRounds, Tally, Vec<Closed>)> {
        let clients = &self.arguments.clients;
        let (mut bare, mut alone) = (BareRounds::default(), Tally::default());
        let mut loops: Vec<_> = clients.iter().map(|_| ClosedRounds::default()).collect();
        for _ in 0..self.arguments.rounds.get() {
            if let Some(reference) = &mut self.reference {
                let batch = self.arguments.batch.get();
                tokio::task::block_in_place(|| bare.measure(reference, batch, span))?;
            }
            alone.add(closed(&self.request, 1, span).await);
            for (clients, rounds) in clients.iter().zip(&mut loops) {
                let tally = closed(&self.request, clients.get(), span).await;
                rounds
                    .ratios
                    .extend(bare.best().map(|best| tally.rate() / best));
                rounds.rates.push(tally.rate());
                rounds.failed += failures(&tally) + tally.refused.len();
                rounds.latencies.extend(tally.answered);
            }
        }
        let closed_loops = clients.iter().zip(loops).map(|(clients, rounds)| Closed {
            clients: clients.get(),
            images_per_second: median(rounds.rates).unwrap_or(f64::NAN),
            ratio: median(rounds.ratios),
            p50_ms: percentile_ms(&rounds.latencies, 0.5),
            p99_ms: percentile_ms(&rounds.latencies, 0.99),
            failed: rounds.failed,
        });
        Ok((bare, alone, closed_loops.collect()))
    }

    fn bare_rates(&self, rounds: BareRounds) -> Option<BareRates> {
        let reference = self.reference.as_ref()?;
        Some(BareRates {
            batch_1: median(rounds.batch_1)?,
            batched: median(rounds.batched)?,
            batch: self.arguments.batch.get(),
            over_fp32: median(rounds.over_fp32),
            run_ms: percentile_ms(&rounds.runs, 0.5),
            decode_ms: ms(reference.decode),
        })
    }

    /// Requests at random below capacity. A lone client's latencies are the services of the simulated queue.
    async fn below_capacity(&self, load: f64, peak: f64, alone: &Tally) -> Open {
        let arrivals = poisson(load * peak, self.arguments.open_span(), SEED);
        let tally = open(&self.request, &arrivals).await;
        let queue = first_come_first_served(&arrivals, &alone.answered, SEED);
        Open {
            rate: load * peak,
            load,
            requests: arrivals.len(),
            failed: failures(&tally) + tally.refused.len(),
            p50_ms: percentile_ms(&tally.answered, 0.5),
            p99_ms: percentile_ms(&tally.answered, 0.99),
            queue_p50_ms: percentile_ms(&queue, 0.5),
            queue_p99_ms: percentile_ms(&queue, 0.99),
        }
    }

    /// Requests at random above capacity, while memory and liveness are looked at. What is answered is held against
    /// closed loops right before and after: over minutes a machine's pace changes.
    async fn above_capacity(&self, load: f64, peak: f64) -> anyhow::Result<Overload> {
        let arrivals = poisson(load * peak, self.arguments.open_span(), SEED);
        let client = super::client::client().no_proxy().build()?;
        let before = self.capacity().await;
        let memory_before = self.target.memory();
        let (mut memory_peak, mut lives) = (memory_before, Vec::new());
        let probes = async {
            loop {
                let start = Instant::now();
                let answer = client.get(self.target.url("/livez")).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    lives.push(start.elapsed());
                }
                memory_peak = memory_peak.max(self.target.memory());
                tokio::time::sleep(PROBE).await;
            }
        };
        let tally = tokio::select! {
            tally = open(&self.request, &arrivals) => tally,
            () = probes => unreachable!("it goes on for ever"),
        };
        let memory_after = self.target.memory();
        let after = self.capacity().await;
        Ok(Overload {
            rate: load * peak,
            load,
            answered: tally.answered.len(),
            throughput_ratio: 2.0 * tally.rate() / (before + after),
            refused: tally.refused.len(),
            refusal_p99_ms: percentile(&tally.refused, 0.99).map(ms),
            without_retry_after: tally.without_retry_after,
            failed: failures(&tally),
            livez_p99_ms: percentile(&lives, 0.99).map(ms),
            memory_before,
            memory_peak,
            memory_after,
        })
    }

    /// Images a second of the largest closed loop.
    async fn capacity(&self) -> f64 {
        let clients = self.arguments.clients.iter().max();
        let clients = clients.map_or(1, |clients| clients.get());
        closed(&self.request, clients, self.arguments.span())
            .await
            .rate()
    }
}

/// Images a second of runs that each took `batch`.
#[expect(clippy::cast_precision_loss, reason = "counts of images are small")]
fn rate(runs: &[Duration], batch: usize) -> f64 {
    let seconds: f64 = runs.iter().map(Duration::as_secs_f64).sum();
    (runs.len() * batch) as f64 / seconds
}

/// The middle value, the upper one of an even count.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
