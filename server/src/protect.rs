//! Who may do what: the scope that each route asks for, and the check of a request's key against it.

mod cors;
mod cross_site;
mod document;
mod headers;
mod keys;

use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use cors::cors;
pub(crate) use document::Protected;
pub(crate) use headers::security;
pub use keys::KeysError;
use keys::{ApiKeys, Scope};

use crate::http::{Origin, Problem};

/// Who may ask, and from where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Protection {
    /// The keys.
    pub(crate) gate: Gate,
    /// Origins whose pages may ask.
    pub(crate) origins: Vec<Origin>,
    /// Whether there is a page that browsers can ask from.
    pub(crate) playground: Playground,
}

/// Whether there is a page to try the models with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Playground {
    /// At `/`.
    #[default]
    Served,
    /// The API is all there is.
    Hidden,
}

/// Where the files of that page are.
pub(crate) const PLAYGROUND: &str = "/playground/{file}";
/// The header that carries a key where `Authorization` does not.
const API_KEY: &str = "x-api-key";

/// What a route asks of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Nothing.
    Open,
    /// A key of this scope.
    Key(Scope),
}

impl Access {
    /// The table. What is not in it needs a key, whether it exists or not.
    fn of(method: &Method, route: &str) -> Self {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match route {
            // Probes come from machines without secrets, and neither the pages nor the documentation hold any.
            "/livez" | "/readyz" | "/v2/health/live" | "/v2/health/ready" | "/openapi.json"
            | "/" | PLAYGROUND => Self::Open,
            docs if docs == "/docs" || docs.starts_with("/docs/") => Self::Open,
            "/metrics" => Self::Key(Scope::Metrics),
            models if models.starts_with("/v1/models") && !reads => Self::Key(Scope::Admin),
            models if models.starts_with("/v2/repository/models/") => Self::Key(Scope::Admin),
            imports if imports.starts_with("/v1/imports") => Self::Key(Scope::Admin),
            _ => Self::Key(Scope::Inference),
        }
    }
}

impl KeyFile {
    fn read_again(&self) -> Result<(), KeysError> {
        *self.keys.write().expect("no writer panics") = ApiKeys::read(&self.path)?;
        Ok(())
    }
}

/// The keys of the file, read again when asked to. Without a file everybody may ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Option<Arc<KeyFile>>);

#[derive(Debug)]
struct KeyFile {
    path: PathBuf,
    keys: RwLock<ApiKeys>,
}

impl Gate {
    /// Reads the keys.
    pub(crate) fn open(path: Option<PathBuf>) -> Result<Self, KeysError> {
        let file = path.map(|path| {
            let keys = RwLock::new(ApiKeys::read(&path)?);
            Ok(Arc::new(KeyFile { path, keys }))
        });
        file.transpose().map(Self)
    }

    /// Reads the keys again at every SIGHUP, until the server ends. A file that cannot be used changes nothing.
    pub(crate) async fn watch(self) {
        let (Some(file), Ok(mut hangup)) = (self.0, signal(SignalKind::hangup())) else {
            return std::future::pending().await;
        };
        while hangup.recv().await.is_some() {
            match file.read_again() {
                Ok(()) => tracing::info!("API keys read again"),
                Err(error) => tracing::error!(%error, "the API keys stay as they were"),
            }
        }
    }

    /// Whether a request may pass.
    fn check(&self, access: Access, headers: &HeaderMap) -> Result<(), Problem> {
        let (Some(file), Access::Key(needed)) = (&self.0, access) else {
            return Ok(());
        };
        let key = presented(headers).ok_or(Problem::KeyMissing)?;
        let scope = file.keys.read().expect("no writer panics").scope(key);
        match scope {
            None => Err(Problem::KeyUnknown),
            Some(scope) if scope.allows(needed) => Ok(()),
            Some(_) => Err(Problem::KeyNotAllowed {
                needed: needed.name(),
            }),
        }
    }
}

/// Lets requests pass whose key has the scope that their route asks for, before anything of their body is read. Where
/// there are no keys, lets pages of other sites change nothing, unless their origin may ask.
pub(crate) async fn access(
    State((gate, origins)): State<(Gate, Arc<[Origin]>)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str);
    let access = Access::of(request.method(), route);
    gate.check(access, request.headers())?;
    if gate.0.is_none() && access == Access::Key(Scope::Admin) && !request.method().is_safe() {
        cross_site::check(request.uri(), request.headers(), &origins)?;
    }
    Ok(next.run(request).await)
}

/// The key in `Authorization: Bearer` or else in `X-Api-Key`.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return Some(headers.get(API_KEY)?.as_bytes());
    };
    let (scheme, key) = authorization.as_bytes().split_at_checked("bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| key.trim_ascii())
}

#[cfg(test)]
mod tests;
