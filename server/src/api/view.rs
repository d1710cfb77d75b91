//! How a request says which part of an image the network sees, and at which size; and what it takes to show it that.

use detcon_core::arch::Stage;
use detcon_core::preprocess::Preprocess;
use detcon_inference::{Output, Part, View};

use crate::engine::{Form, Need};
use crate::http::parameters::{SIZE, VIEW};
use crate::http::{Fields, Problem, invalid};
use crate::models::Model;

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

/// Adds what a stage's features of a view of an image of this height and width take, which are sent in a form.
pub(super) fn with_features(
    need: Need,
    (model, stage): (&Model, Stage),
    (view, [height, width]): (View, [u32; 2]),
    form: Form,
) -> Need {
    let size = view.input_size(height, width);
    with_output(need, (model, Output::Features(stage)), (1, size), form)
}

/// Adds what an output of so many images takes, which the network sees at this height and width.
pub(super) fn with_output(
    need: Need,
    (model, output): (&Model, Output),
    (images, [height, width]): (usize, [u32; 2]),
    form: Form,
) -> Need {
    let shape = [images, height as usize, width as usize];
    let own = u64::from(model.manifest().preprocess.size()).pow(2);
    let cost = model.network().cost(output, shape);
    need.output(output, cost, images as u64, own, form)
}
