//! Every metric, registered when the server starts. Labels are bounded: routes, methods, statuses and problems come
//! from tables, models from the store.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Outcome, Phase, Timings, lines, process};

/// Upper bounds of durations' buckets, in seconds: from a decoded thumbnail to the default timeout.
pub(super) const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// What a finished request is counted under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) method: &'static str,
    /// The route's pattern; `-` where there is none.
    pub(super) route: String,
    pub(super) status: u16,
    /// The problem's own name; empty where there is none.
    pub(super) problem: &'static str,
}

/// What a request's duration is counted under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    /// `2xx` and so on.
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// Every metric of the server's own.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Durations<RouteLabels>,
    phases: Durations<PhaseLabel>,
    outcomes: Family<OutcomeLabel, Counter>,
    /// Requests that have no answer yet.
    pub(super) in_flight: Gauge,
    /// Handlers that panicked.
    pub(crate) panics: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("detcon");
        let requests = Family::default();
        let durations = Durations::new_with_constructor(|| Histogram::new(SECONDS));
        let phases = Durations::new_with_constructor(|| Histogram::new(SECONDS));
        for phase in Phase::ALL {
            let _ = phases.get_or_create(&PhaseLabel {
                phase: phase.name(),
            });
        }
        let outcomes = Family::<OutcomeLabel, Counter>::default();
        for outcome in Outcome::ALL {
            let _ = outcomes.get_or_create(&OutcomeLabel {
                outcome: outcome.name(),
            });
        }
        let (in_flight, panics) = (Gauge::default(), Counter::default());
        registry.register("requests", "Requests, each once", requests.clone());
        registry.register(
            "request_duration_seconds",
            "From a request's head to its answer's",
            durations.clone(),
        );
        registry.register(
            "request_phase_duration_seconds",
            "Parts of the work on a request; of several images, the one that took longest",
            phases.clone(),
        );
        registry.register(
            "request_outcomes",
            "What became of requests, each once",
            outcomes.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests without an answer yet",
            in_flight.clone(),
        );
        registry.register("handler_panics", "Handlers that panicked", panics.clone());
        Self {
            registry,
            requests,
            durations,
            phases,
            outcomes,
            in_flight,
            panics,
        }
    }

    /// Counts a request.
    pub(super) fn finished(&self, labels: &RequestLabels, outcome: Outcome, took: Duration) {
        let route = RouteLabels {
            route: labels.route.clone(),
            status: class(labels.status),
        };
        self.durations
            .get_or_create(&route)
            .observe(took.as_secs_f64());
        self.outcomes
            .get_or_create(&OutcomeLabel {
                outcome: outcome.name(),
            })
            .inc();
        self.requests.get_or_create(labels).inc();
    }

    /// Notes where a request's time went.
    pub(super) fn phases(&self, timings: &Timings) {
        for (phase, took) in timings.measured() {
            let label = PhaseLabel {
                phase: phase.name(),
            };
            self.phases
                .get_or_create(&label)
                .observe(took.as_secs_f64());
        }
    }

    /// All of them as `OpenMetrics` text, which Prometheus reads, with what `more` registers for this time only.
    pub(crate) fn text(&self, more: impl FnOnce(&mut Registry)) -> Result<String, fmt::Error> {
        let mut momentary = Registry::default();
        process::register(&mut momentary);
        momentary.register(
            "detcon_log_lines_dropped",
            "Lines of the log that nobody was there to read in time",
            ConstCounter::new(lines::dropped()),
        );
        more(&mut momentary);
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &momentary)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

const fn class(status: u16) -> &'static str {
    match status {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}
