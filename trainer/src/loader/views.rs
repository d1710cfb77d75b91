//! Two views of an image: cropped, perhaps mirrored and resized together with its mask, and what is drawn for each.
//!
//! Source: `_preprocess_pretrain` of the published `datasets/dataset_adapter.py`, `preprocess_image` of its
//! `utils/tf_image_ops.py`.

use detcon_core::preprocess::{Scratch, resize_window};
use detcon_core::regions::RegionError;
use rand_chacha::ChaCha8Rng;

use super::LoaderError;
use super::crop::{Draws, draw_flip, window};
use super::data_set::Picture;
use super::mask::Cells;
use crate::augment::{Augmentation, ViewSettings};
use crate::objective::draw_ids;
use crate::random::stream;
use crate::recipe::{CropSettings, Recipe};

/// One view, before the device sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnView {
    /// RGB, `[side, side, 3]`.
    pub pixels: Vec<u8>,
    /// Which mask ids its cells belong to.
    pub cells: Cells,
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
            let view = self.view(picture, colors, &mut random);
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
        picture: &Picture,
        colors: &ViewSettings,
        random: &mut ChaCha8Rng,
    ) -> Result<DrawnView, RegionError> {
        let [height, width] = [picture.pixels.height(), picture.pixels.width()];
        if let Some([actual_height, actual_width]) = picture.mask.other_than([height, width]) {
            return Err(RegionError::SizeMismatch {
                what: "The mask",
                height,
                width,
                actual_height,
                actual_width,
            });
        }
        let window = window([height, width], &self.crop, Draws::new(random));
        let flip = draw_flip(random);
        let size = [self.side; 2];
        let shown = resize_window(&picture.pixels, window, flip, size, &mut Scratch::default());
        let cells = picture.mask.cells(window, flip, self.side)?;
        Ok(DrawnView {
            pixels: shown.into_pixels(),
            ids: draw_ids(&cells.present(), self.mask_samples, random),
            cells,
            plan: Augmentation::draw(colors, random),
        })
    }
}

#[cfg(test)]
mod tests {
    use detcon_core::image::{ImageLimits, decode_stored};
    use detcon_core::preprocess::{Flip, Window};
    use detcon_core::segment::SegmentMap;
    use detcon_tests::golden::{Tensors, directory};
    use serde::Deserialize;

    use super::super::mask;
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        image: String,
        labels: String,
        window: [u32; 4],
        flip: bool,
        size: u32,
    }

    /// Views are of 8 bits: rounding costs a quarter of a step of 255 on average, and half of one at most.
    const MEAN: f32 = 0.0011;
    const MOST: f32 = 0.003;
    /// Decoders of JPEGs differ by up to a step on average.
    const JPEG_MEAN: f32 = 1.0 / 255.0;

    fn read(folder: &str, name: &str) -> Vec<u8> {
        std::fs::read(directory().join(folder).join(name)).unwrap()
    }

    /// JPEGs are compared with what an accurate decoder makes of the whole image: upstream's decodes a part of it with
    /// a fast transform, and is off by more at edges.
    #[test]
    fn views_and_their_masks_are_upstreams() {
        let file = Tensors::open(&directory().join("objective/views.safetensors"));
        let cases: Vec<Case> = serde_json::from_str(file.metadata("cases")).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let [offset_y, offset_x, height, width] = case.window;
            let window = Window {
                offset_y,
                offset_x,
                height,
                width,
            };
            let flip = if case.flip {
                Flip::LeftRight
            } else {
                Flip::None
            };
            let limits = ImageLimits::default();
            let image = decode_stored(&read("images", &case.image), &limits).unwrap();
            let size = [case.size; 2];
            let view = resize_window(&image, window, flip, size, &mut Scratch::default());
            let whole = format!("{}.accurate_dct.whole.image", case.name);
            let exact = format!("{}.image", case.name);
            let (expected, jpeg) = match file.f32(&whole) {
                Some(expected) => (expected, true),
                None => (file.f32(&exact).unwrap(), false),
            };
            let (mean, most) = errors(view.pixels(), &expected.values);
            println!("{}: {mean:.5} on average, {most:.5} at most", case.name);
            let near = if jpeg {
                mean <= JPEG_MEAN
            } else {
                mean <= MEAN && most <= MOST
            };
            assert!(near, "{}: {mean} on average, {most} at most", case.name);
            let labels = read("felzenszwalb", &case.labels);
            let labels = SegmentMap::from_png(&labels, &limits).unwrap();
            let found = mask::view(&labels, window, flip, case.size).unwrap();
            let expected = file.u8(&format!("{}.mask", case.name)).unwrap().values;
            let expected: Vec<u16> = expected.into_iter().map(u16::from).collect();
            assert!(found.ids() == expected, "{}: the mask differs", case.name);
        }
    }

    /// Mean and largest difference of a view's bytes from numbers in [0, 1].
    fn errors(found: &[u8], expected: &[f32]) -> (f32, f32) {
        assert_eq!(found.len(), expected.len());
        let errors = found.iter().zip(expected);
        let errors = errors.map(|(&found, expected)| (f32::from(found) / 255.0 - expected).abs());
        let errors: Vec<f32> = errors.collect();
        let most = errors.iter().copied().fold(0.0, f32::max);
        #[expect(clippy::cast_precision_loss, reason = "few pixels")]
        let mean = errors.iter().sum::<f32>() / errors.len() as f32;
        (mean, most)
    }
}
