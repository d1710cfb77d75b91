//! `multipart/form-data`: parts called `image`, in order, perhaps one called `mask`, and the fields.

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request};
use axum::http::request::Parts;
use bytes::Bytes;

use super::Problem;
use super::fields::{Fields, Mask, RequestFields, invalid};

/// The files among the parts.
pub(super) struct Files {
    /// Encoded images, at least one.
    pub(super) images: Vec<Bytes>,
    /// An encoded label map.
    pub(super) mask: Option<Bytes>,
}

/// Reads the images and the mask of a body; fields go beside those of the query.
pub(super) async fn read(
    parts: Parts,
    body: Bytes,
    fields: &mut Fields,
    known: RequestFields,
    limit: usize,
) -> Result<Files, Problem> {
    let request = Request::from_parts(parts, Body::from(body));
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|error| Problem::MalformedMultipart {
            detail: error.body_text(),
        })?;
    let limit = known.images.unwrap_or(limit);
    let mut files = Files {
        images: Vec::new(),
        mask: None,
    };
    while let Some(field) = multipart
        .next_field()
        .await
        .map_err(|error| malformed(&error))?
    {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "image" if files.images.len() == limit => {
                return Err(Problem::TooManyImages { limit });
            }
            "image" => files.images.push(bytes(field).await?),
            "mask" if known.mask == Mask::Allowed => {
                if files.mask.replace(bytes(field).await?).is_some() {
                    return Err(invalid("mask", "it is given twice: give it once"));
                }
            }
            _ => {
                fields.check(&name)?;
                let text = String::from_utf8(bytes(field).await?.into());
                let value = text.map_err(|_| invalid(&name, "it is not UTF-8"))?;
                fields.set(&name, value)?;
            }
        }
    }
    if files.images.is_empty() {
        return Err(Problem::NoImage {
            what: "part called image",
        });
    }
    Ok(files)
}

async fn bytes(field: Field<'_>) -> Result<Bytes, Problem> {
    field.bytes().await.map_err(|error| malformed(&error))
}

fn malformed(error: &MultipartError) -> Problem {
    Problem::MalformedMultipart {
        detail: error.body_text(),
    }
}
