//! What every request passes on its way to its handler, and every answer on its way back.

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{from_fn, from_fn_with_state, map_request};
use axum::response::{IntoResponse as _, Response};
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutBody;

use super::drain::drained;
use crate::api::App;
use crate::http::{Problem, error_format};
use crate::observe::{self, Metrics};
use crate::protect::{self, Protection};

/// How many times the wait for a body all of them are waited for between two pieces: those who read bodies have
/// deadlines of their own and tell what is wrong, and this is for who forgets to.
const BODY_SLACK: u32 = 2;

/// Puts all of it around the routes.
pub(super) fn surround(
    router: Router<Arc<App>>,
    App {
        metrics, limits, ..
    }: &App,
    Protection { gate, origins, .. }: Protection,
) -> Router<Arc<App>> {
    let (counted, panics) = (Arc::clone(metrics), Arc::clone(metrics));
    let longest = limits.timeout * BODY_SLACK;
    router.layer(
        ServiceBuilder::new()
            // What a handler leaves of a body is read, so that the client sees the answer.
            .layer(map_request(async |request| drained(request)))
            // No body is waited for without end, whatever reads it.
            .layer(map_request(move |request: Request| {
                ready(request.map(|body| Body::new(TimeoutBody::new(longest, body))))
            }))
            // Every request has an id, a line of the log and one outcome, whatever becomes of it further in.
            .layer(from_fn_with_state(counted, observe::requests))
            .layer(from_fn(protect::security))
            // Problems of everything further in are told as the clients of their path read them.
            .layer(from_fn(error_format::errors))
            .layer(CatchPanicLayer::custom(move |_payload| panicked(&panics)))
            // Browsers' questions come without keys.
            .layer(option_layer(protect::cors(&origins)))
            .layer(from_fn_with_state(
                (gate, Arc::from(origins)),
                protect::access,
            ))
            // Bodies are bounded where they are read.
            .layer(DefaultBodyLimit::disable()),
    )
}

/// The panic itself is on standard error.
fn panicked(metrics: &Metrics) -> Response {
    metrics.panics.inc();
    tracing::error!("a handler panicked");
    Problem::Internal.into_response()
}
