//! When requests of an open loop arrive, and what a first-come-first-served queue would make of them.

use std::time::Duration;

/// Times after the start at which requests of a Poisson process of `rate` a second arrive, up to `span`. The same
/// `seed` gives the same times.
#[must_use]
pub fn poisson(rate: f64, span: Duration, seed: u64) -> Vec<Duration> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut now = 0.0;
    std::iter::repeat_with(|| {
        // `1 - f64()` is in (0, 1], so its logarithm is finite.
        now -= (1.0 - random.f64()).ln() / rate;
        now
    })
    .take_while(|&now| now < span.as_secs_f64())
    .map(Duration::from_secs_f64)
    .collect()
}

/// Latencies in a queue with one server that serves `arrivals` (ascending) in their order, each for one of the
/// measured `services`, drawn at random with `seed`. Empty where nothing was measured.
#[must_use]
pub fn first_come_first_served(
    arrivals: &[Duration],
    services: &[Duration],
    seed: u64,
) -> Vec<Duration> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut free = Duration::ZERO;
    let latency = |&arrival: &Duration| {
        let service = random.choice(services)?;
        free = free.max(arrival) + *service;
        Some(free.saturating_sub(arrival))
    };
    arrivals.iter().map_while(latency).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn arrivals_ascend_at_the_rate_and_repeat() {
        let arrivals = poisson(50.0, 100 * SECOND, 1);
        assert!(arrivals.is_sorted());
        assert!(arrivals.last() < Some(&(100 * SECOND)));
        // Five standard deviations of a Poisson count of 5000.
        assert!(arrivals.len().abs_diff(5000) < 354, "{}", arrivals.len());
        assert_eq!(arrivals, poisson(50.0, 100 * SECOND, 1));
        assert_ne!(arrivals, poisson(50.0, 100 * SECOND, 2));
    }

    #[test]
    fn a_request_waits_for_those_before_it() {
        let arrivals = [0, 1, 10].map(Duration::from_secs);
        let latencies = first_come_first_served(&arrivals, &[3 * SECOND], 0);
        assert_eq!(latencies, [3, 5, 3].map(Duration::from_secs));
    }

    /// Pollaczek and Khinchine: the mean wait of M/D/1 at load ρ is ρ / 2(1 - ρ) services.
    #[test]
    fn the_mean_wait_is_that_of_queueing_theory() {
        let arrivals = poisson(0.8, 100_000 * SECOND, 3);
        let latencies = first_come_first_served(&arrivals, &[SECOND], 3);
        let waits: f64 = latencies.iter().map(|it| it.as_secs_f64() - 1.0).sum();
        #[expect(clippy::cast_precision_loss, reason = "a count below 2^53")]
        let mean = waits / latencies.len() as f64;
        assert!((mean - 2.0).abs() < 0.15, "{mean}");
    }

    #[test]
    fn nothing_measured_gives_nothing() {
        assert!(first_come_first_served(&[SECOND], &[], 0).is_empty());
    }
}
