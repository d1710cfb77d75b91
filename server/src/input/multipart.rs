//! `multipart/form-data`: parts called `image`, in order, and the fields.

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request};
use axum::http::request::Parts;
use bytes::Bytes;

use super::fields::{Fields, invalid, unknown};
use crate::problem::Problem;

/// What the parts are called, as errors list them.
const KNOWN: [&str; 3] = ["image", "model", "normalize"];

/// Reads the images; fields go into `fields`.
pub(super) async fn read(
    parts: Parts,
    body: Bytes,
    fields: &mut Fields,
    limit: usize,
) -> Result<Vec<Bytes>, Problem> {
    let request = Request::from_parts(parts, Body::from(body));
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|error| Problem::MalformedMultipart {
            detail: error.body_text(),
        })?;
    let mut images = Vec::new();
    while let Some(field) = multipart
        .next_field()
        .await
        .map_err(|error| malformed(&error))?
    {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "image" if images.len() == limit => return Err(Problem::TooManyImages { limit }),
            "image" => images.push(field.bytes().await.map_err(|error| malformed(&error))?),
            "model" | "normalize" => fields.set(&name, &text(&name, field).await?)?,
            _ => return Err(unknown(&name, &KNOWN)),
        }
    }
    if images.is_empty() {
        return Err(Problem::NoImage {
            what: "part called image",
        });
    }
    Ok(images)
}

async fn text(name: &str, field: Field<'_>) -> Result<String, Problem> {
    let bytes = field.bytes().await.map_err(|error| malformed(&error))?;
    String::from_utf8(bytes.into()).map_err(|_| invalid(name, "it is not UTF-8"))
}

fn malformed(error: &MultipartError) -> Problem {
    Problem::MalformedMultipart {
        detail: error.body_text(),
    }
}
