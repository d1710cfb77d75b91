//! Why tensors are no network.

use detcon_core::arch::ResNetSpec;
use detcon_core::checkpoint::FitError;

/// Why tensors are no network of a spec.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Names are missing or too many.
    #[error(
        "these are no tensors of a {spec} with its heads: missing {missing:?}, surplus {surplus:?}"
    )]
    Names {
        /// The backbone.
        spec: Box<ResNetSpec>,
        /// What is not there.
        missing: Vec<String>,
        /// What has no place.
        surplus: Vec<String>,
    },
    /// A tensor has another shape.
    #[error("{name} has shape {found:?} and should have {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// The table's.
        expected: Vec<usize>,
    },
    /// The checkpoint is of another backbone.
    #[error("the checkpoint is a {found}, the network a {spec}")]
    Spec {
        /// The network's.
        spec: Box<ResNetSpec>,
        /// The checkpoint's.
        found: Box<ResNetSpec>,
    },
    /// The tensors do not make a checkpoint.
    #[error(transparent)]
    Fit(#[from] FitError),
}
