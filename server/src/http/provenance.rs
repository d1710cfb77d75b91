//! Which model made an answer, and how: in the answer's headers, and in JSON beside the name.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use detcon_core::model::Precision;
use detcon_inference::Output;

use crate::models::Model;

/// SHA-256 of the manifest of the model that made an answer.
pub(crate) const DIGEST: &str = "x-detcon-model-digest";
/// What it was computed in.
pub(crate) const PRECISION: &str = "x-detcon-precision";

/// Which model made an answer, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Provenance {
    /// The model's name.
    pub(crate) model: String,
    /// SHA-256 of its manifest, which names every file's digest.
    pub(crate) digest: String,
    /// What the answer was computed in.
    pub(crate) precision: Precision,
}

impl Provenance {
    /// That of an output of a model.
    pub(crate) fn of(model: &Model, output: Output) -> Self {
        Self {
            model: model.manifest().name.to_string(),
            digest: model.digest().to_owned(),
            precision: model.precision(output),
        }
    }

    /// Names it in an answer's headers.
    pub(crate) fn with_headers(&self, mut response: Response) -> Response {
        let texts = [
            (DIGEST, self.digest.clone()),
            (PRECISION, self.precision.to_string()),
        ];
        for (name, text) in texts {
            // Digits and letters always make a value.
            if let Ok(value) = HeaderValue::from_str(&text) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
