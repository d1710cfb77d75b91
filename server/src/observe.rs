//! What is known about each request: its id, one line of the log, one outcome in the metrics, its `Server-Timing`.

mod engines;
mod id;
pub(crate) mod lines;
mod metrics;
mod outcome;
mod phase;
mod process;
mod stats;
pub(crate) mod telemetry;
mod timing;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument as _, Span};

pub(crate) use engines::{ModelSample, Models, ServedSample};
pub(crate) use id::RequestId;
pub(crate) use metrics::Metrics;
pub(crate) use outcome::{Outcome, Refusal};
pub(crate) use phase::Phase;
pub(crate) use stats::{EngineStats, Tally};
pub(crate) use timing::Timings;

use metrics::RequestLabels;

/// Where a request's time went (W3C Server Timing).
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// What is counted as the status of a request whose client left before there was one.
const CLIENT_LEFT: u16 = 499;

/// Gives each request an id, logs how it went and counts it once, whatever becomes of it.
pub(crate) async fn requests(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let id = RequestId::of(request.headers());
    let timings = Timings::default();
    let mut pending = Pending::new(metrics, &request, id.clone(), timings.clone());
    let span = pending.span.clone();
    telemetry::continue_trace(&span, request.headers());
    let answered = id.clone().scope(timings.scope(next.run(request)));
    let mut response = answered.instrument(span).await;
    pending.finish(&response);
    mark(response.headers_mut(), &id, &pending);
    response
}

fn mark(headers: &mut HeaderMap, id: &RequestId, pending: &Pending) {
    headers.insert(id::HEADER, id.header());
    let timing = pending.timings.header(pending.start.elapsed());
    if let Ok(timing) = HeaderValue::from_str(&timing) {
        headers.insert(SERVER_TIMING, timing);
    }
}

/// Routes that machines ask every few seconds: a log of them is one that nobody reads.
const PROBES: [&str; 5] = [
    "/livez",
    "/readyz",
    "/metrics",
    "/v2/health/live",
    "/v2/health/ready",
];

/// A request on its way. Dropped before it is finished, its client has left.
struct Pending {
    metrics: Arc<Metrics>,
    id: RequestId,
    timings: Timings,
    method: &'static str,
    route: String,
    start: Instant,
    span: Span,
    finished: bool,
}

impl Pending {
    fn new(metrics: Arc<Metrics>, request: &Request, id: RequestId, timings: Timings) -> Self {
        metrics.in_flight.inc();
        let method = known_method(request.method());
        // The route's pattern, so that neither the log nor the metrics hold what clients make up.
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map_or("-", MatchedPath::as_str).to_owned();
        let span = telemetry::request_span(method, &route, id.as_str());
        Self {
            metrics,
            id,
            timings,
            method,
            route,
            start: Instant::now(),
            span,
            finished: false,
        }
    }

    fn finish(&mut self, response: &Response) {
        let status = response.status().as_u16();
        let refusal = response.extensions().get::<Refusal>().copied();
        // Everything that is not answered is a problem; a probe that is told "not ready" has its answer.
        let outcome = refusal.map_or(Outcome::Answered, |it| it.outcome);
        self.record(status, refusal.map_or("", |it| it.problem), outcome);
    }

    fn record(&mut self, status: u16, problem: &'static str, outcome: Outcome) {
        self.finished = true;
        let duration = self.start.elapsed();
        let labels = RequestLabels {
            method: self.method,
            route: self.route.clone(),
            status,
            problem,
        };
        self.metrics.finished(&labels, outcome, duration);
        self.metrics.phases(&self.timings);
        self.timings.count(outcome, duration);
        telemetry::answered(&self.span, status, &self.timings);
        let duration_ms = duration.as_secs_f64() * 1e3;
        let (span, outcome) = (&self.span, outcome.name());
        if PROBES.contains(&self.route.as_str()) {
            tracing::debug!(parent: span, status, problem, outcome, duration_ms, "request");
        } else {
            tracing::info!(parent: span, status, problem, outcome, duration_ms, "request");
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.finished {
            self.record(CLIENT_LEFT, "", Outcome::Cancelled);
        }
        self.metrics.in_flight.dec();
        tracing::trace!(id = self.id.as_str(), "the request is over");
    }
}

/// The method's name, of a set that clients cannot add to.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
    let known = KNOWN.into_iter().find(|name| *name == method.as_str());
    known.unwrap_or("other")
}

#[cfg(test)]
mod tests;
