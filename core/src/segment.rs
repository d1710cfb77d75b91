//! Images in, segments out: the label map itself, and the ways to make one.
//!
//! - [`Felzenszwalb`]: the graph-based masks of the paper (section 3.1), label for label those of scikit-image;
//! - [`Grid`]: the paper's spatial heuristic, rows and columns;
//! - [`KMeans`]: clusters of a network's own features;
//! - [`SegmentationHead`]: classes, by a head that was trained on a network's features.
//!
//! A [`SegmentMap`] gives every pixel exactly one segment. Masks that may overlap are in [`crate::regions`].

mod error;
mod feature_map;
mod felzenszwalb;
mod grid;
mod head;
mod kmeans;
mod map;
mod png;
mod scores;

pub use self::error::SegmentError;
pub use self::feature_map::FeatureMap;
pub use self::felzenszwalb::{Felzenszwalb, Workspace};
pub use self::grid::Grid;
pub use self::head::{HeadError, HeadKind, Logits, SegmentationHead};
pub use self::kmeans::{Clusters, KMeans};
pub use self::map::SegmentMap;
pub(crate) use self::png::write as write_png;
