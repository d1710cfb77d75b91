//! An untrained model to try things with.

use std::path::Path;

use detcon_core::arch::{BatchNormField, Param, ParamKind, ResNetSpec};
use detcon_core::checkpoint::{Checkpoint, Tensor, Tensors};
use detcon_core::files::Existing;
use detcon_core::model::Source;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

use crate::model_writer::{Model, ModelWriter, WriteError};

/// Scale of the last batch norm of a block: small, so that activations stay in range through 66 blocks, and not
/// haiku's 0, so that every weight shows in the embedding and so in the self-check.
const LAST_SCALE: f32 = 0.3;

/// Writes an untrained model (`pretrained: false`) at `place`, the same for the same `spec` and `seed`.
pub fn demo(
    place: &Path,
    existing: Existing,
    spec: ResNetSpec,
    seed: u64,
) -> Result<(), WriteError> {
    let writer = ModelWriter::new(place, existing)?;
    writer.finish(&Model {
        checkpoint: untrained(spec, seed),
        heads: Tensors::new(),
        ledger: None,
        source: Source {
            uri: format!("untrained {spec}, seed {seed}"),
            sha256: None,
            layout: "untrained".to_owned(),
        },
        training: None,
        license: None,
    })
}

/// Kernels drawn with standard deviation `√(2 / fan-in)` (He et al. 2015), moving averages as of normalised input.
pub(crate) fn untrained(spec: ResNetSpec, seed: u64) -> Checkpoint {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let convs_in_block = if spec.depth().bottleneck() { 3 } else { 2 };
    let last = format!(".bn{convs_in_block}.");
    let tensors: Tensors = spec
        .params()
        .into_iter()
        .map(|param| {
            let values = values(&param, param.name.contains(&last), &mut rng);
            (param.name, Tensor::new(param.shape, values))
        })
        .collect();
    Checkpoint::new(spec, tensors).expect("the spec's own parameters fill it")
}

#[expect(clippy::cast_precision_loss, reason = "fan-ins are small numbers")]
fn values(param: &Param, last_of_block: bool, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let count = param.shape.iter().product();
    match param.kind {
        ParamKind::Conv(conv) => {
            let fan_in = (conv.inputs * conv.kernel * conv.kernel) as f32;
            let normal =
                Normal::new(0.0, (2.0 / fan_in).sqrt()).expect("a standard deviation is finite");
            normal.sample_iter(rng).take(count).collect()
        }
        ParamKind::BatchNorm(BatchNormField::Scale) => {
            vec![if last_of_block { LAST_SCALE } else { 1.0 }; count]
        }
        ParamKind::BatchNorm(BatchNormField::Offset | BatchNormField::Mean) => vec![0.0; count],
        ParamKind::BatchNorm(BatchNormField::Variance) => vec![1.0; count],
    }
}
