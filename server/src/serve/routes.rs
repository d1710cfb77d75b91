//! The routes, all of them on one screen, and the document that describes them.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use utoipa::openapi::OpenApi;
use utoipa::{Modify as _, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use super::middleware::surround;
use crate::api::{
    App, embeddings, features, files, health, hub, imports, metrics, models, oip, playground,
    regions, segmentations, uploads,
};
use crate::http::Problem;
use crate::protect::{Protected, Protection};

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

/// The application, for those whom `protection` lets in, with its middleware.
pub(crate) fn router(app: Arc<App>, protection: Protection) -> Router {
    let (router, _) = routes().split_for_parts();
    let pages = documentation(document()).merge(playground::router(protection.playground));
    let router = router
        .merge(pages)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    surround(router, &app, protection).with_state(app)
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
