//! What is done to the colours of a view, where the networks are: jitter, grey, blur, solarization.
//!
//! [`ops`] are the operations, on images float32 `[N, 3, H, W]`, RGB in [0, 1]. [`Augmentation`] draws what is done to
//! each image of a batch, and [`apply`] does it to the batch on a GPU; [`augment`] does it to one image on a CPU.
//! Cropping and flipping come before, with the masks.
//!
//! Source: the augmentations of the published code, which are dm-pix 0.4.2's and BYOL's `utils/augmentations.py`.

mod apply;
mod draw;
mod host;
pub mod ops;

pub use self::apply::apply;
pub use self::draw::{Augmentation, ColorOp, ViewSettings};
pub use self::host::augment;
