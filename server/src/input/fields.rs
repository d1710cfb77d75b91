//! The fields beside the images, in a query or in parts of a multipart body.

use axum::extract::Query;
use axum::http::Uri;
use bytes::Bytes;

use super::{Embeddings, Encoding, Norm};
use crate::problem::Problem;

/// The names of the fields, as errors list them.
const EMBEDDING_FIELDS: [&str; 2] = ["model", "normalize"];

/// Fields as they come in.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) model: Option<String>,
    pub(super) norm: Option<Norm>,
}

impl Fields {
    /// Reads the query.
    pub(super) fn from_query(uri: &Uri) -> Result<Self, Problem> {
        let pairs: Query<Vec<(String, String)>> =
            Query::try_from_uri(uri).map_err(|error| Problem::InvalidField {
                field: "query".to_owned(),
                detail: error.body_text(),
            })?;
        let mut fields = Self::default();
        for (name, value) in pairs.0 {
            fields.set(&name, &value)?;
        }
        Ok(fields)
    }

    /// Takes a field; one that is there already or does not exist is an error.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        match name {
            "model" => once(name, &mut self.model, value.to_owned()),
            "normalize" => once(name, &mut self.norm, norm(value)?),
            _ => Err(unknown(name, &EMBEDDING_FIELDS)),
        }
    }

    pub(super) fn with_images(self, images: Vec<Bytes>) -> Embeddings {
        Embeddings {
            model: self.model,
            images,
            norm: self.norm.unwrap_or_default(),
            encoding: Encoding::default(),
            dimensions: None,
            memory: None,
        }
    }
}

/// Fills a field that is still empty.
pub(super) fn once<T>(name: &str, field: &mut Option<T>, value: T) -> Result<(), Problem> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid(name, "it is given twice: give it once")),
    }
}

pub(super) fn invalid(field: &str, detail: impl Into<String>) -> Problem {
    Problem::InvalidField {
        field: field.to_owned(),
        detail: detail.into(),
    }
}

pub(super) fn unknown(field: &str, known: &[&str]) -> Problem {
    Problem::UnknownField {
        field: field.chars().take(100).collect(),
        known: known.join(", "),
    }
}

fn norm(value: &str) -> Result<Norm, Problem> {
    match value {
        "true" => Ok(Norm::Unit),
        "false" => Ok(Norm::Pooled),
        _ => Err(invalid("normalize", "it is neither true nor false")),
    }
}
