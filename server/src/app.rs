//! The application: every route on one screen, and what surrounds all of them, outermost first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_request};
use axum::response::{IntoResponse as _, Response};
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa::{Modify as _, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::api::{
    embeddings, features, files, health, hub, imports, metrics, models, oip, regions,
    segmentations, shapes, uploads,
};
use crate::input::{Limits, drained};
use crate::observe::{self, Metrics};
use crate::pipeline::Pipeline;
use crate::playground;
use crate::problem::Problem;
use crate::protect::{self, Protected, Protection};
use crate::registry::Registry;
use crate::store::Store;

/// What every handler can reach.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) registry: Registry,
    pub(crate) pipeline: Pipeline,
    pub(crate) limits: Limits,
    pub(crate) protection: Protection,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    closing: AtomicBool,
}

impl App {
    pub(crate) fn new(
        registry: Registry,
        pipeline: Pipeline,
        limits: Limits,
        protection: Protection,
        store: Store,
    ) -> Self {
        Self {
            registry,
            pipeline,
            limits,
            protection,
            store,
            metrics: Arc::new(Metrics::new()),
            closing: AtomicBool::new(false),
        }
    }

    /// Whether the server is on its way out.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Says so to whoever asks for readiness.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "DetCon",
        description = "Object-aware visual features: embeddings of photographs by DetCon-pretrained ResNets.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "embeddings", description = "From photographs to vectors."),
        (name = "features", description = "From photographs to dense maps, regions and segments."),
        (name = "models", description = "What is served."),
        (name = "inference protocol", description = "The Open Inference Protocol, version 2, with Triton's extensions."),
        (name = "hub", description = "The store as a Hugging Face Hub, for its clients."),
        (name = "health", description = "For whoever watches the server."),
    ),
)]
struct Document;

/// What stands for the rest of an address in a route. Documents know no such thing.
const REST: &str = "{*";

/// Every route, with its documentation.
fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(embeddings::embed))
        .routes(routes!(features::features))
        .routes(routes!(regions::regions))
        .routes(routes!(segmentations::segment))
        .routes(routes!(models::list))
        .routes(routes!(models::describe, uploads::upload, uploads::remove))
        .routes(routes!(uploads::load))
        .routes(routes!(uploads::unload))
        .routes(routes!(files::list))
        .routes(routes!(files::file))
        .routes(routes!(imports::list))
        .routes(routes!(imports::describe))
        .merge(hub())
        .merge(inference_protocol())
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
}

/// The store as a hub of checkpoints.
fn hub() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(hub::describe_unowned))
        .routes(routes!(hub::describe_unowned_at))
        .routes(routes!(hub::tree_unowned))
        .routes(routes!(hub::describe))
        .routes(routes!(hub::describe_at))
        .routes(routes!(hub::tree))
        .routes(routes!(hub::resolve_unowned))
        .routes(routes!(hub::resolve))
}

/// The Open Inference Protocol.
fn inference_protocol() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(oip::server_metadata))
        .routes(routes!(oip::live))
        .routes(routes!(oip::server_ready))
        .routes(routes!(oip::all_statistics))
        .routes(routes!(oip::metadata))
        .routes(routes!(oip::ready))
        .routes(routes!(oip::config))
        .routes(routes!(oip::statistics))
        .routes(routes!(oip::infer))
        .routes(routes!(oip::metadata_of_version))
        .routes(routes!(oip::version_ready))
        .routes(routes!(oip::config_of_version))
        .routes(routes!(oip::version_statistics))
        .routes(routes!(oip::infer_version))
        .routes(routes!(oip::index))
        .routes(routes!(oip::load))
        .routes(routes!(oip::unload))
}

/// The OpenAPI document of the routes.
#[must_use]
pub fn document() -> OpenApi {
    let mut document = routes().split_for_parts().1;
    Protected.modify(&mut document);
    let paths = std::mem::take(&mut document.paths.paths).into_iter();
    document.paths.paths = paths
        .map(|(path, item)| (path.replace(REST, "{"), item))
        .collect();
    document
}

/// The application with its middleware.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (router, _) = routes().split_for_parts();
    let pages = documentation(document()).merge(playground::router(app.protection.playground));
    surround(router.merge(pages), &app).with_state(app)
}

/// What every request passes, the last layer first.
fn surround(router: Router<Arc<App>>, app: &App) -> Router<Arc<App>> {
    let (metrics, panics) = (Arc::clone(&app.metrics), Arc::clone(&app.metrics));
    let Protection { gate, origins, .. } = app.protection.clone();
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::disable()) // bodies are bounded where they are read
        .layer(from_fn_with_state(gate, protect::keys))
        .layer(option_layer(protect::cors(&origins))) // browsers' questions come without keys
        .layer(CatchPanicLayer::custom(move |_payload| panicked(&panics)))
        .layer(from_fn(shapes::errors))
        .layer(from_fn(protect::security))
        .layer(from_fn_with_state(metrics, observe::requests))
        .layer(map_request(async |request| drained(request)))
}

/// Swagger UI and the document. What it does not have is a problem, as everywhere.
fn documentation(document: OpenApi) -> Router<Arc<App>> {
    Router::from(SwaggerUi::new("/docs").url("/openapi.json", document)).layer(from_fn(
        async |request: Request, next: Next| {
            let uri = request.uri().clone();
            let response = next.run(request).await;
            match response.status() {
                StatusCode::NOT_FOUND => not_found(uri).await.into_response(),
                _ => response,
            }
        },
    ))
}

/// The panic itself is on standard error.
fn panicked(metrics: &Metrics) -> Response {
    metrics.panics.inc();
    tracing::error!("a handler panicked");
    Problem::Internal.into_response()
}

async fn not_found(uri: Uri) -> Problem {
    Problem::NotFound {
        path: uri.path().chars().take(200).collect(),
    }
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::MethodNotAllowed {
        method: method.to_string(),
    }
}

#[cfg(test)]
mod tests;
