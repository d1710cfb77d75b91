//! The tensors of an ONNX graph against the weights they come from.
//!
//! What a graph's convolution should hold is worked out here from `model.safetensors` alone: `scale · w` and
//! `offset − scale · mean`, with `scale = γ / √(σ² + ε)` of the batch norm that follows. It is written apart
//! from the ONNX writer's folding, which it is there to check.

use std::collections::{BTreeMap, BTreeSet};

use detcon_core::arch::{ChannelOrder, ParamKind, Version};
use detcon_core::checkpoint::Checkpoint;
use prost::Message;

use super::Fault;
use crate::onnx::proto::{ModelProto, TensorProto, data_type};

/// Largest difference allowed, as a share of the tensor's largest magnitude: a few roundings to float32.
const TOLERANCE: f64 = 1e-6;

/// Why a graph cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The file is no ONNX model.
    #[error("model.onnx is not an ONNX file: {source}")]
    Format {
        /// What the reader said.
        #[from]
        source: prost::DecodeError,
    },
    /// A model without a graph.
    #[error("model.onnx holds no graph")]
    NoGraph,
}

/// Reads an ONNX file; it has a graph.
pub(super) fn decode(onnx: &[u8]) -> Result<ModelProto, GraphError> {
    let model = ModelProto::decode(onnx)?;
    if model.graph.is_none() {
        return Err(GraphError::NoGraph);
    }
    Ok(model)
}

/// Compares every tensor of the graph; gives how many there should be, and the faults in order of computation.
pub(super) fn compare(model: &ModelProto, checkpoint: &Checkpoint) -> (usize, Vec<Fault>) {
    let expected = expected(checkpoint);
    let initializers = model.graph.iter().flat_map(|graph| &graph.initializer);
    let mut found: BTreeMap<&str, &TensorProto> = BTreeMap::new();
    let mut faults = Vec::new();
    for tensor in initializers {
        if found.insert(&tensor.name, tensor).is_some() {
            faults.push(fault(&tensor.name, "is in the graph twice"));
        }
    }
    for wanted in &expected {
        let detail = match found.get(wanted.name.as_str()) {
            Some(tensor) => wanted.difference(tensor),
            None => Some("is not in the graph".to_owned()),
        };
        faults.extend(detail.map(|detail| fault(&wanted.name, &detail)));
    }
    let known: BTreeSet<&str> = expected.iter().map(|wanted| wanted.name.as_str()).collect();
    let surplus = found.keys().filter(|name| !known.contains(**name));
    faults.extend(surplus.map(|name| fault(name, "is in the graph and in no layer")));
    (expected.len(), faults)
}

fn fault(tensor: &str, detail: &str) -> Fault {
    let (layer, field) = tensor.rsplit_once('.').unwrap_or((tensor, "value"));
    Fault {
        layer: layer.to_owned(),
        detail: format!("{field} {detail}"),
    }
}

/// What a tensor of the graph should be.
struct Expected {
    name: String,
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Expected {
    /// The graph reads red first, whatever the network does.
    fn reverse_inputs(&mut self) {
        let area: usize = self.shape[2..].iter().product();
        let kernels = self.values.chunks(self.shape[1] * area);
        let reversed = kernels.flat_map(|kernel| kernel.chunks(area).rev().flatten());
        self.values = reversed.copied().collect();
    }

    /// How `tensor` differs; nothing where it does not.
    fn difference(&self, tensor: &TensorProto) -> Option<String> {
        let shape: Vec<_> = tensor
            .dims
            .iter()
            .map(|&axis| usize::try_from(axis).ok())
            .collect();
        if shape.iter().ne(self
            .shape
            .iter()
            .copied()
            .map(Some)
            .collect::<Vec<_>>()
            .iter())
        {
            return Some(format!("has shape {:?}, not {:?}", tensor.dims, self.shape));
        }
        let (values, rest) = tensor.raw_data.as_chunks();
        if tensor.data_type != data_type::FLOAT
            || !rest.is_empty()
            || values.len() != self.values.len()
        {
            return Some("does not hold float32 values of its shape".to_owned());
        }
        let largest = self
            .values
            .iter()
            .fold(f64::MIN_POSITIVE, |most, v| most.max(v.abs()));
        let errors = values.iter().zip(&self.values);
        let worst = errors
            .map(|(bytes, expected)| {
                (f64::from(f32::from_le_bytes(*bytes)) - expected).abs() / largest
            })
            // A NaN is the worst of all.
            .fold(
                0.0,
                |most: f64, error| if error <= most { most } else { error },
            );
        (worst.is_nan() || worst > TOLERANCE).then(|| {
            format!(
                "is {worst:.1e} of its largest magnitude away from what model.safetensors gives"
            )
        })
    }
}

fn expected(checkpoint: &Checkpoint) -> Vec<Expected> {
    let channels = |name: &str, values: [f64; 3]| Expected {
        name: name.to_owned(),
        shape: vec![3, 1, 1],
        values: values.to_vec(),
    };
    let normalization = checkpoint.spec().normalization();
    let of_bytes = |values: [f64; 3]| values.map(|value| value * normalization.divisor());
    let (mut mean, mut std) = (
        of_bytes(normalization.mean()),
        of_bytes(normalization.std()),
    );
    if normalization.channels() == ChannelOrder::Bgr {
        mean.reverse();
        std.reverse();
    }
    let mut all = vec![
        channels("input.mean", mean),
        channels("input.factor", std.map(|std| 1.0 / std)),
    ];
    let mut folded = BTreeSet::new();
    for param in checkpoint.spec().params() {
        match param.kind {
            ParamKind::Conv(_) => {
                let conv = param.name.trim_end_matches(".weight");
                match following_norm(checkpoint, conv) {
                    Some(norm) => {
                        all.extend(convolution(checkpoint, conv, &norm));
                        folded.insert(norm);
                    }
                    None => all.push(plain(checkpoint, &param.name)),
                }
            }
            ParamKind::BatchNorm(_) => {
                let norm = param.name.rsplit_once('.').map_or("", |(norm, _)| norm);
                if !folded.contains(norm) {
                    all.push(plain(checkpoint, &param.name));
                }
            }
        }
    }
    if normalization.channels() == ChannelOrder::Bgr {
        let stem = all.iter_mut().find(|wanted| wanted.name == "conv1.weight");
        stem.into_iter().for_each(Expected::reverse_inputs);
    }
    all
}

/// The batch norm that a convolution's output goes into directly, if there is one.
fn following_norm(checkpoint: &Checkpoint, conv: &str) -> Option<String> {
    let norm = match (
        checkpoint.spec().version(),
        conv.strip_suffix("downsample.0"),
    ) {
        (Version::V1, Some(block)) => format!("{block}downsample.1"),
        (Version::V2, Some(_)) => return None,
        (version, None) => {
            let (prefix, number) = conv.rsplit_once("conv")?;
            let number: usize = number.parse().ok()?;
            match version {
                Version::V1 => format!("{prefix}bn{number}"),
                // Pre-activation: the batch norm of the next convolution follows, and after the last there is none.
                Version::V2 => format!("{prefix}bn{}", number + 1),
            }
        }
    };
    checkpoint
        .tensors()
        .contains_key(&format!("{norm}.weight"))
        .then_some(norm)
}

fn plain(checkpoint: &Checkpoint, name: &str) -> Expected {
    let tensor = checkpoint.get(name);
    Expected {
        name: name.to_owned(),
        shape: tensor.shape().to_vec(),
        values: tensor.values().iter().copied().map(f64::from).collect(),
    }
}

/// Kernel and bias of a convolution that does what it and `norm` do together.
fn convolution(checkpoint: &Checkpoint, conv: &str, norm: &str) -> [Expected; 2] {
    let kernel = checkpoint.get(&format!("{conv}.weight"));
    let of = |field: &str, channel: usize| {
        f64::from(checkpoint.get(&format!("{norm}.{field}")).values()[channel])
    };
    let outputs = kernel.shape()[0];
    let epsilon = checkpoint.spec().epsilon();
    let scale: Vec<f64> = (0..outputs)
        .map(|channel| of("weight", channel) / (of("running_var", channel) + epsilon).sqrt())
        .collect();
    let inputs = kernel.values().len() / outputs.max(1);
    let weights = kernel.values().iter().enumerate();
    [
        Expected {
            name: format!("{conv}.weight"),
            shape: kernel.shape().to_vec(),
            values: weights
                .map(|(place, &w)| f64::from(w) * scale[place / inputs])
                .collect(),
        },
        Expected {
            name: format!("{conv}.bias"),
            shape: vec![outputs],
            values: (0..outputs)
                .map(|channel| of("bias", channel) - scale[channel] * of("running_mean", channel))
                .collect(),
        },
    ]
}
