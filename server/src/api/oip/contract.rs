//! What a model takes and gives in this protocol: the one table of tensors, from which requests are read and metadata
//! and configuration are written.

use detcon_core::arch::Stage;
use serde::Serialize;

use crate::models::Model;
use detcon_inference::Output;

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Datatype {
    /// Bytes of any length.
    Bytes,
    /// 8-bit whole numbers.
    Uint8,
    /// 32-bit floats.
    Fp32,
}

impl Datatype {
    /// As requests and metadata have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "BYTES",
            Self::Uint8 => "UINT8",
            Self::Fp32 => "FP32",
        }
    }

    /// As Triton's model configuration has it.
    pub(super) const fn configured(self) -> &'static str {
        match self {
            Self::Bytes => "TYPE_STRING",
            Self::Uint8 => "TYPE_UINT8",
            Self::Fp32 => "TYPE_FP32",
        }
    }
}

/// An input. A request has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Encoded images, which are decoded and preprocessed.
    Image,
    /// RGB, `[N, H, W, 3]`, as preprocessing leaves it: the network's input.
    Pixels,
    /// The same, scaled to `[0, 1]` and normalized by ImageNet's mean and deviation, `[N, 3, H, W]` or `[N, H, W, 3]`.
    Normalized,
}

impl Input {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Image, Self::Pixels, Self::Normalized];

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Pixels => "pixels",
            Self::Normalized => "normalized",
        }
    }

    /// Its elements.
    pub(super) const fn datatype(self) -> Datatype {
        match self {
            Self::Image => Datatype::Bytes,
            Self::Pixels => Datatype::Uint8,
            Self::Normalized => Datatype::Fp32,
        }
    }

    /// Its shape without the images' axis; -1 is any length.
    pub(super) const fn dims(self) -> &'static [i64] {
        match self {
            Self::Image => &[1],
            Self::Pixels => &[-1, -1, 3],
            Self::Normalized => &[3, -1, -1],
        }
    }

    /// The input of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|input| input.name() == name)
    }

    /// Every name, as errors list them.
    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

/// The outputs of a model, the one that is sent unasked first: what its open graphs give.
pub(super) fn outputs(model: &Model) -> Vec<Output> {
    let features = Stage::ALL.into_iter().rev().map(Output::Features);
    std::iter::once(Output::Embedding)
        .chain(features.filter(|output| model.gives(*output).is_ok()))
        .collect()
}

/// Shape of an output without the images' axis; -1 is any length.
pub(super) fn output_dims(model: &Model, output: Output) -> Vec<i64> {
    let length = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    match output {
        Output::Embedding => vec![length(model.manifest().embedding_size)],
        Output::Features(stage) => vec![length(model.manifest().spec.channels(stage)), -1, -1],
    }
}

/// A tensor as metadata describes it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TensorMetadata {
    /// Its name.
    name: &'static str,
    /// Type of its elements: `BYTES`, `UINT8` or `FP32`.
    datatype: &'static str,
    /// Its shape; -1 is any length.
    shape: Vec<i64>,
}

impl TensorMetadata {
    /// Of an input.
    pub(super) fn of_input(input: Input) -> Self {
        Self {
            name: input.name(),
            datatype: input.datatype().name(),
            shape: batched(input.dims()),
        }
    }

    /// Of an output of a model.
    pub(super) fn of_output(model: &Model, output: Output) -> Self {
        Self {
            name: output.name(),
            datatype: Datatype::Fp32.name(),
            shape: batched(&output_dims(model, output)),
        }
    }
}

fn batched(dims: &[i64]) -> Vec<i64> {
    let mut shape = vec![-1];
    shape.extend(dims);
    shape
}
