//! From the store to the cache: a file at a time, by its digest, going on where a fetch broke off.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use detcon_core::digest::sha256_file;
use detcon_core::files::{Existing, StagedDirectory};
use detcon_core::model::{FileEntry, Manifest, ModelName, file};
use futures_util::TryStreamExt as _;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStoreExt as _};

use super::{Remote, RemoteError, cache};

/// Where fetched files wait for the rest of their model, each under its digest. The dot keeps it out of the list.
const ARRIVING: &str = ".detcon-arriving";
/// Longest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

impl Remote {
    /// Brings one model in step: nothing is done where the cache has this manifest.
    pub(super) fn fetch(&self, name: &ModelName) -> Result<(), RemoteError> {
        let key = self.key(name, file::MANIFEST);
        let bytes = self.until_end(async {
            let found = self.store.get(&key).await?;
            if found.meta.size > MAX_MANIFEST_BYTES {
                return Ok(None);
            }
            found.bytes().await.map(Some)
        });
        let bytes = bytes?.map_err(|source| self.failed(source))?;
        let bytes = bytes.ok_or_else(|| damaged(&key, "too long for a manifest"))?;
        let place = self.place(name);
        if fs::read(place.join(file::MANIFEST)).is_ok_and(|cached| cached == bytes) {
            return Ok(());
        }
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| damaged(&key, &format!("no manifest: {error}")))?;
        let arriving = self.folder.join(ARRIVING);
        fs::create_dir_all(&arriving).map_err(|source| cache(&arriving, source))?;
        let mut arrived = Vec::new();
        for (part, entry) in &manifest.files {
            if !file::is_known(part) {
                return Err(damaged(
                    &key,
                    &format!("naming {part:?}, which is no file of a model"),
                ));
            }
            arrived.push((part, self.arrive(&self.key(name, part), entry, &arriving)?));
        }
        let staged = StagedDirectory::new(&place, Existing::Replace)?;
        for (part, file) in arrived {
            let place = staged.path().join(part);
            let folder = place.parent().unwrap_or(staged.path());
            // Two parts may have one digest: links, and no renames.
            let copied = fs::create_dir_all(folder).and_then(|()| fs::hard_link(&file, &place));
            copied.map_err(|source| cache(&file, source))?;
        }
        let written = fs::write(staged.path().join(file::MANIFEST), &bytes);
        written.map_err(|source| cache(&place, source))?;
        staged.commit()?;
        // Only files of models that did not arrive whole are worth keeping, and this one did.
        fs::remove_dir_all(&arriving).map_err(|source| cache(&arriving, source))?;
        tracing::info!(model = name.as_str(), store = self.address, "model fetched");
        Ok(())
    }

    /// Fetches what is missing of a file; where it is when it is whole and has its digest.
    fn arrive(
        &self,
        key: &Key,
        entry: &FileEntry,
        arriving: &Path,
    ) -> Result<PathBuf, RemoteError> {
        if entry.sha256.len() != 64 || !entry.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(damaged(key, "listed with a digest that is none"));
        }
        let place = arriving.join(&entry.sha256);
        let io = |source| cache(&place, source);
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&place)
            .map_err(io)?;
        let have = file.metadata().map_err(io)?.len();
        if have < entry.bytes {
            let options = GetOptions {
                range: Some(GetRange::Bounded(have..entry.bytes)),
                ..GetOptions::default()
            };
            let failed = |source| self.failed(source);
            let found = self.until_end(self.store.get_opts(key, options))?;
            let mut pieces = found.map_err(failed)?.into_stream();
            while let Some(piece) = self.until_end(pieces.try_next())?.map_err(failed)? {
                file.write_all(&piece).map_err(io)?;
            }
        }
        let (digest, bytes) = sha256_file(&place).map_err(io)?;
        if digest == entry.sha256 && bytes == entry.bytes {
            return Ok(place);
        }
        fs::remove_file(&place).map_err(io)?;
        Err(damaged(key, "not what its manifest says"))
    }
}

fn damaged(key: &Key, reason: &str) -> RemoteError {
    RemoteError::Damaged {
        object: key.to_string(),
        reason: reason.to_owned(),
    }
}
