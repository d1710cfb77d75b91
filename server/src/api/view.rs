//! How a request says which part of an image the network sees, and at which size.

use detcon_core::preprocess::Preprocess;
use detcon_inference::{Part, View};

use crate::http::parameters::{SIZE, VIEW};
use crate::http::{Fields, Problem, invalid};

/// Reads `view` and `size`; the size is the model's own where it is not given.
pub(super) fn view(fields: &mut Fields, model: Preprocess) -> Result<View, Problem> {
    let part = fields.take(VIEW)?.unwrap_or_default();
    view_of(part, fields, model)
}

/// Reads `size` alone, for a view of the whole image.
pub(super) fn full_view(fields: &mut Fields, model: Preprocess) -> Result<View, Problem> {
    view_of(Part::Full, fields, model)
}

fn view_of(part: Part, fields: &mut Fields, model: Preprocess) -> Result<View, Problem> {
    let size = fields.take(SIZE)?.unwrap_or_else(|| model.size());
    View::new(part, size).map_err(|error| invalid(SIZE.name, error.to_string()))
}
