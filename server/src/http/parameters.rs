//! The fields of all requests: the one table of their names, types and meanings, from which requests are read and the
//! OpenAPI document is written.

use utoipa::PartialSchema;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{RefOr, Required};

use crate::engine::Lane;

/// A field that a request may have, in its query or as a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its type.
    schema: fn() -> RefOr<Schema>,
    /// What it says, and what is meant where it is left out.
    description: &'static str,
}

const fn parameter<T: PartialSchema>(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        schema: T::schema,
        description,
    }
}

pub(crate) const MODEL: Parameter = parameter::<String>(
    "model",
    "Name of the model; may be left out where one is served or a default is set.",
);
pub(crate) const NORMALIZE: Parameter = parameter::<bool>(
    "normalize",
    "Whether vectors are divided by their length; false by default.",
);
pub(crate) const STAGE: Parameter = parameter::<String>(
    "stage",
    "c2, c3, c4 or c5 (default): the stage whose features are sent, or clustered by kmeans.",
);
pub(crate) const VIEW: Parameter = parameter::<String>(
    "view",
    "center (default), upstream's evaluation crop, or full, the whole image.",
);
pub(crate) const SIZE: Parameter = parameter::<u32>(
    "size",
    "Side of the crop, or shorter side of the whole image, in pixels of the network's input: 32 to 1024; by default \
     the model's, or the one that a head was trained at.",
);
pub(crate) const SPACE: Parameter = parameter::<String>(
    "space",
    "backbone (default) or projection, the space in which DetCon compares regions.",
);
pub(crate) const BOXES: Parameter = parameter::<String>(
    "boxes",
    "JSON: [[x, y, width, height], …] in pixels; 1024 at most.",
);
pub(crate) const RLE: Parameter = parameter::<String>(
    "rle",
    "JSON: COCO run lengths of the image's size, one or a list; 1024 at most.",
);
pub(crate) const METHOD: Parameter = parameter::<String>(
    "method",
    "felzenszwalb (default), grid, kmeans, or head:NAME, a segmentation head of the model.",
);
pub(crate) const SCALE: Parameter = parameter::<f64>(
    "scale",
    "felzenszwalb: larger values make larger segments; above 0, 1000 by default.",
);
pub(crate) const SIGMA: Parameter = parameter::<f64>(
    "sigma",
    "felzenszwalb: blur before, in pixels; 0 to 32, 0.8 by default.",
);
pub(crate) const MIN_SIZE: Parameter = parameter::<u32>(
    "min_size",
    "felzenszwalb: fewest pixels of a segment; 1000 by default.",
);
pub(crate) const ROWS: Parameter = parameter::<u16>("rows", "grid: rows; 7 by default.");
pub(crate) const COLUMNS: Parameter = parameter::<u16>("columns", "grid: columns; 7 by default.");
pub(crate) const K: Parameter = parameter::<u32>("k", "kmeans: clusters; 1 to 256, 8 by default.");
pub(crate) const SEED: Parameter =
    parameter::<u64>("seed", "kmeans: seed of the first means; 0 by default.");
pub(crate) const OUTPUT: Parameter = parameter::<String>(
    "output",
    "labels (default), or overlay, a picture to look at.",
);

pub(crate) const TIMEOUT_MS: Parameter = parameter::<u64>(
    "timeout_ms",
    "How long the client waits, in milliseconds from the request's head; no longer than the server does for any.",
);
pub(crate) const PRIORITY: Parameter = parameter::<Lane>(
    "priority",
    "interactive (default), or bulk for what may wait for those.",
);
/// Headers that say the same as fields, for all requests that have work done.
pub(crate) const X_REQUEST_TIMEOUT: Parameter =
    parameter::<f64>("x-request-timeout", "As timeout_ms, in seconds.");
pub(crate) const X_PRIORITY: Parameter = parameter::<Lane>("x-priority", "As priority.");

/// Fields as the OpenAPI document has them, with the headers that every such request may have.
pub(crate) fn documented(fields: &[Parameter]) -> Vec<utoipa::openapi::path::Parameter> {
    let places = [
        (ParameterIn::Query, fields),
        (ParameterIn::Header, &[X_REQUEST_TIMEOUT, X_PRIORITY]),
    ];
    let places = places
        .into_iter()
        .flat_map(|(place, fields)| fields.iter().map(move |field| (place.clone(), field)));
    let fields = places.map(|(place, field)| {
        ParameterBuilder::new()
            .name(field.name)
            .parameter_in(place)
            .required(Required::False)
            .description(Some(field.description))
            .schema(Some((field.schema)()))
            .build()
    });
    fields.collect()
}

/// A type that documents the fields of a request's [`super::RequestFields`], for `#[utoipa::path(params(…))]`.
macro_rules! document_fields {
    ($name:ident, $fields:expr) => {
        struct $name;

        impl utoipa::IntoParams for $name {
            fn into_params(
                _place: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                crate::http::parameters::documented($fields.fields)
            }
        }
    };
}

pub(crate) use document_fields;
