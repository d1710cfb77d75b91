//! From this server to the store.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use detcon_core::model::{ModelDirectory, ModelName, file};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt as _, WriteMultipart};

use super::{Remote, RemoteError, cache};

/// Bytes of a part of an upload.
const PART: usize = 8 << 20;
/// Parts on their way at the same time.
const PARTS: usize = 4;

impl Remote {
    /// Writes a model, its manifest last. Whoever calls holds the turn. Blocks.
    pub(crate) fn push(&self, directory: &ModelDirectory) -> Result<(), RemoteError> {
        let manifest = directory.manifest();
        for part in manifest
            .files
            .keys()
            .map(String::as_str)
            .chain([file::MANIFEST])
        {
            self.write(
                &self.key(&manifest.name, part),
                &directory.path().join(part),
            )?;
        }
        Ok(())
    }

    /// Removes a model, its manifest first. Whoever calls holds the turn. Blocks.
    pub(crate) fn delete(&self, name: &ModelName) -> Result<(), RemoteError> {
        let (store, failed) = (&self.store, |source| self.failed(source));
        let manifest = self.key(name, file::MANIFEST);
        self.handle.block_on(async {
            match store.delete(&manifest).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(failed(source)),
            }
            let folder = self.prefix.clone().join(name.as_str());
            let parts = store.list(Some(&folder)).map_ok(|part| part.location);
            let parts: Vec<Key> = parts.try_collect().await.map_err(failed)?;
            let parts = stream::iter(parts.into_iter().map(Ok)).boxed();
            let deleted: Vec<Key> = store
                .delete_stream(parts)
                .try_collect()
                .await
                .map_err(failed)?;
            drop(deleted);
            Ok(())
        })
    }

    fn write(&self, key: &Key, path: &Path) -> Result<(), RemoteError> {
        let (handle, failed) = (&self.handle, |source| self.failed(source));
        let io = |source| cache(path, source);
        let mut file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() <= PART as u64 {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(io)?;
            let written = handle.block_on(self.store.put(key, bytes.into()));
            return written.map(drop).map_err(failed);
        }
        let upload = handle
            .block_on(self.store.put_multipart(key))
            .map_err(failed)?;
        // Its parts are tasks of the runtime.
        let _entered = handle.enter();
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut piece = vec![0; PART];
        loop {
            let read = match file.read(&mut piece) {
                Ok(read) => read,
                Err(source) => {
                    let _ = handle.block_on(upload.abort()); // the store clears what is left of it
                    return Err(io(source));
                }
            };
            if read == 0 {
                return handle.block_on(upload.finish()).map(drop).map_err(failed);
            }
            handle
                .block_on(upload.wait_for_capacity(PARTS))
                .map_err(failed)?;
            upload.write(&piece[..read]);
        }
    }
}
