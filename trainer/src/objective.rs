//! What is minimised: features pooled over regions, and the contrast between the regions of two views.
//!
//! - [`Regions`]: the mask ids that were drawn for a batch, and pooling over their cells;
//! - [`detcon_loss`]: the contrastive loss, and [`bounds`] between which it lies.
//!
//! Source: the published `utils/losses.py` and `detcon_b.py`; "Efficient Visual Pretraining with Contrastive
//! Detection" (ICCV 2021), equation 3.

mod bounds;
mod loss;
mod regions;

pub use self::bounds::{Bounds, bounds};
pub use self::loss::{LocalNegatives, LossSettings, RegionVectors, detcon_loss};
pub use self::regions::{Regions, draw_ids};
