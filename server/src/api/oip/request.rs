//! A request for inference as it is written: `{"id", "parameters", "inputs": […], "outputs": […]}`.

use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use detcon_core::arch::Normalization;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::binary::{Message, take};
use super::contract::Input;
use super::input::{self, Data, Images, Tensor};
use super::object;
use crate::engine::{Form, Lane};
use crate::http::{Problem, invalid};
use detcon_inference::Output;

/// A request for inference.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InferenceRequest<'a> {
    /// What the client calls it; the answer says it again.
    id: Option<String>,
    /// How it is to be done.
    parameters: Option<RequestParameters>,
    /// The one input.
    #[serde(borrow)]
    inputs: Vec<RequestInput<'a>>,
    /// What to send; without it, the embedding.
    outputs: Option<Vec<RequestOutput>>,
}

/// How a request is to be done.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestParameters {
    /// Whether outputs are sent as bytes where they do not say.
    binary_data_output: Option<bool>,
    /// How long the client waits, in microseconds; 0 is as long as the server does.
    timeout: Option<u64>,
    /// How soon the answer is needed, as Triton counts: 1 before all others, more for later, 0 for `x-priority`'s.
    priority: Option<u64>,
}

/// An input of a request.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestInput<'a> {
    /// `image`, `pixels` or `normalized`.
    name: String,
    /// `[N, 1]` or `[N]`; `[N, H, W, 3]`; `[N, 3, H, W]` or `[N, H, W, 3]`.
    shape: Vec<usize>,
    /// `BYTES`, `UINT8` or `FP32`, as the name goes.
    datatype: String,
    /// Of bytes after the JSON.
    parameters: Option<InputParameters>,
    /// The elements in row-major order, in lists of lists or flat; encoded images as base64.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<Element>>)]
    data: Option<&'a RawValue>,
}

/// A tensor's elements, or lists of them.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is read element by element")]
pub(crate) enum Element {
    /// A number.
    Number(f64),
    /// An image in base64.
    Text(String),
    /// The elements along the next axis.
    List(Vec<serde_json::Value>),
}

/// Of an input that is sent as bytes.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputParameters {
    /// Its bytes after the JSON.
    binary_data_size: Option<usize>,
}

/// An output that is asked for.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestOutput {
    /// `embedding`, `c2`, `c3`, `c4` or `c5`.
    name: String,
    /// Of this output.
    parameters: Option<OutputParameters>,
}

/// Of an output.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputParameters {
    /// Whether it is sent as bytes.
    binary_data: Option<bool>,
}

/// What is asked, checked as far as it can be without decoding images.
#[derive(Debug)]
pub(super) struct Asked {
    /// What the client calls the request.
    pub(super) id: Option<String>,
    /// How long the client waits.
    pub(super) timeout: Option<Duration>,
    /// How soon it needs the answer, where it says so.
    pub(super) lane: Option<Lane>,
    /// Its images, at least one.
    pub(super) images: Images,
    /// What to send, at least one.
    pub(super) outputs: Vec<AskedOutput>,
}

/// An output that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AskedOutput {
    /// Which.
    pub(super) output: Output,
    /// How.
    pub(super) form: Form,
}

/// How tensors are sent: as numbers in the JSON, or as bytes after it.
const fn form_of(binary: bool) -> Form {
    if binary { Form::Binary } else { Form::Number }
}

/// What a model takes and gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer<'a> {
    /// What can be asked for.
    pub(super) outputs: &'a [Output],
    /// Most images of a request.
    pub(super) images: usize,
    /// How images that come normalized were.
    pub(super) normalization: Normalization,
}

/// Reads a request to a model.
pub(super) fn read(headers: &HeaderMap, body: Bytes, offer: Offer<'_>) -> Result<Asked, Problem> {
    match Message::of(headers, body)? {
        // As Triton does: what comes as bytes goes as bytes.
        Message::Raw(image) if !image.is_empty() => Ok(Asked {
            id: None,
            timeout: None,
            lane: None,
            images: Images::Encoded(vec![image]),
            outputs: outputs(None, Form::Binary, offer.outputs)?,
        }),
        Message::Raw(_) => Err(Problem::EmptyBody),
        Message::Parts { json, tensors } => parts(&json, tensors, offer),
    }
}

fn parts(json: &[u8], mut tensors: Bytes, offer: Offer<'_>) -> Result<Asked, Problem> {
    if json.is_empty() {
        return Err(Problem::EmptyBody);
    }
    let request: InferenceRequest<'_> = object(json)?;
    let parameters = request.parameters.unwrap_or_default();
    let form = form_of(parameters.binary_data_output.unwrap_or(false));
    let outputs = outputs(request.outputs, form, offer.outputs)?;
    let [given] = request.inputs.as_slice() else {
        let detail = format!(
            "there are {} of them, and a request has one of {}",
            request.inputs.len(),
            Input::names()
        );
        return Err(invalid("inputs", detail));
    };
    let images = images(given, &mut tensors, offer)?;
    if !tensors.is_empty() {
        let detail = format!("{} bytes are left after the tensors", tensors.len());
        return Err(invalid("binary_data_size", detail));
    }
    let timeout = parameters.timeout.filter(|&micros| micros > 0);
    Ok(Asked {
        id: request.id,
        timeout: timeout.map(Duration::from_micros),
        lane: lane(parameters.priority.unwrap_or(0)),
        images,
        outputs,
    })
}

/// The lane of a priority as Triton counts them.
const fn lane(priority: u64) -> Option<Lane> {
    match priority {
        0 => None,
        1 => Some(Lane::Interactive),
        2.. => Some(Lane::Bulk),
    }
}

fn images(
    given: &RequestInput<'_>,
    tensors: &mut Bytes,
    offer: Offer<'_>,
) -> Result<Images, Problem> {
    let shown: String = given.name.chars().take(100).collect();
    let unknown = || {
        let detail = format!(
            "{shown:?} is no input of this model: it has {}",
            Input::names()
        );
        invalid("inputs", detail)
    };
    let input = Input::named(&given.name).ok_or_else(unknown)?;
    let (name, datatype) = (input.name(), input.datatype().name());
    if given.datatype != datatype {
        let found: String = given.datatype.chars().take(100).collect();
        return Err(invalid(
            name,
            format!("its datatype is {datatype}, not {found:?}"),
        ));
    }
    let tensor = Tensor::new(input, &given.shape, offer.images)?;
    let parameters = given.parameters.as_ref();
    let size = parameters.and_then(|parameters| parameters.binary_data_size);
    let data = match (size, given.data) {
        (Some(bytes), None) => Data::Binary(take(tensors, name, bytes)?),
        (None, Some(json)) => Data::Json(json),
        (None, None) => return Err(invalid(name, "it has neither data nor binary_data_size")),
        (Some(_), Some(_)) => {
            return Err(invalid(name, "it has data and binary_data_size: give one"));
        }
    };
    input::images(tensor, data, offer.normalization)
}

fn outputs(
    asked: Option<Vec<RequestOutput>>,
    otherwise: Form,
    offered: &[Output],
) -> Result<Vec<AskedOutput>, Problem> {
    let asked = asked.unwrap_or_default();
    let mut outputs: Vec<AskedOutput> = Vec::new();
    for RequestOutput { name, parameters } in asked {
        let output = offered.iter().find(|output| output.name() == name);
        let output = *output.ok_or_else(|| unknown_output(&name, offered))?;
        if outputs.iter().any(|other| other.output == output) {
            return Err(invalid("outputs", format!("{name} is asked for twice")));
        }
        let binary = parameters.and_then(|parameters| parameters.binary_data);
        let form = binary.map_or(otherwise, form_of);
        outputs.push(AskedOutput { output, form });
    }
    if outputs.is_empty() {
        outputs.push(AskedOutput {
            output: Output::Embedding,
            form: otherwise,
        });
    }
    Ok(outputs)
}

fn unknown_output(name: &str, offered: &[Output]) -> Problem {
    let shown: String = name.chars().take(100).collect();
    let names: Vec<_> = offered.iter().copied().map(Output::name).collect();
    let detail = format!(
        "{shown:?} is no output of this model: it has {}",
        names.join(", ")
    );
    invalid("outputs", detail)
}

#[cfg(test)]
mod tests;
