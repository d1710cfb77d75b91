//! Which part of an image the network sees, and at which size.

use std::num::NonZeroU32;
use std::str::FromStr;

use detcon_core::arch::STRIDE;
use detcon_core::image::RgbImage;
use detcon_core::preprocess::{Preprocess, Window};
use detcon_core::regions::{self, RegionError};

use crate::batch::InputTensor;
use crate::input::parameters::{SIZE, VIEW};
use crate::input::{Fields, invalid};
use crate::pipeline::with_scratch;
use crate::problem::Problem;

/// Largest input, in pixels of its shorter side: what bounds a request's features.
const MAX_SIZE: u32 = 1024;

/// Which part of an image the network sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// Upstream's evaluation crop.
    #[default]
    Center,
    /// All of it, its shape kept.
    Full,
}

impl FromStr for Part {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "center" => Ok(Self::Center),
            "full" => Ok(Self::Full),
            _ => Err("it is neither center nor full"),
        }
    }
}

/// A part of an image at a size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    part: Part,
    preprocess: Preprocess,
}

impl View {
    /// Reads `view` and `size`; the size is the model's own where it is not given.
    pub(crate) fn take(fields: &mut Fields, model: Preprocess) -> Result<Self, Problem> {
        let part = fields.take(VIEW)?.unwrap_or_default();
        Ok(Self {
            part,
            ..Self::take_full(fields, model)?
        })
    }

    /// Reads `size` alone, for a view of the whole image.
    pub(crate) fn take_full(fields: &mut Fields, model: Preprocess) -> Result<Self, Problem> {
        let size: u32 = fields.take(SIZE)?.unwrap_or_else(|| model.size());
        let smallest = u32::try_from(STRIDE).unwrap_or(u32::MAX);
        if !(smallest..=MAX_SIZE).contains(&size) {
            return Err(invalid(
                "size",
                format!("{size} is not from {smallest} to {MAX_SIZE}"),
            ));
        }
        let preprocess =
            Preprocess::center_crop(size).map_err(|error| invalid("size", error.to_string()))?;
        Ok(Self {
            part: Part::Full,
            preprocess,
        })
    }

    /// The network's input for an image.
    pub(crate) fn input(self, image: &RgbImage) -> InputTensor {
        let seen = match self.part {
            Part::Center => self.preprocess.apply(image),
            Part::Full => with_scratch(|scratch| self.preprocess.whole(image, scratch)),
        };
        InputTensor {
            height: seen.height() as usize,
            width: seen.width() as usize,
            pixels: seen.into_pixels(),
        }
    }

    /// The same size, of the whole image.
    pub(crate) const fn full(self) -> Self {
        Self {
            part: Part::Full,
            preprocess: self.preprocess,
        }
    }

    /// Where the cells of c5 lie in an image.
    pub(crate) fn cells(self, image: &RgbImage) -> Result<regions::View, RegionError> {
        let (height, width) = (image.height(), image.width());
        let stride = NonZeroU32::new(u32::try_from(STRIDE).unwrap_or(u32::MAX));
        let stride = stride.unwrap_or(NonZeroU32::MIN);
        match self.part {
            Part::Center => regions::View::preprocessed(&self.preprocess, height, width, stride),
            Part::Full => {
                let window = Window {
                    offset_y: 0,
                    offset_x: 0,
                    height,
                    width,
                };
                let [rows, columns] = self.preprocess.whole_size(height, width);
                regions::View::new(window, rows, columns, stride)
            }
        }
    }
}
