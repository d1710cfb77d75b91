//! What the OpenAPI document says about keys: the same table that requests are held against.

use axum::http::Method;
use utoipa::Modify;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, ContentBuilder, OpenApi, Ref, ResponseBuilder};

use crate::http::error_format;

use super::{API_KEY, Access, keys::Scope};

const BEARER: &str = "bearer";
const HEADER: &str = "header";

/// Adds keys to a document.
pub(crate) struct Protected;

impl Modify for Protected {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_with(Components::new);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
        let header = ApiKey::Header(ApiKeyValue::new(API_KEY));
        components.add_security_scheme(HEADER, SecurityScheme::ApiKey(header));
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                if let Access::Key(scope) = Access::of(&method, path) {
                    protect(operation, scope, path);
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, item.get.as_mut()),
        (Method::POST, item.post.as_mut()),
        (Method::PUT, item.put.as_mut()),
        (Method::DELETE, item.delete.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
}

fn protect(operation: &mut Operation, scope: Scope, path: &str) {
    let (media_type, schema) = error_format::documented(path);
    let requirement = |name: &str| SecurityRequirement::new(name, [] as [&str; 0]);
    operation.security = Some(vec![
        SecurityRequirement::default(), // a server without keys asks for none
        requirement(BEARER),
        requirement(HEADER),
    ]);
    let refused = "The server has API keys, and the request none of them.".to_owned();
    let scope = format!("The key's scope is not {} (or admin).", scope.name());
    for (status, description) in [("401", refused), ("403", scope)] {
        let problem = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(schema)))
            .build();
        let response = ResponseBuilder::new()
            .description(description)
            .content(media_type, problem)
            .build();
        let responses = &mut operation.responses.responses;
        responses.insert(status.to_owned(), response.into());
    }
}
