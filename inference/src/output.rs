//! What a model's graphs take and give, by the names that the graphs have for it.

use detcon_core::arch::Stage;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions};

/// The graphs' input: uint8 RGB `[N, H, W, 3]`.
pub const INPUT: &str = "images";

/// An output of a model's graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The spatial mean of the last stage, `[N, D]`.
    Embedding,
    /// A stage's features, `[N, C, h, w]`.
    Features(Stage),
}

impl Output {
    /// Its name in the graphs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Features(stage) => stage.name(),
        }
    }

    /// Options that compute it alone.
    pub(crate) fn options(self) -> Result<RunOptions<HasSelectedOutputs>, ort::Error> {
        Ok(RunOptions::new()?.with_outputs(OutputSelector::no_default().with(self.name())))
    }
}
