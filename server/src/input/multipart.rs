//! `multipart/form-data`: parts called `image`, in order, perhaps one called `mask`, and the fields.

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request};
use axum::http::request::Parts;
use bytes::Bytes;

use super::Upload;
use super::body::Held;
use super::fields::{Fields, Mask, Shape, invalid};
use crate::problem::Problem;

/// Reads the images and the mask; fields go beside those of the query.
pub(super) async fn read(
    parts: Parts,
    body: Held,
    fields: Fields,
    shape: Shape,
    limit: usize,
) -> Result<Upload, Problem> {
    let request = Request::from_parts(parts, Body::from(body.bytes));
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|error| Problem::MalformedMultipart {
            detail: error.body_text(),
        })?;
    let limit = shape.images.unwrap_or(limit);
    let mut upload = Upload {
        images: Vec::new(),
        mask: None,
        fields,
        memory: body.share,
    };
    while let Some(field) = multipart
        .next_field()
        .await
        .map_err(|error| malformed(&error))?
    {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "image" if upload.images.len() == limit => {
                return Err(Problem::TooManyImages { limit });
            }
            "image" => upload.images.push(bytes(field).await?),
            "mask" if shape.mask == Mask::Allowed => {
                if upload.mask.replace(bytes(field).await?).is_some() {
                    return Err(invalid("mask", "it is given twice: give it once"));
                }
            }
            _ => {
                let text = String::from_utf8(bytes(field).await?.into());
                let value = text.map_err(|_| invalid(&name, "it is not UTF-8"))?;
                upload.fields.set(&name, value)?;
            }
        }
    }
    if upload.images.is_empty() {
        return Err(Problem::NoImage {
            what: "part called image",
        });
    }
    Ok(upload)
}

async fn bytes(field: Field<'_>) -> Result<Bytes, Problem> {
    field.bytes().await.map_err(|error| malformed(&error))
}

fn malformed(error: &MultipartError) -> Problem {
    Problem::MalformedMultipart {
        detail: error.body_text(),
    }
}
