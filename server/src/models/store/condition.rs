//! What must be in the store before a model comes or goes.

use std::path::Path;
use std::sync::Arc;

use detcon_core::files::Existing;
use detcon_core::model::ModelName;

use super::Pinned;
use crate::models::ModelsError;

/// What must be there under the model's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing.
    Absent,
    /// Something or nothing.
    Any,
    /// A model.
    Present,
    /// The model whose manifest has this SHA-256.
    Digest(String),
}

impl Condition {
    /// Whether it is met now, and then whether what is there may be replaced.
    pub(super) fn holds(&self, store: &Path, name: &ModelName) -> Result<Existing, ModelsError> {
        let there = store.join(name.as_str()).symlink_metadata().is_ok();
        let met = match self {
            Self::Absent if there => {
                return Err(ModelsError::Exists {
                    name: name.to_string(),
                });
            }
            Self::Absent => return Ok(Existing::Keep),
            Self::Any => true,
            Self::Present => there,
            Self::Digest(digest) => Pinned::open(store, name, Arc::default())
                .is_ok_and(|found| found.digest() == digest),
        };
        met.then_some(Existing::Replace)
            .ok_or_else(|| ModelsError::PreconditionFailed {
                name: name.to_string(),
            })
    }
}
