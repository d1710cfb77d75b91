//! From this server to the store: the model's objects, then the one that leads to them, then away with those of before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use detcon_core::model::{ModelDirectory, ModelName, file};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path as Key;
use object_store::{Error, ObjectMeta, ObjectStoreExt as _, WriteMultipart};

use super::layout::{Head, Naming, Pointer, entry, manifest};
use super::{Remote, RemoteError, cache};

/// Bytes of a part of an upload.
pub(super) const PART: usize = 8 << 20;
/// Parts on their way at the same time.
const PARTS: usize = 4;
/// Times that objects are written again which another server removed.
const ROUNDS: usize = 3;
/// How old an object is that no manifest leads to, before it counts as left by a server that was killed: before that,
/// another may be about to write the manifest.
const LEFT: Duration = Duration::from_hours(24);

impl Remote {
    /// Writes a model. Readers have the one before until the moment in which they have this one. Whoever calls holds the
    /// turn. Blocks.
    pub(crate) fn push(&self, directory: &ModelDirectory) -> Result<(), RemoteError> {
        let (name, path) = (&directory.manifest().name, directory.path());
        let own = path.join(file::MANIFEST);
        let own = entry(&fs::read(&own).map_err(|source| cache(&own, source))?);
        let files = directory.manifest().files.iter();
        let files = files.map(|(part, entry)| (self.object_key(name, entry), path.join(part)));
        let mut objects: BTreeMap<Key, PathBuf> = files.collect();
        objects.insert(self.object_key(name, &own), path.join(file::MANIFEST));
        for (key, path) in &objects {
            self.write(key, path)?;
        }
        let before = self.head(name)?;
        let pointer = Pointer::to_bytes(own);
        let head = self.head_key(name);
        let written = self.store.put(&head, pointer.clone().into());
        let written = self.handle.block_on(written);
        written.map_err(|source| self.failed(source))?;
        self.complete(name, &objects)?;
        let keep = objects.into_keys().collect();
        if let Err(error) = self.clear(name, &pointer, before.as_deref(), &keep) {
            tracing::warn!(model = name.as_str(), %error, "objects of the model before were left in the store");
        }
        Ok(())
    }

    /// Removes a model, what leads to it first. Whoever calls holds the turn. Blocks.
    pub(crate) fn delete(&self, name: &ModelName) -> Result<(), RemoteError> {
        match self
            .handle
            .block_on(self.store.delete(&self.head_key(name)))
        {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(source) => return Err(self.failed(source)),
        }
        let objects = self.objects(name)?.into_iter();
        self.delete_all(objects.map(|object| object.location))
    }

    /// Writes again what another server took away while it replaced the same model.
    fn complete(
        &self,
        name: &ModelName,
        objects: &BTreeMap<Key, PathBuf>,
    ) -> Result<(), RemoteError> {
        for _ in 0..ROUNDS {
            let there: BTreeSet<_> = self
                .objects(name)?
                .into_iter()
                .map(|it| it.location)
                .collect();
            let missing = objects.iter().filter(|(key, _)| !there.contains(*key));
            let missing: Vec<_> = missing.collect();
            if missing.is_empty() {
                break;
            }
            for (key, path) in missing {
                self.write(key, path)?;
            }
        }
        Ok(())
    }

    /// Removes the objects of the model `before`, and those that killed servers left, but for those to `keep`. Whoever
    /// wrote the model meanwhile does it instead.
    fn clear(
        &self,
        name: &ModelName,
        pointer: &[u8],
        before: Option<&[u8]>,
        keep: &BTreeSet<Key>,
    ) -> Result<(), RemoteError> {
        let replaced = before.map_or_else(BTreeSet::new, |before| self.objects_of(name, before));
        let objects = self.objects(name)?;
        if self.head(name)?.as_deref() != Some(pointer) {
            return Ok(());
        }
        let head = self.head_key(name);
        let old = objects.into_iter().filter(|object| {
            let key = &object.location;
            *key != head && !keep.contains(key) && (replaced.contains(key) || is_left(object))
        });
        self.delete_all(old.map(|object| object.location))
    }

    /// The objects of the model that a head leads to, as far as it can be read.
    fn objects_of(&self, name: &ModelName, head: &[u8]) -> BTreeSet<Key> {
        match Head::read(&self.head_key(name), head) {
            Ok(Head::Manifest(manifest)) => self.file_keys(name, &manifest, Naming::Names),
            Ok(Head::Pointer(own)) => {
                let key = self.object_key(name, &own);
                let bytes = self.handle.block_on(async {
                    let found = self.store.get(&key).await.ok()?;
                    found.bytes().await.ok()
                });
                let manifest = bytes.and_then(|bytes| manifest(&key, &bytes).ok());
                let mut keys = manifest.map_or_else(BTreeSet::new, |manifest| {
                    self.file_keys(name, &manifest, Naming::Digests)
                });
                keys.insert(key);
                keys
            }
            Err(_) => BTreeSet::new(),
        }
    }

    /// Everything that is there of a model.
    fn objects(&self, name: &ModelName) -> Result<Vec<ObjectMeta>, RemoteError> {
        let folder = self.prefix.clone().join(name.as_str());
        let listed = self.store.list(Some(&folder)).try_collect();
        let listed = self.handle.block_on(listed);
        listed.map_err(|source| self.failed(source))
    }

    fn delete_all(&self, keys: impl Iterator<Item = Key>) -> Result<(), RemoteError> {
        let keys: Vec<_> = keys.map(Ok).collect();
        let deleted = self.store.delete_stream(stream::iter(keys).boxed());
        let deleted = deleted.try_for_each(|_| std::future::ready(Ok(())));
        let deleted = self.handle.block_on(deleted);
        deleted.map_err(|source| self.failed(source))
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

/// Whether an object that nothing leads to was left by a server that was killed.
fn is_left(object: &ObjectMeta) -> bool {
    let written = SystemTime::from(object.last_modified);
    written.elapsed().is_ok_and(|age| age > LEFT)
}
