//! The handlers, one file a subject.

mod app;
mod conditional;
pub(crate) mod embeddings;
pub(crate) mod features;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod hub;
pub(crate) mod imports;
mod method;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod oip;
pub(crate) mod playground;
pub(crate) mod regions;
pub(crate) mod segmentations;
pub(crate) mod uploads;
mod view;

pub(crate) use app::App;

use crate::http::Problem;

/// Does what waits, for a disk or for a model, where that holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(Problem::Internal))
}

/// Bytes as they are.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes bytes")]
pub(crate) struct Binary(Vec<u8>);

/// A multipart body with one image; the query's fields may be parts too.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what is read part by part")]
pub(crate) struct ImagePart {
    /// The image.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
}
