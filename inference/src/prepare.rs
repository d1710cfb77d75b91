//! From an encoded image to the graphs' input.

use std::cell::RefCell;

use detcon_core::image::{self, ImageError, ImageLimits};
use detcon_core::preprocess::{Preprocess, Scratch};

use crate::batch::InputTensor;

/// Decodes an image and preprocesses it as upstream evaluates.
pub fn prepared(
    bytes: &[u8],
    limits: &ImageLimits,
    preprocess: Preprocess,
) -> Result<InputTensor, ImageError> {
    Ok(cropped(&image::decode(bytes, limits)?, preprocess))
}

/// Upstream's evaluation crop of an image.
pub(crate) fn cropped(image: &image::RgbImage, preprocess: Preprocess) -> InputTensor {
    let side = preprocess.size() as usize;
    let mut pixels = vec![0; preprocess.output_len()];
    with_scratch(|scratch| {
        let written = preprocess.apply_into(image, &mut pixels, scratch);
        debug_assert!(written.is_ok(), "the input is as long as an output");
    });
    InputTensor {
        height: side,
        width: side,
        pixels,
    }
}

/// Buffers that each thread keeps.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(work)
}
