//! Why a model, or one of its files, cannot be had or changed. The text says what is wrong and what to do.

use std::time::Duration;

/// Why a model, or one of its files, cannot be had or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ModelsError {
    /// No model of that name.
    #[error("No model is called {name:?}: GET /v1/models lists what is served.")]
    Unknown {
        /// As it was asked for.
        name: String,
    },
    /// No model was named and there is no default.
    #[error("Several models are served, so say which: model=NAME (GET /v1/models lists them).")]
    NotNamed,
    /// No model was named and none is served.
    #[error("No model is served: GET /v1/models says why.")]
    NothingServed,
    /// A model that is still being checked.
    #[error("The model {name:?} is being loaded: try again shortly.")]
    Loading {
        /// The model.
        name: String,
    },
    /// A model that failed its checks.
    #[error("The model {name:?} is not served: {reason}.")]
    Refused {
        /// The model.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A model without what was asked for.
    #[error("The model {name:?} has no {what}.")]
    Lacks {
        /// The model.
        name: String,
        /// What was asked for, and how a model comes by it.
        what: &'static str,
    },
    /// A segmentation head that the model does not have.
    #[error("The model {model:?} has no head {name:?}: it has {known}.")]
    UnknownHead {
        /// As it was asked for.
        name: String,
        /// The model.
        model: String,
        /// Those it has.
        known: String,
    },
    /// A change of the store where none is allowed.
    #[error("The models of this server cannot be changed: start it with --allow-uploads.")]
    UploadsOff,
    /// An upload longer than the limit.
    #[error("The upload is longer than {limit} bytes: --max-upload-bytes is the server's limit.")]
    UploadTooLarge {
        /// Longest upload.
        limit: u64,
    },
    /// An upload that is not what its client says.
    #[error("The upload has the SHA-256 {found}, not {expected}: send it again.")]
    DigestMismatch {
        /// As the client says.
        expected: String,
        /// Of what arrived.
        found: String,
    },
    /// An upload that no model can be made of.
    #[error("Nothing was stored: {reason}.")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// An upload under the name of a model that is there.
    #[error("The model {name:?} exists: give another name, or ?replace=true to replace it.")]
    Exists {
        /// Its name.
        name: String,
    },
    /// A change of a model that is no longer what the client believes.
    #[error(
        "The model {name:?} is not the one that If-Match names: /v1/models/{name}/files has its digest."
    )]
    PreconditionFailed {
        /// Its name.
        name: String,
    },
    /// No room for an upload.
    #[error("The server's disk is full: nothing was stored.")]
    StorageFull,
    /// A change that the store elsewhere did not take.
    #[error(
        "The store of the models did not take the change: try again. The server's log says why."
    )]
    StoreUnreachable,
    /// An upload that is not known, or no longer.
    #[error("There is no import {id:?}: /v1/imports lists those since the server's start.")]
    UnknownImport {
        /// As it was asked for.
        id: String,
    },
    /// A file that the model does not have.
    #[error("The model has no file {path:?}: /v1/models/NAME/files lists those it has.")]
    UnknownFile {
        /// As it was asked for.
        path: String,
    },
    /// As many uploads as are taken at once.
    #[error("The server has as many uploads as it takes: try again later.")]
    Busy {
        /// When there should be room.
        retry_after: Duration,
    },
    /// A fault of the server's own; its log says more.
    #[error("The server failed at this request. Its log says why.")]
    Internal,
}

impl ModelsError {
    /// No model of that name, as it was asked for.
    pub(crate) fn unknown(name: &str) -> Self {
        Self::Unknown {
            name: name.chars().take(100).collect(),
        }
    }
}
