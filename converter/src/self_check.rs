//! Makes a model's self-check: a picture of noise and the embedding that the reference forward pass gives for it.

use detcon_core::arch::STRIDE;
use detcon_core::checkpoint::Checkpoint;
use detcon_core::model::SelfCheck;
use detcon_core::reference;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Height and width of the picture: multiples of the stride, where SAME and symmetric padding differ, and not
/// equal, so that an engine that swaps them is found out.
const SIZE: [usize; 2] = [2 * STRIDE, 3 * STRIDE];
/// Largest difference allowed, as a share of the embedding's largest magnitude. Engines are within 1e-6 of the
/// reference for 50 layers; wrong padding is off by 0.04 and more.
const TOLERANCE: f32 = 1e-4;

/// Why a network cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum SelfCheckError {
    /// The reference forward pass gives no finite embedding.
    #[error(
        "the network's embedding of noise is not finite: the weights are damaged or were never trained"
    )]
    NotFinite,
}

/// The picture: uint8 RGB, and its shape `[1, H, W, 3]`.
pub(crate) fn picture() -> (Vec<u8>, [usize; 4]) {
    let shape = [1, SIZE[0], SIZE[1], 3];
    let mut images = vec![0; shape.iter().product()];
    ChaCha8Rng::seed_from_u64(0).fill_bytes(&mut images);
    (images, shape)
}

/// Runs the reference forward pass on the picture.
pub(crate) fn make(checkpoint: &Checkpoint) -> Result<SelfCheck, SelfCheckError> {
    let (images, shape) = picture();
    let embedding = reference::forward(checkpoint, &images, shape)
        .embedding
        .values()
        .to_vec();
    if embedding.iter().any(|value| !value.is_finite()) {
        return Err(SelfCheckError::NotFinite);
    }
    Ok(SelfCheck {
        shape,
        images,
        embedding,
        tolerance: TOLERANCE,
    })
}
