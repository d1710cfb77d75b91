//! Lengths of time in a run.

use serde::{Deserialize, Serialize};

/// A length in epochs or in steps: `{ epochs = 100 }`, `{ steps = 5000 }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Span {
    /// Passes through the data set.
    Epochs(f64),
    /// Steps.
    Steps(u64),
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Epochs(epochs) => write!(f, "{epochs} epochs"),
            Self::Steps(steps) => write!(f, "{steps} steps"),
        }
    }
}

impl Span {
    /// The length in steps of `batch` images on a data set of `images`, cut as upstream cuts it.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "data sets have fewer than 2^52 images, and a length is not negative"
    )]
    #[must_use]
    pub fn steps(self, images: u64, batch: u64) -> u64 {
        match self {
            Self::Epochs(epochs) => (epochs * images as f64 / batch as f64) as u64,
            Self::Steps(steps) => steps,
        }
    }
}
