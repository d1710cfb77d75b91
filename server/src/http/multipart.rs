//! `multipart/form-data`: parts called `image`, in order, perhaps one called `mask`, and the fields.

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request};
use axum::http::request::Parts;
use bytes::Bytes;

use super::Problem;
use super::body::Held;
use super::contents::Contents;
use super::fields::{Fields, Mask, RequestFields, invalid};

/// Reads the images and the mask; fields go beside those of the query.
pub(super) async fn read(
    parts: Parts,
    body: Held,
    fields: Fields,
    known: RequestFields,
    limit: usize,
) -> Result<Contents, Problem> {
    let request = Request::from_parts(parts, Body::from(body.bytes));
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|error| Problem::MalformedMultipart {
            detail: error.body_text(),
        })?;
    let limit = known.images.unwrap_or(limit);
    let mut contents = Contents {
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
            "image" if contents.images.len() == limit => {
                return Err(Problem::TooManyImages { limit });
            }
            "image" => contents.images.push(bytes(field).await?),
            "mask" if known.mask == Mask::Allowed => {
                if contents.mask.replace(bytes(field).await?).is_some() {
                    return Err(invalid("mask", "it is given twice: give it once"));
                }
            }
            _ => {
                let text = String::from_utf8(bytes(field).await?.into());
                let value = text.map_err(|_| invalid(&name, "it is not UTF-8"))?;
                contents.fields.set(&name, value)?;
            }
        }
    }
    if contents.images.is_empty() {
        return Err(Problem::NoImage {
            what: "part called image",
        });
    }
    Ok(contents)
}

async fn bytes(field: Field<'_>) -> Result<Bytes, Problem> {
    field.bytes().await.map_err(|error| malformed(&error))
}

fn malformed(error: &MultipartError) -> Problem {
    Problem::MalformedMultipart {
        detail: error.body_text(),
    }
}
