//! Two views of an image: cropped, resized and perhaps mirrored together with its mask, and what is drawn for each.

use std::num::NonZeroU32;

use detcon_core::arch::STRIDE;
use detcon_core::image::RgbImage;
use detcon_core::preprocess::{Scratch, resize_window};
use detcon_core::regions::RegionError;
use detcon_core::segment::SegmentMap;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore as _;

use super::LoaderError;
use super::crop::draw_window;
use super::data_set::Picture;
use crate::augment::{Augmentation, ViewSettings};
use crate::objective::draw_ids;
use crate::random::stream;
use crate::recipe::{CropSettings, Recipe};

/// One view, before the device sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnView {
    /// RGB, `[side, side, 3]`.
    pub pixels: Vec<u8>,
    /// The commonest mask id of each cell.
    pub grid: Vec<u16>,
    /// The mask ids that were drawn.
    pub ids: Vec<u16>,
    /// What becomes of its colours.
    pub plan: Augmentation,
}

/// An image as a step takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnImage {
    /// Its two views.
    pub views: [DrawnView; 2],
    /// Its class.
    pub label: Option<u32>,
}

/// How views are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct ViewPair {
    side: u32,
    crop: CropSettings,
    colors: [ViewSettings; 2],
    mask_samples: usize,
    classes: usize,
}

impl ViewPair {
    pub(super) const fn new(recipe: &Recipe) -> Self {
        Self {
            side: recipe.image_size,
            crop: recipe.crop,
            colors: [recipe.first_view, recipe.second_view],
            mask_samples: recipe.mask_samples,
            classes: recipe.heads.classes,
        }
    }

    /// The views of an image in an epoch: the same for the same seed, epoch and image.
    pub(super) fn draw(
        &self,
        picture: &Picture,
        seed: u64,
        [epoch, image]: [u64; 2],
    ) -> Result<DrawnImage, LoaderError> {
        if let Some(label) = picture
            .label
            .filter(|&label| label as usize >= self.classes)
        {
            return Err(LoaderError::Label { image, label });
        }
        let mut random = stream(seed, "views", &[epoch, image]);
        let mut view = |colors| {
            let view = self.view(&picture.pixels, &picture.mask, colors, &mut random);
            view.map_err(|cause| LoaderError::Mask { image, cause })
        };
        let [first, second] = &self.colors;
        Ok(DrawnImage {
            views: [view(first)?, view(second)?],
            label: picture.label,
        })
    }

    fn view(
        &self,
        image: &RgbImage,
        mask: &SegmentMap,
        colors: &ViewSettings,
        random: &mut ChaCha8Rng,
    ) -> Result<DrawnView, RegionError> {
        let (height, width) = (image.height(), image.width());
        if [mask.height(), mask.width()] != [height, width] {
            return Err(RegionError::SizeMismatch {
                what: "The mask",
                height,
                width,
                actual_height: mask.height(),
                actual_width: mask.width(),
            });
        }
        let window = draw_window([height, width], &self.crop, random);
        let mirrored = random.next_u32() & 1 == 1;
        let shown = resize_window(image, window, [self.side; 2], &mut Scratch::default());
        let mut pixels = shown.into_pixels();
        let mut mask = mask.crop(window)?.resize_nearest(self.side, self.side)?;
        if mirrored {
            mirror(&mut pixels, self.side as usize);
            mask = mask.flip_horizontal();
        }
        let grid = mask.majority(CELL).ids().to_vec();
        Ok(DrawnView {
            pixels,
            ids: draw_ids(&grid, self.mask_samples, random),
            grid,
            plan: Augmentation::draw(colors, random),
        })
    }
}

/// Pixels of a cell's side.
#[expect(clippy::cast_possible_truncation, reason = "the stride is 32")]
const CELL: NonZeroU32 = NonZeroU32::new(STRIDE as u32).expect("not 0");

/// Left becomes right.
fn mirror(pixels: &mut [u8], width: usize) {
    for row in pixels.chunks_exact_mut(3 * width) {
        let (pixels, _) = row.as_chunks_mut::<3>();
        pixels.reverse();
    }
}
