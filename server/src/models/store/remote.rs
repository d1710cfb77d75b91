//! A store that is elsewhere (S3, Google Cloud Storage, Azure): it keeps a local folder, the cache, in step, and
//! everything else in the server knows the folder alone.
//!
//! A model elsewhere is an object for each file, and one that leads to them, `PREFIX/NAME/manifest.json`: it is written last
//! and removed first, so a model without it is not there; and nothing is served whose files are not what its manifest
//! says.

mod connect;
mod fetch;
mod layout;
mod push;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use detcon_core::files::{StageError, remove_directory};
use detcon_core::model::{ModelError, ModelName, file, list};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub(crate) use connect::provide_tls;

/// Why a store elsewhere cannot be used, or a model of it.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address is none.
    #[error(
        "{address} names no store: {reason}; give a folder, s3://BUCKET/PREFIX, gs://… or az://…"
    )]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong about it.
        reason: String,
    },
    /// Whoever asks has no credentials, or the wrong ones.
    #[error(
        "{address} refuses the credentials: {source}; set them as its own tools read them from the environment \
         (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME)"
    )]
    Credentials {
        /// The store.
        address: String,
        /// What it said.
        source: object_store::Error,
    },
    /// There is no such bucket.
    #[error("{address} is not there: {source}; make the bucket, or correct --models")]
    Missing {
        /// The store.
        address: String,
        /// What it said.
        source: object_store::Error,
    },
    /// It did not answer, or not well.
    #[error(
        "{address} cannot be used: {source}; see that it can be reached, its region and its endpoint (AWS_REGION, AWS_ENDPOINT)"
    )]
    Unreachable {
        /// The store.
        address: String,
        /// What happened.
        source: object_store::Error,
    },
    /// A model elsewhere is not what its manifest says.
    #[error("{object} is {reason}; write the model anew")]
    Damaged {
        /// Its key.
        object: String,
        /// What is wrong about it.
        reason: String,
    },
    /// A file of the cache could not be read or written.
    #[error("the cache {} cannot be used: {source}; give another with --cache", path.display())]
    Cache {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server ends, and waits for nothing more.
    #[error("not fetched: the server ends")]
    Ended,
    /// A model could not be put in its place.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The cache could not be listed.
    #[error(transparent)]
    List(#[from] ModelError),
}

/// A store elsewhere and the folder that it keeps in step.
#[derive(Debug)]
pub(crate) struct Remote {
    /// As it was given, for messages.
    address: String,
    store: Arc<dyn ObjectStore>,
    prefix: Key,
    folder: PathBuf,
    /// Runs what waits for the network: whoever calls has a thread to wait on.
    handle: Handle,
    /// Held while the folder is brought in step, and while an upload goes to both.
    turn: Mutex<()>,
    /// Cancelled when the server ends.
    ended: CancellationToken,
}

impl Remote {
    /// The folder that is kept in step.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps others from changing the folder or the store by way of this server.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        // What a holder that panicked left half-done is put right by the next look.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches nothing more, and breaks off what is being fetched.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    /// Where the models that are there now have their places in the folder, sorted; what has gone goes from there too.
    /// Blocks; an error is about the store as a whole.
    pub(crate) fn look(&self) -> Result<Vec<PathBuf>, RemoteError> {
        let _turn = self.hold();
        let there = self.names()?;
        let there: Vec<_> = there.iter().map(|name| self.place(name)).collect();
        for place in list(&self.folder)? {
            if !there.contains(&place)
                && let Err(error) = remove_directory(&place)
            {
                tracing::warn!(%error, "a model that has gone stays in the cache for now");
            }
        }
        if let Err(error) = self.drop_arrived(&there) {
            tracing::warn!(%error, "what arrived of models that have gone stays in the cache for now");
        }
        Ok(there)
    }

    /// Brings one place that was listed in step. Blocks.
    pub(crate) fn bring(&self, place: &Path) -> Result<(), RemoteError> {
        let _turn = self.hold();
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        match ModelName::try_from(name.into_owned()) {
            Ok(name) => self.fetch(&name),
            Err(_) => Ok(()), // not ours
        }
    }

    /// Fetches what has come or changed and removes what has gone. A model that cannot be fetched is logged, and what
    /// the cache has of it stays. Blocks; an error is about the store as a whole.
    pub(crate) fn sync(&self) -> Result<(), RemoteError> {
        for place in self.look()? {
            match self.bring(&place) {
                Err(RemoteError::Ended) => return Err(RemoteError::Ended),
                Err(error) => {
                    let model = place.file_name().unwrap_or_default().to_string_lossy();
                    tracing::warn!(%model, %error, "model not fetched");
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Names of the models that have a manifest.
    fn names(&self) -> Result<BTreeSet<ModelName>, RemoteError> {
        use futures_util::TryStreamExt as _;
        let listed = self.store.list(Some(&self.prefix)).try_collect::<Vec<_>>();
        let listed = self.until_end(listed)?;
        let listed = listed.map_err(|source| self.unlisted(source))?;
        let manifests = listed.iter().filter_map(|object| {
            let mut parts = object.location.prefix_match(&self.prefix)?;
            let (name, part) = (parts.next()?, parts.next()?);
            (part.as_ref() == file::MANIFEST && parts.next().is_none())
                .then(|| ModelName::try_from(name.as_ref().to_owned()).ok())?
        });
        Ok(manifests.collect())
    }

    /// Waits for what was asked of the store, while the server runs.
    fn until_end<T>(&self, asked: impl Future<Output = T>) -> Result<T, RemoteError> {
        let answer = self.handle.block_on(self.ended.run_until_cancelled(asked));
        answer.ok_or(RemoteError::Ended)
    }

    fn place(&self, name: &ModelName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    /// Why there is no list. Of a list's failure the client does not say what kind it is; of an object's it does.
    fn unlisted(&self, source: object_store::Error) -> RemoteError {
        use object_store::Error;
        let probe = self.prefix.clone().join(file::MANIFEST);
        let probed = self.handle.block_on(self.store.head(&probe));
        let address = self.address.clone();
        match probed {
            Err(Error::NotFound { .. }) => RemoteError::Missing { address, source },
            Err(Error::Unauthenticated { .. } | Error::PermissionDenied { .. }) => {
                RemoteError::Credentials { address, source }
            }
            _ => self.failed(source),
        }
    }

    /// An error of the store, told by what is to be done about it.
    fn failed(&self, source: object_store::Error) -> RemoteError {
        use object_store::Error;
        let address = self.address.clone();
        match source {
            Error::NotFound { .. } => RemoteError::Missing { address, source },
            Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => {
                RemoteError::Credentials { address, source }
            }
            _ => RemoteError::Unreachable { address, source },
        }
    }
}

/// A file of the cache that could not be read or written.
fn cache(path: &Path, source: io::Error) -> RemoteError {
    let path = path.to_owned();
    RemoteError::Cache { path, source }
}

#[cfg(test)]
mod tests;
