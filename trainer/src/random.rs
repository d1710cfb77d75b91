//! Random numbers that depend on what they are for, never on who drew before: a stream for each purpose and count.
//!
//! So samples, views and mask ids are the same for any number of threads and replicas, and a run that goes on draws
//! what it would have drawn.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// The stream of a purpose under a seed: the `counts` say which one (an epoch and an image, say).
#[must_use]
pub fn stream(seed: u64, purpose: &str, counts: &[u64]) -> ChaCha8Rng {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update((purpose.len() as u64).to_le_bytes());
    hasher.update(purpose);
    for count in counts {
        hasher.update(count.to_le_bytes());
    }
    ChaCha8Rng::from_seed(hasher.finalize().into())
}

/// In [0, 1), on a grid of 2^-32.
pub fn uniform(random: &mut impl RngCore) -> f64 {
    f64::from(random.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

/// In [0, 1), on a grid of 2^-23: as TensorFlow draws 32-bit numbers, exact in them.
pub fn uniform_23(random: &mut impl RngCore) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "23 bits")]
    let bits = (random.next_u32() >> 9) as f32;
    bits / 8_388_608.0
}

/// A seed of its own for a purpose, as one random key is split into several.
#[must_use]
pub fn split(seed: u64, purpose: &str) -> u64 {
    stream(seed, purpose, &[]).next_u64()
}

/// Between two numbers.
pub fn within([least, most]: [f64; 2], random: &mut impl RngCore) -> f64 {
    least + (most - least) * uniform(random)
}

/// A number below `bound`. It must be far below 2^32: then the bias of the multiplication is too.
pub fn below(bound: usize, random: &mut impl RngCore) -> usize {
    ((u64::from(random.next_u32()) * bound as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_in_seed_purpose_and_counts_alone() {
        let first = |seed, purpose, counts: &[u64]| stream(seed, purpose, counts).next_u64();
        assert_eq!(first(1, "crop", &[2, 3]), first(1, "crop", &[2, 3]));
        for (seed, purpose, counts) in [
            (2, "crop", &[2, 3][..]),
            (1, "flip", &[2, 3]),
            (1, "crop", &[3, 2]),
            (1, "crop", &[2]),
        ] {
            assert_ne!(first(1, "crop", &[2, 3]), first(seed, purpose, counts));
        }
    }

    #[test]
    fn every_number_below_the_bound_comes_as_often() {
        let mut random = stream(0, "test", &[]);
        let mut counts = [0; 6];
        for _ in 0..60_000 {
            counts[below(6, &mut random)] += 1;
        }
        assert!(
            counts.iter().all(|count| (9_600..10_400).contains(count)),
            "{counts:?}"
        );
    }
}
