//! Images in, shards with masks out: Felzenszwalb's, as upstream's `generate_fh_masks_for_imagenet.py` makes them, or
//! those of another [`MaskSource`].
//!
//! [`SourceSet`] finds the images and their classes, [`run`] turns them into shards: each image is read, made an RGB
//! JPEG if it is none, decoded as stored, segmented, and put into its place in its shard. What differs from upstream:
//! images really are shuffled, a mask never wraps at 256 segments, and a run that was killed goes on where it was.

mod error;
mod in_order;
mod journal;
mod layout;
mod masker;
mod merge;
mod partial;
mod picture;
mod preview;
mod run;
mod settings;
mod source;
mod summary;
mod work;

pub use self::error::MasksError;
pub use self::layout::Layout;
#[cfg(feature = "torch")]
pub(crate) use self::masker::Masker;
pub use self::preview::contact_sheet;
pub use self::run::{Progress, Run, run};
pub use self::settings::{MaskSettings, MaskSource, Overflow, Segmentation};
pub use self::source::{Class, SourceImage, SourceSet};
pub use self::summary::{Failure, Images, Merged, Reencoded, Segments, Shards, Summary};
