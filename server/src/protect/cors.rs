//! Which pages may ask from a browser: none, unless origins are named.

use std::time::Duration;

use axum::http::{HeaderName, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::http::{Origin, provenance};

/// Headers of answers that a page may read.
const READ: [HeaderName; 12] = [
    header::ACCEPT_RANGES,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::ETAG,
    header::LINK,
    header::LOCATION,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("server-timing"),
    HeaderName::from_static(provenance::DIGEST),
    HeaderName::from_static(provenance::PRECISION),
    HeaderName::from_static("x-request-id"),
];
/// How long a browser remembers what it may do.
const REMEMBERED: Duration = Duration::from_hours(1);

/// What answers browsers' questions, if any page may ask. Keys are sent by scripts, so no credentials of the
/// browser's own are allowed.
pub(crate) fn cors(origins: &[Origin]) -> Option<CorsLayer> {
    let exact = |origin: &Origin| match origin {
        Origin::Any => None,
        Origin::Exact(value) => Some(value.clone()),
    };
    let allowed = if origins.is_empty() {
        return None;
    } else if origins.contains(&Origin::Any) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(exact))
    };
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::DELETE,
            ])
            // Clients send headers of their own (OpenAI's ten of x-stainless-…); a wildcard would leave out Authorization.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(READ)
            .max_age(REMEMBERED),
    )
}
