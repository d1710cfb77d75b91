//! Images as the graphs take them, alone and in batches, and how many go into one.

use std::num::NonZeroUsize;

/// A preprocessed image: the graphs' input without its first axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputTensor {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// uint8 RGB, row by row.
    pub pixels: Vec<u8>,
}

impl InputTensor {
    /// Rows and columns; sides beyond 32 bits are the longest of them.
    #[must_use]
    pub fn size(&self) -> [u32; 2] {
        [self.height, self.width].map(|side| u32::try_from(side).unwrap_or(u32::MAX))
    }
}

/// A batch of images of one size.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[N, H, W, 3]`.
    pub shape: [usize; 4],
    /// uint8 RGB.
    pub images: Vec<u8>,
}

impl Batch {
    /// Images of `height` rows and `width` columns, one after the other.
    #[must_use]
    pub fn of<'a>(
        [height, width]: [usize; 2],
        images: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Self {
        let shape = [images.len(), height, width, 3];
        let mut pixels = Vec::with_capacity(shape.iter().product());
        images.for_each(|image| pixels.extend_from_slice(image));
        Self {
            shape,
            images: pixels,
        }
    }

    /// Black images.
    #[must_use]
    pub fn blank(images: usize, [height, width]: [usize; 2]) -> Self {
        let shape = [images, height, width, 3];
        Self {
            shape,
            images: vec![0; shape.iter().product()],
        }
    }
}

/// How much goes into one engine call: what a batch costs is its pixels, not its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most images.
    pub images: NonZeroUsize,
    /// Most pixels of all of them together; one image is always taken.
    pub pixels: u64,
}

impl BatchLimits {
    /// As many pixels as `images` images of `side` rows and columns have.
    #[must_use]
    pub const fn of(images: NonZeroUsize, side: u32) -> Self {
        let pixels = (side as u64 * side as u64).saturating_mul(images.get() as u64);
        Self { images, pixels }
    }

    /// Most images of this size in a batch: at least one.
    #[must_use]
    pub fn images_of(self, [height, width]: [usize; 2]) -> usize {
        let image = (height as u64).saturating_mul(width as u64).max(1);
        let fit = usize::try_from(self.pixels / image).unwrap_or(usize::MAX);
        fit.clamp(1, self.images.get())
    }

    /// The inputs in batches of one size each, with the places of their images among the inputs, in order.
    #[must_use]
    pub fn plan(self, inputs: &[InputTensor]) -> Vec<Vec<usize>> {
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for (index, input) in inputs.iter().enumerate() {
            let size = [input.height, input.width];
            let room = self.images_of(size);
            let open = batches.iter_mut().rev().find(|batch| {
                let first = &inputs[batch[0]];
                [first.height, first.width] == size
            });
            match open {
                Some(batch) if batch.len() < room => batch.push(index),
                _ => batches.push(vec![index]),
            }
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(height: usize, width: usize) -> InputTensor {
        InputTensor {
            height,
            width,
            pixels: vec![0; height * width * 3],
        }
    }

    #[test]
    fn a_batch_is_bounded_by_images_and_by_pixels_and_is_never_empty() {
        let limits = BatchLimits::of(NonZeroUsize::new(8).unwrap(), 10);
        assert_eq!(limits.images_of([10, 10]), 8);
        assert_eq!(limits.images_of([5, 5]), 8, "no more images than that");
        assert_eq!(limits.images_of([20, 10]), 4);
        assert_eq!(limits.images_of([100, 100]), 1);
        assert_eq!(limits.images_of([usize::MAX, usize::MAX]), 1);
        assert_eq!(limits.images_of([0, 0]), 8);
    }

    #[test]
    fn a_plan_has_each_input_once_in_batches_of_one_size() {
        let limits = BatchLimits::of(NonZeroUsize::new(2).unwrap(), 4);
        let inputs = [
            input(4, 4),
            input(4, 8),
            input(4, 4),
            input(4, 4),
            input(4, 8),
        ];
        let plan = limits.plan(&inputs);
        assert_eq!(plan, [vec![0, 2], vec![1], vec![3], vec![4]]);
    }
}
