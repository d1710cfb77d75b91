//! From a pixel's 0 … 255 to what the stem reads: `(pixel ÷ divisor − mean) ÷ deviation`, in the network's own order of
//! channels.
//!
//! Written `imagenet`, `none`, `caffe`, or by its parts: `mean=0.5,0.5,0.5:std=0.5,0.5,0.5:divisor=255:channels=rgb`,
//! of which those that are left out are those of `none`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::choice;

choice! {
    /// Which colour the network reads first.
    pub enum ChannelOrder {
        /// Red, green, blue.
        Rgb = "rgb",
        /// Blue, green, red, as `OpenCV` and Caffe load images.
        Bgr = "bgr",
    }
}

/// Means and deviations of pixels are within these of 0 and from 0: beyond them float32 loses the image.
const LARGEST: f64 = 1e6;
const SMALLEST: f64 = 1e-6;

/// How pixels are normalised before the stem.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "NormalizationFields", into = "NormalizationFields")]
#[schemars(with = "NormalizationFields")]
pub struct Normalization {
    divisor: f64,
    mean: [f64; 3],
    std: [f64; 3],
    channels: ChannelOrder,
}

/// No part of it is NaN: [`Normalization::new`] is the only door.
impl Eq for Normalization {}

/// How a normalisation is written in a manifest.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NormalizationFields {
    /// What a pixel's 0 … 255 is divided by first.
    divisor: f64,
    /// What is then subtracted from each channel, in the network's order.
    mean: [f64; 3],
    /// What each channel is then divided by.
    std: [f64; 3],
    /// Which colour the network reads first.
    channels: ChannelOrder,
}

impl From<Normalization> for NormalizationFields {
    fn from(it: Normalization) -> Self {
        Self {
            divisor: it.divisor,
            mean: it.mean,
            std: it.std,
            channels: it.channels,
        }
    }
}

impl TryFrom<NormalizationFields> for Normalization {
    type Error = NormalizationError;

    fn try_from(fields: NormalizationFields) -> Result<Self, NormalizationError> {
        Self::new(fields.divisor, fields.mean, fields.std, fields.channels)
    }
}

/// Why there is no such normalisation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NormalizationError {
    /// A number that no image survives.
    #[error(
        "a normalization's {part} of {value} is not supported: divisor and std are {SMALLEST} to {LARGEST}, means \
         at most {LARGEST}"
    )]
    Value {
        /// Which number.
        part: &'static str,
        /// What was given.
        value: f64,
    },
    /// A text that names none.
    #[error(
        "{text:?} is no normalization: give imagenet, none, caffe, or parts such as \
         mean=0.5,0.5,0.5:std=0.5,0.5,0.5:divisor=255:channels=rgb"
    )]
    Text {
        /// As given.
        text: String,
    },
}

impl Normalization {
    /// `ImageNet`'s statistics, of pixels in [0, 1]: `MEAN_RGB` and `STDDEV_RGB` of the published `utils/dataset.py`, and
    /// `Normalize` of torchvision's `transforms/_presets.py`.
    pub const IMAGENET: Self = Self {
        divisor: 255.0,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        channels: ChannelOrder::Rgb,
    };
    /// Pixels in [0, 1] as they are: what the published code gives networks on data sets whose name does not begin with
    /// `imagenet` (`normalize_images` of `datasets/image_dataset.py`).
    pub const NONE: Self = Self {
        divisor: 255.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        channels: ChannelOrder::Rgb,
    };
    /// Blue, green, red, less the mean colour, in 0 … 255: `PIXEL_MEAN` and `PIXEL_STD` of Detectron2's
    /// `config/defaults.py`, for networks that were ported from Caffe. (Keras subtracts 103.939, 116.779, 123.68: give
    /// those by their parts.)
    pub const CAFFE: Self = Self {
        divisor: 1.0,
        mean: [103.530, 116.280, 123.675],
        std: [1.0; 3],
        channels: ChannelOrder::Bgr,
    };

    /// Those that have a name, with it.
    pub const NAMED: [(&'static str, Self); 3] = [
        ("imagenet", Self::IMAGENET),
        ("none", Self::NONE),
        ("caffe", Self::CAFFE),
    ];

    /// A normalisation by its parts; `mean` and `std` are in the order of `channels`.
    pub fn new(
        divisor: f64,
        mean: [f64; 3],
        std: [f64; 3],
        channels: ChannelOrder,
    ) -> Result<Self, NormalizationError> {
        let checked = |part, value: f64, holds: bool| {
            let refused = NormalizationError::Value { part, value };
            if holds { Ok(()) } else { Err(refused) }
        };
        let positive = |value: f64| (SMALLEST..=LARGEST).contains(&value);
        checked("divisor", divisor, positive(divisor))?;
        for value in mean {
            checked("mean", value, value.abs() <= LARGEST)?;
        }
        for value in std {
            checked("std", value, positive(value))?;
        }
        Ok(Self {
            divisor,
            mean,
            std,
            channels,
        })
    }

    /// What a pixel's 0 … 255 is divided by first.
    #[must_use]
    pub const fn divisor(self) -> f64 {
        self.divisor
    }

    /// What is subtracted from each channel, in the network's order.
    #[must_use]
    pub const fn mean(self) -> [f64; 3] {
        self.mean
    }

    /// What each channel is divided by, in the network's order.
    #[must_use]
    pub const fn std(self) -> [f64; 3] {
        self.std
    }

    /// Which colour the network reads first.
    #[must_use]
    pub const fn channels(self) -> ChannelOrder {
        self.channels
    }

    /// The same, told in the order red, green, blue.
    #[must_use]
    pub const fn in_rgb(self) -> Self {
        const fn reversed([first, second, third]: [f64; 3]) -> [f64; 3] {
            [third, second, first]
        }
        match self.channels {
            ChannelOrder::Rgb => self,
            ChannelOrder::Bgr => Self {
                mean: reversed(self.mean),
                std: reversed(self.std),
                channels: ChannelOrder::Rgb,
                ..self
            },
        }
    }

    /// The same, of pixels that were divided by `divisor`.
    #[must_use]
    pub fn of_pixels_over(self, divisor: f64) -> Self {
        let factor = self.divisor / divisor; // exactly 1 where nothing changes
        Self {
            divisor,
            mean: self.mean.map(|value| value * factor),
            std: self.std.map(|value| value * factor),
            ..self
        }
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let mut named = Self::NAMED.iter();
        named.find(|(_, it)| *it == self).map(|(name, _)| *name)
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name() {
            return f.write_str(name);
        }
        let list = |values: [f64; 3]| values.map(|value| value.to_string()).join(",");
        write!(
            f,
            "mean={}:std={}:divisor={}:channels={}",
            list(self.mean),
            list(self.std),
            self.divisor,
            self.channels
        )
    }
}

impl FromStr for Normalization {
    type Err = NormalizationError;

    fn from_str(text: &str) -> Result<Self, NormalizationError> {
        if let Some((_, named)) = Self::NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*named);
        }
        let unknown = || NormalizationError::Text {
            text: text.to_owned(),
        };
        let number = |text: &str| text.parse::<f64>().map_err(|_| unknown());
        let three = |text: &str| {
            let values: Result<Vec<f64>, _> = text.split(',').map(number).collect();
            values?.try_into().map_err(|_| unknown())
        };
        let mut parts = NormalizationFields::from(Self::NONE);
        let mut seen = Vec::new();
        for part in text.split(':') {
            let (key, value) = part.split_once('=').ok_or_else(unknown)?;
            match key {
                "mean" => parts.mean = three(value)?,
                "std" => parts.std = three(value)?,
                "divisor" => parts.divisor = number(value)?,
                "channels" => parts.channels = value.parse().map_err(|_| unknown())?,
                _ => return Err(unknown()),
            }
            if seen.contains(&key) {
                return Err(unknown());
            }
            seen.push(key);
        }
        parts.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_normalization_reads_back_as_it_was_written() {
        let keras: Normalization = "mean=103.939,116.779,123.68:divisor=1:channels=bgr"
            .parse()
            .unwrap();
        assert_eq!(keras.std().map(f64::to_bits), [1.0_f64.to_bits(); 3]);
        let named = Normalization::NAMED.map(|(_, it)| it);
        for it in named.into_iter().chain([keras]) {
            assert_eq!(it.to_string().parse(), Ok(it));
            let json = serde_json::to_string(&it).unwrap();
            assert_eq!(serde_json::from_str::<Normalization>(&json).unwrap(), it);
        }
    }

    #[test]
    fn what_loses_the_image_is_refused() {
        for text in [
            "",
            "imagenet ",
            "std=0,1,1",
            "std=1,NaN,1",
            "std=1,-1,1",
            "divisor=0",
            "mean=inf,0,0",
            "mean=NaN,0,0",
            "mean=1,2",
            "mean=1,2,3,4",
            "mean=1,2,3:mean=1,2,3",
            "scale=1",
            "channels=gbr",
            "std=1e-9,1,1",
        ] {
            assert!(text.parse::<Normalization>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_same_normalization_is_told_of_bytes_in_red_green_blue() {
        let caffe = Normalization::CAFFE.in_rgb();
        assert_eq!(
            caffe.to_string(),
            "mean=123.675,116.28,103.53:std=1,1,1:divisor=1:channels=rgb"
        );
        let bytes = Normalization::IMAGENET.of_pixels_over(1.0);
        assert_eq!(
            bytes.mean().map(f64::to_bits),
            [0.485, 0.456, 0.406].map(|it: f64| (it * 255.0).to_bits())
        );
        assert_eq!(
            Normalization::IMAGENET.of_pixels_over(255.0),
            Normalization::IMAGENET
        );
    }
}
