//! Felzenszwalb and Huttenlocher's graph-based segmentation ("Efficient Graph-Based Image Segmentation", IJCV 2004),
//! which makes upstream's masks. Labels are those of scikit-image 0.22's `felzenszwalb`, one for one.
//!
//! scikit-image sorts the edges with an unstable sort, so edges of equal cost have no defined order there; here they
//! keep the order in which it lists them, as with a stable sort.
//!
//! It refuses parameters out of range and images above [`Felzenszwalb::MAX_PIXELS`].

mod blur;
mod edges;
mod forest;
mod sort;

use self::blur::{Blur, Kernel};
use self::edges::Edges;
use self::forest::Forest;
use super::{SegmentError, SegmentMap};
use crate::image::RgbImage;

/// The segmentation, with its parameters as scikit-image names them.
#[derive(Clone, Debug, PartialEq)]
pub struct Felzenszwalb {
    scale: f64,
    min_size: u32,
    kernel: Kernel,
}

/// Buffers of one segmentation, reused by the next: about 150 bytes for each pixel of the largest image so far.
#[derive(Debug, Default)]
pub struct Workspace {
    blur: Blur,
    edges: Edges,
    forest: Forest,
}

impl Felzenszwalb {
    /// Most pixels of an image: its edges are numbered in 26 bits.
    pub const MAX_PIXELS: u64 = 1 << edges::PIXEL_BITS;

    /// Largest `sigma`: the blur keeps `8 * sigma` rows at hand.
    pub const MAX_SIGMA: f64 = 32.0;

    /// - `scale`: larger values make larger segments (`k` of the paper, for intensities from 0 to 255); above 0;
    /// - `sigma`: standard deviation in pixels of the Gaussian blur before; 0, no blur, to [`Self::MAX_SIGMA`];
    /// - `min_size`: smaller segments, in pixels, are merged with a neighbour.
    ///
    /// Upstream uses 1000, 0.8 and 1000.
    pub fn new(scale: f64, sigma: f64, min_size: u32) -> Result<Self, SegmentError> {
        if !(scale.is_finite() && scale > 0.0) {
            return Err(SegmentError::Parameter {
                name: "scale",
                value: scale,
                range: "a finite number above 0",
            });
        }
        if !(0.0..=Self::MAX_SIGMA).contains(&sigma) {
            return Err(SegmentError::Parameter {
                name: "sigma",
                value: sigma,
                range: "from 0 to 32",
            });
        }
        Ok(Self {
            scale: scale / 255.0,
            min_size,
            kernel: Kernel::gaussian(sigma),
        })
    }

    /// Segments an image. Segments are numbered 0, 1, 2 … in the order of their first pixels.
    pub fn segment(
        &self,
        image: &RgbImage,
        workspace: &mut Workspace,
    ) -> Result<SegmentMap, SegmentError> {
        let pixels = u64::from(image.height()) * u64::from(image.width());
        if pixels > Self::MAX_PIXELS {
            let limit = Self::MAX_PIXELS;
            return Err(SegmentError::TooManyPixels { pixels, limit });
        }
        let Workspace {
            blur,
            edges,
            forest,
        } = workspace;
        edges.start(image.height() as usize, image.width() as usize);
        blur.for_each_row(image, &self.kernel, |above, row| {
            edges.push_row(above, row);
        });
        forest.start(edges.pixels(), self.scale);
        edges.visit_ascending(forest, Forest::join_similar);
        edges.visit_kept(forest, |forest, edge| {
            forest.join_small(edge, self.min_size);
        });
        SegmentMap::new(image.height(), image.width(), forest.labels()?)
    }
}
