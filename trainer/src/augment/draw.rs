//! What is done to each image: drawn from a stream of random numbers that is the image's own, whatever else happens.
//!
//! Source: `_color_transform_single_image`, `_random_gaussian_blur_single_image` and the rest of BYOL's
//! `utils/augmentations.py`, with the settings of the published `utils/dataset.py`.

use rand_chacha::rand_core::RngCore;
use serde::{Deserialize, Serialize};

use crate::random::{below, uniform, within};

/// A change of colours with one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorOp {
    /// [`super::ops::brightness`]; the parameter is added.
    Brightness,
    /// [`super::ops::contrast`]; the parameter is a factor.
    Contrast,
    /// [`super::ops::saturation`]; the parameter is a factor.
    Saturation,
    /// [`super::ops::hue`]; the parameter is added, in circles.
    Hue,
}

impl ColorOp {
    /// Every change, in upstream's order.
    pub const ALL: [Self; 4] = [
        Self::Brightness,
        Self::Contrast,
        Self::Saturation,
        Self::Hue,
    ];

    /// The parameter that changes nothing.
    const fn neutral(self) -> f64 {
        match self {
            Self::Brightness | Self::Hue => 0.0,
            Self::Contrast | Self::Saturation => 1.0,
        }
    }
}

/// How a view is augmented. Probabilities are of an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewSettings {
    /// Probability that the colours are jittered.
    pub jitter: f64,
    /// Largest change of each [`ColorOp`], in the order of [`ColorOp::ALL`].
    pub strengths: [f64; 4],
    /// Probability that the colours go.
    pub grayscale: f64,
    /// Probability of a blur.
    pub blur: f64,
    /// Smallest and largest standard deviation of the blur, in pixels.
    pub sigma: [f64; 2],
    /// Probability of a solarization.
    pub solarize: f64,
    /// Values from here on are inverted by it.
    pub threshold: f64,
}

impl ViewSettings {
    /// Upstream's first and second view.
    pub const UPSTREAM: [Self; 2] = [Self::with(1.0, 0.0), Self::with(0.1, 0.2)];

    const fn with(blur: f64, solarize: f64) -> Self {
        Self {
            jitter: 0.8,
            strengths: [0.4, 0.4, 0.2, 0.1],
            grayscale: 0.2,
            blur,
            sigma: [0.1, 2.0],
            solarize,
            threshold: 0.5,
        }
    }
}

/// What is done to one image, in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    /// Changes of colour with their parameters, in the order in which they are made; none where there is no jitter.
    pub colors: Vec<(ColorOp, f64)>,
    /// Whether the colours go.
    pub grayscale: bool,
    /// The blur's standard deviation in pixels.
    pub blur: Option<f64>,
    /// The solarization's threshold.
    pub solarize: Option<f64>,
}

impl Augmentation {
    /// Draws one. It takes the same amount of random numbers whatever the outcome.
    pub fn draw(settings: &ViewSettings, random: &mut impl RngCore) -> Self {
        let jitter = uniform(random) < settings.jitter;
        let mut colors: Vec<_> = (ColorOp::ALL.into_iter().zip(settings.strengths))
            .map(|(op, strength)| (op, op.neutral() + strength * (2.0 * uniform(random) - 1.0)))
            .collect();
        for last in (1..colors.len()).rev() {
            colors.swap(last, below(last + 1, random));
        }
        let grayscale = uniform(random) < settings.grayscale;
        let blurred = uniform(random) < settings.blur;
        let sigma = within(settings.sigma, random);
        let solarized = uniform(random) < settings.solarize;
        Self {
            colors: if jitter { colors } else { Vec::new() },
            grayscale,
            blur: blurred.then_some(sigma),
            solarize: solarized.then_some(settings.threshold),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    const DRAWS: usize = 20_000;

    fn draws() -> Vec<Augmentation> {
        let mut random = stream(3, "test", &[]);
        let settings = ViewSettings::UPSTREAM[1];
        (0..DRAWS)
            .map(|_| Augmentation::draw(&settings, &mut random))
            .collect()
    }

    #[test]
    fn everything_happens_as_often_as_the_settings_say() {
        let draws = draws();
        let share = |happened: fn(&Augmentation) -> bool| {
            f64::from(u32::try_from(draws.iter().filter(|it| happened(it)).count()).unwrap())
                / f64::from(u32::try_from(DRAWS).unwrap())
        };
        for (share, expected) in [
            (share(|it| !it.colors.is_empty()), 0.8),
            (share(|it| it.grayscale), 0.2),
            (share(|it| it.blur.is_some()), 0.1),
            (share(|it| it.solarize == Some(0.5)), 0.2),
            (
                share(|it| it.colors.first().is_some_and(|it| it.0 == ColorOp::Hue)),
                0.2,
            ),
            (
                share(|it| {
                    it.colors
                        .last()
                        .is_some_and(|it| it.0 == ColorOp::Brightness)
                }),
                0.2,
            ),
        ] {
            assert!(
                (share - expected).abs() < 0.015,
                "{share} instead of {expected}"
            );
        }
    }

    #[test]
    fn parameters_stay_within_their_strengths_and_fill_them() {
        for (op, strength) in ColorOp::ALL.into_iter().zip([0.4, 0.4, 0.2, 0.1]) {
            let colors = draws().into_iter().flat_map(|it| it.colors);
            let changes = colors.filter(|it| it.0 == op).map(|it| it.1 - op.neutral());
            let (least, most) = changes.fold((0.0_f64, 0.0_f64), |(least, most), change| {
                (least.min(change), most.max(change))
            });
            assert!(
                least >= -strength && least < -0.99 * strength,
                "{op:?}: {least}"
            );
            assert!(most <= strength && most > 0.99 * strength, "{op:?}: {most}");
        }
    }
}
