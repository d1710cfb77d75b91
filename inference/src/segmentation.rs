//! The ways to segment an image, and what each needs of a network.

use std::cell::RefCell;
use std::sync::Arc;

use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_core::image::RgbImage;
use detcon_core::segment::{
    FeatureMap, Felzenszwalb, Grid, KMeans, SegmentError, SegmentMap, SegmentationHead, Workspace,
};

/// Most pixels that are segmented by Felzenszwalb's method.
const FELZENSZWALB_PIXELS: u64 = 1 << 24;
/// Bytes that it takes for a pixel, beside the image and its segments: 139 to 146 were measured, of flat pictures and of
/// noise, from 1 to 7.5 megapixels.
const FELZENSZWALB_BYTES: u64 = 150;
/// Largest image whose buffers a thread keeps for the next.
const KEPT_PIXELS: u64 = 1 << 21;

/// A way to segment an image.
#[derive(Clone, Debug)]
pub enum Method {
    /// The paper's masks.
    Felzenszwalb(Felzenszwalb),
    /// The paper's spatial heuristic.
    Grid(Grid),
    /// Clusters of a model's own features of the whole image.
    KMeans {
        /// Clusters and seed.
        clusters: KMeans,
        /// The features.
        stage: Stage,
    },
    /// Classes, by a head that was trained on a model's features of the whole image.
    Head {
        /// The head.
        head: Arc<SegmentationHead>,
        /// The features that it reads.
        stage: Stage,
    },
}

impl Method {
    /// The features of the whole image that it needs, if any.
    #[must_use]
    pub const fn stage(&self) -> Option<Stage> {
        match self {
            Self::KMeans { stage, .. } | Self::Head { stage, .. } => Some(*stage),
            Self::Felzenszwalb(_) | Self::Grid(_) => None,
        }
    }

    /// Bytes that segmenting an image of this height and width takes while it lasts, beside the image, its features and
    /// its segments.
    #[must_use]
    pub fn working_bytes(&self, height: u32, width: u32) -> u64 {
        match self {
            Self::Felzenszwalb(_) => {
                let pixels = u64::from(height).saturating_mul(width.into());
                pixels.saturating_mul(FELZENSZWALB_BYTES)
            }
            // No more than the features, which are there twice before.
            Self::Grid(_) | Self::KMeans { .. } | Self::Head { .. } => 0,
        }
    }

    /// Segments an image. `features` are those of [`Self::stage`], `[C, h, w]`; without them a method that needs some
    /// finds an empty map.
    pub fn segment(
        &self,
        image: &RgbImage,
        features: Option<&Tensor>,
    ) -> Result<SegmentMap, SegmentError> {
        let (height, width) = (image.height(), image.width());
        let map = || features.map_or_else(|| FeatureMap::new(&[], 0, 0, 0), feature_map);
        match self {
            Self::Felzenszwalb(method) => felzenszwalb(method, image),
            Self::Grid(grid) => grid.segment(height, width),
            Self::KMeans { clusters, .. } => clusters.cluster(map()?)?.upsample(height, width),
            Self::Head { head, .. } => head.logits(map()?)?.classes(height, width),
        }
    }
}

/// Features `[C, h, w]` as the core takes them.
pub fn feature_map(features: &Tensor) -> Result<FeatureMap<'_>, SegmentError> {
    let shape = features.shape();
    let side = |axis: usize| {
        shape
            .get(axis)
            .and_then(|&n| u32::try_from(n).ok())
            .unwrap_or(0)
    };
    let channels = shape.first().copied().unwrap_or(0);
    FeatureMap::new(features.values(), channels, side(1), side(2))
}

/// Segments with buffers that each thread keeps, unless the image is large.
fn felzenszwalb(method: &Felzenszwalb, image: &RgbImage) -> Result<SegmentMap, SegmentError> {
    thread_local! {
        static WORKSPACE: RefCell<Workspace> = RefCell::default();
    }
    let pixels = u64::from(image.height()) * u64::from(image.width());
    if pixels > FELZENSZWALB_PIXELS {
        let limit = FELZENSZWALB_PIXELS;
        return Err(SegmentError::TooManyPixels { pixels, limit });
    }
    if pixels > KEPT_PIXELS {
        return method.segment(image, &mut Workspace::default());
    }
    WORKSPACE.with_borrow_mut(|kept| method.segment(image, kept))
}
