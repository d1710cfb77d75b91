//! `/v2`, `/v2/health/live` and `/v2/health/ready`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::api::App;

/// The protocol's extensions that there are here, as Triton names them.
const EXTENSIONS: [&str; 4] = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "statistics",
];

/// The server.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ServerMetadata {
    /// Always `detcon-server`.
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// The protocol's extensions that it has.
    #[schema(value_type = Vec<String>)]
    extensions: [&'static str; 4],
}

/// Says what the server is.
#[utoipa::path(get, path = "/v2", tag = "inference protocol", operation_id = "v2_server", responses((status = 200, description = "Name, version and extensions.", body = ServerMetadata)))]
pub(crate) async fn server_metadata() -> Json<ServerMetadata> {
    Json(ServerMetadata {
        name: "detcon-server",
        version: env!("CARGO_PKG_VERSION"),
        extensions: EXTENSIONS,
    })
}

/// Says that the process runs.
#[utoipa::path(get, path = "/v2/health/live", tag = "inference protocol", operation_id = "v2_live", responses((status = 200, description = "The process runs.")))]
pub(crate) async fn live() -> StatusCode {
    StatusCode::OK
}

/// Says whether requests can be answered, as `/readyz` does.
#[utoipa::path(
    get,
    path = "/v2/health/ready",
    tag = "inference protocol",
    operation_id = "v2_ready",
    responses(
        (status = 200, description = "Requests can be answered."),
        (status = 503, description = "Models are still loading, none could be loaded, or the server is shutting down."),
    ),
)]
pub(crate) async fn server_ready(State(app): State<Arc<App>>) -> StatusCode {
    if app.registry.is_ready() && !app.registry.is_closing() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
