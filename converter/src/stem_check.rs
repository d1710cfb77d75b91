//! Whether a normalisation fits the weights: the stem's moving mean is the mean of what the stem made of photographs, so
//! it must be near what the stem makes of their mean colour under the normalisation that it was trained with.

use std::fmt;

use detcon_core::arch::{ChannelOrder, Normalization, Version};
use detcon_core::checkpoint::Checkpoint;

/// A moving mean further than this from the expected one, in deviations, speaks against a normalisation …
const FAR: f64 = 0.5;
/// … where another is at most this share of it away.
const DECIDED: f64 = 0.5;

/// How far the stem's moving mean is from what normalisations make of the mean colour: the root of the mean square over
/// channels, in the channels' own deviations.
#[derive(Clone, Debug, PartialEq)]
pub struct StemCheck {
    taken: (Normalization, f64),
    others: Vec<(Normalization, f64)>,
}

/// The stem was trained on pixels that were normalised otherwise.
#[derive(Debug, thiserror::Error)]
#[error(
    "{check}: give --normalization {better}, or --normalization {} to take it all the same",
    check.taken.0
)]
pub struct StemError {
    check: StemCheck,
    better: Normalization,
}

impl StemCheck {
    /// Holds a checkpoint to the normalisation of its spec. Nothing where the stem's batch norm is not the stem's own
    /// (pre-activation), or has seen nothing.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Option<Self> {
        let means = checkpoint.tensors().get("bn1.running_mean")?.values();
        let unseen = means.iter().all(|&mean| mean == 0.0);
        if checkpoint.spec().version() == Version::V2 || unseen {
            return None;
        }
        let taken = checkpoint.spec().normalization();
        // Caffe's mean colour is 0, as ImageNet's: the mean cannot tell them apart.
        let candidates = [Normalization::IMAGENET, Normalization::NONE].into_iter();
        let others = candidates.filter(|it| *it != taken);
        let measured = |it: Normalization| (it, distance(checkpoint, it));
        Some(Self {
            taken: measured(taken),
            others: others.map(measured).collect(),
        })
    }

    /// Refuses a normalisation than which another fits much better.
    pub(crate) fn accepted(self) -> Result<Self, Box<StemError>> {
        match self.contradiction() {
            Some(better) => Err(Box::new(StemError {
                check: self,
                better,
            })),
            None => Ok(self),
        }
    }

    /// The normalisation that fits much better than the one that is taken, if there is one.
    fn contradiction(&self) -> Option<Normalization> {
        let (_, taken) = self.taken;
        let better = self.others.iter().filter(|(_, it)| *it <= taken * DECIDED);
        let best = better.min_by(|a, b| a.1.total_cmp(&b.1));
        best.filter(|_| taken > FAR).map(|(it, _)| *it)
    }
}

impl fmt::Display for StemCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (taken, distance) = self.taken;
        write!(
            f,
            "the stem's moving mean is {distance:.2} deviations from what it makes of the mean colour under {taken}"
        )?;
        for (other, distance) in &self.others {
            write!(f, ", {distance:.2} under {other}")?;
        }
        Ok(())
    }
}

fn distance(checkpoint: &Checkpoint, normalization: Normalization) -> f64 {
    let tensor = |name: &str| checkpoint.get(name);
    let colour = mean_colour(normalization);
    let kernel = tensor("conv1.weight");
    let area: usize = kernel.shape()[2..].iter().product();
    let made = kernel
        .values()
        .chunks_exact(colour.len() * area)
        .map(|kernel| {
            let planes = kernel.chunks_exact(area).zip(colour);
            planes
                .map(|(taps, value)| taps.iter().map(|&tap| f64::from(tap)).sum::<f64>() * value)
                .sum::<f64>()
        });
    let (means, variances) = (tensor("bn1.running_mean"), tensor("bn1.running_var"));
    let epsilon = checkpoint.spec().epsilon();
    let channels = made.zip(means.values()).zip(variances.values());
    let squares = channels.map(|((made, &mean), &variance)| {
        (f64::from(mean) - made).powi(2) / (f64::from(variance) + epsilon)
    });
    let squares: Vec<f64> = squares.collect();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a stem has hundreds of channels"
    )]
    let count = squares.len() as f64;
    (squares.iter().sum::<f64>() / count).sqrt()
}

/// The mean colour of `ImageNet`'s photographs, normalised, in the network's order of channels.
fn mean_colour(normalization: Normalization) -> [f64; 3] {
    let mut colour = Normalization::IMAGENET
        .of_pixels_over(normalization.divisor())
        .mean();
    if normalization.channels() == ChannelOrder::Bgr {
        colour.reverse();
    }
    let (mean, std) = (normalization.mean(), normalization.std());
    [0, 1, 2].map(|c| (colour[c] - mean[c]) / std[c])
}

#[cfg(test)]
mod tests {
    use detcon_core::arch::ResNetSpec;
    use detcon_core::checkpoint::Tensor;

    use super::*;
    use crate::demo::untrained;

    /// A network whose stem saw photographs of the mean colour, with noise in its moving mean.
    fn trained_under(name: &str, seen: Normalization, noise: f32) -> Checkpoint {
        let spec: ResNetSpec = name.parse().unwrap();
        let checkpoint = untrained(spec, 3);
        let colour = mean_colour(seen);
        let kernels = checkpoint
            .get("conv1.weight")
            .values()
            .chunks_exact(3 * 49)
            .enumerate();
        let means = kernels.map(|(channel, kernel)| {
            let planes = kernel.chunks_exact(49).zip(colour);
            #[expect(clippy::cast_possible_truncation, reason = "a test's mean")]
            let made = planes
                .map(|(taps, value)| taps.iter().sum::<f32>() * value as f32)
                .sum::<f32>();
            made + if channel % 2 == 0 { noise } else { -noise }
        });
        let means: Vec<f32> = means.collect();
        let mut tensors = checkpoint.tensors().clone();
        tensors.insert(
            "bn1.running_mean".to_owned(),
            Tensor::new(vec![means.len()], means),
        );
        Checkpoint::new(spec, tensors).unwrap()
    }

    #[test]
    fn the_weights_speak_for_the_normalization_that_they_were_trained_with() {
        for seen in [Normalization::IMAGENET, Normalization::NONE] {
            for name in ["resnet18", "resnet50x2+symmetric", "tiny"] {
                let checkpoint = trained_under(name, seen, 0.05);
                let spec = checkpoint.spec();
                for taken in [Normalization::IMAGENET, Normalization::NONE] {
                    let told = Checkpoint::new(
                        spec.with_normalization(taken),
                        checkpoint.tensors().clone(),
                    );
                    let check = StemCheck::of(&told.unwrap()).unwrap();
                    let expected = (taken != seen).then_some(seen);
                    assert_eq!(check.contradiction(), expected, "{name} {check}");
                }
            }
        }
    }

    #[test]
    fn weights_that_tell_nothing_contradict_nothing() {
        let spec: ResNetSpec = "resnet18".parse().unwrap();
        assert_eq!(StemCheck::of(&untrained(spec, 0)), None);
        let random = trained_under("resnet18", Normalization::NONE, 5.0);
        assert_eq!(StemCheck::of(&random).unwrap().contradiction(), None);
    }
}
