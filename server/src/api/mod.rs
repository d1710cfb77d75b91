//! The handlers, one file a subject.

mod conditional;
pub(crate) mod embeddings;
pub(crate) mod features;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod imports;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod regions;
pub(crate) mod segmentations;
pub(crate) mod uploads;

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
