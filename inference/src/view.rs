//! Which part of an image the network sees, and at which size.

use std::num::NonZeroU32;
use std::str::FromStr;

use detcon_core::arch::{ResNetSpec, STRIDE};
use detcon_core::image::RgbImage;
use detcon_core::preprocess::{Preprocess, PreprocessError, Window};
use detcon_core::regions::{self, RegionError};

use crate::batch::InputTensor;
use crate::prepare::{cropped, with_scratch};

/// The largest cells of c5 that a network has, in pixels of its input.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a stride is a small number"
)]
const LARGEST_CELL: NonZeroU32 = NonZeroU32::new(STRIDE as u32).unwrap();

/// Which part of an image the network sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
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

/// Why there is no such view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// A size that is too small or too large.
    #[error("{size} is not from {} to {}", View::MIN_SIZE, View::MAX_SIZE)]
    Size {
        /// What was asked for.
        size: u32,
    },
    /// A size that images cannot be brought to.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
}

/// A part of an image at a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    part: Part,
    preprocess: Preprocess,
}

impl View {
    /// Smallest input, in pixels of its shorter side: a cell of c5.
    pub const MIN_SIZE: u32 = LARGEST_CELL.get();
    /// Largest input, in pixels of its shorter side: what bounds an image's features.
    pub const MAX_SIZE: u32 = 1024;

    /// A part of an image: the crop with sides of `size` pixels, or all of it with its shorter side at `size`.
    pub fn new(part: Part, size: u32) -> Result<Self, ViewError> {
        if !(Self::MIN_SIZE..=Self::MAX_SIZE).contains(&size) {
            return Err(ViewError::Size { size });
        }
        let preprocess = Preprocess::center_crop(size)?;
        Ok(Self { part, preprocess })
    }

    /// What embeddings are computed of.
    #[must_use]
    pub const fn evaluation(preprocess: Preprocess) -> Self {
        Self {
            part: Part::Center,
            preprocess,
        }
    }

    /// The same size, of the whole image.
    #[must_use]
    pub const fn full(self) -> Self {
        Self {
            part: Part::Full,
            preprocess: self.preprocess,
        }
    }

    /// Pixels of the shorter side of what the network sees.
    #[must_use]
    pub const fn size(self) -> u32 {
        self.preprocess.size()
    }

    /// Rows and columns of the network's input for an image of this height and width.
    #[must_use]
    pub fn input_size(self, height: u32, width: u32) -> [u32; 2] {
        match self.part {
            Part::Center => [self.preprocess.size(); 2],
            Part::Full => self.preprocess.whole_size(height, width),
        }
    }

    /// The network's input for an image.
    #[must_use]
    pub fn input(self, image: &RgbImage) -> InputTensor {
        let seen = match self.part {
            Part::Center => return cropped(image, self.preprocess),
            Part::Full => with_scratch(|scratch| self.preprocess.whole(image, scratch)),
        };
        InputTensor {
            height: seen.height() as usize,
            width: seen.width() as usize,
            pixels: seen.into_pixels(),
        }
    }

    /// Where a network's cells of c5 lie in an image.
    pub fn cells(self, image: &RgbImage, spec: ResNetSpec) -> Result<regions::View, RegionError> {
        let (height, width) = (image.height(), image.width());
        let cell = u32::try_from(spec.output_stride()).ok();
        let cell = cell.and_then(NonZeroU32::new).unwrap_or(LARGEST_CELL);
        match self.part {
            Part::Center => regions::View::preprocessed(&self.preprocess, height, width, cell),
            Part::Full => {
                let window = Window {
                    offset_y: 0,
                    offset_x: 0,
                    height,
                    width,
                };
                let [rows, columns] = self.input_size(height, width);
                regions::View::new(window, rows, columns, cell)
            }
        }
    }
}
