//! From the store to the cache: a file at a time, by its digest, going on where a fetch broke off.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use detcon_core::digest::sha256_file;
use detcon_core::files::{Existing, StagedDirectory};
use detcon_core::model::{FileEntry, Manifest, ModelName, file};
use futures_util::TryStreamExt as _;
use object_store::path::Path as Key;
use object_store::{Error, GetOptions, GetRange};

use super::layout::{Head, Naming, damaged, entry, manifest};
use super::{Remote, RemoteError, cache};

/// Where fetched files wait for the rest of their model, in a folder for each model and each under its digest. The dot
/// keeps it out of the list.
const ARRIVING: &str = ".detcon-arriving";
/// Times that a model is begun with anew because another took its place while it was fetched.
const BEGINNINGS: usize = 4;

/// A model elsewhere, before its files.
struct Found {
    manifest: Manifest,
    /// The manifest as it is written.
    bytes: Vec<u8>,
    naming: Naming,
}

impl Remote {
    /// Brings one model in step: nothing is done where the cache has this manifest, or where there is none any more.
    pub(super) fn fetch(&self, name: &ModelName) -> Result<(), RemoteError> {
        let mut beginning = 1;
        while let Some(head) = self.head(name)? {
            let fetched = self.fetch_as(name, &head);
            // What its manifest says may have gone with the manifest.
            let replaced = matches!(fetched, Err(RemoteError::Damaged { .. }))
                && beginning < BEGINNINGS
                && self.head(name)?.as_ref() != Some(&head);
            if !replaced {
                return fetched;
            }
            beginning += 1;
        }
        Ok(())
    }

    /// Fetches the model that this head leads to.
    fn fetch_as(&self, name: &ModelName, head: &[u8]) -> Result<(), RemoteError> {
        let place = self.place(name);
        let cached = fs::read(place.join(file::MANIFEST)).ok();
        let arriving = self.folder.join(ARRIVING).join(name.as_str());
        let Some(found) = self.found(name, head, cached.as_deref(), &arriving)? else {
            return Ok(());
        };
        let mut arrived = Vec::new();
        for (part, entry) in &found.manifest.files {
            let key = self.file_key(name, found.naming, (part, entry));
            arrived.push((part, self.arrive(&key, entry, &arriving)?));
        }
        let staged = StagedDirectory::new(&place, Existing::Replace)?;
        for (part, file) in arrived {
            let place = staged.path().join(part);
            let folder = place.parent().unwrap_or(staged.path());
            // Two parts may have one digest: links, and no renames.
            let copied = fs::create_dir_all(folder).and_then(|()| fs::hard_link(&file, &place));
            copied.map_err(|source| cache(&file, source))?;
        }
        let written = fs::write(staged.path().join(file::MANIFEST), &found.bytes);
        written.map_err(|source| cache(&place, source))?;
        staged.commit()?;
        // Only files of models that did not arrive whole are worth keeping, and this one did.
        remove(&arriving).map_err(|source| cache(&arriving, source))?;
        tracing::info!(model = name.as_str(), store = self.address, "model fetched");
        Ok(())
    }

    /// The manifest that a head leads to; nothing where it is the one of the cache.
    fn found(
        &self,
        name: &ModelName,
        head: &[u8],
        cached: Option<&[u8]>,
        arriving: &Path,
    ) -> Result<Option<Found>, RemoteError> {
        if cached == Some(head) {
            return Ok(None);
        }
        match Head::read(&self.head_key(name), head)? {
            Head::Manifest(manifest) => Ok(Some(Found {
                manifest: *manifest,
                bytes: head.to_vec(),
                naming: Naming::Names,
            })),
            Head::Pointer(own) if cached.is_some_and(|cached| entry(cached) == own) => Ok(None),
            Head::Pointer(own) => {
                let key = self.object_key(name, &own);
                let file = self.arrive(&key, &own, arriving)?;
                let bytes = fs::read(&file).map_err(|source| cache(&file, source))?;
                Ok(Some(Found {
                    manifest: manifest(&key, &bytes)?,
                    bytes,
                    naming: Naming::Digests,
                }))
            }
        }
    }

    /// Fetches what is missing of a file; where it is when it is whole and has its digest.
    fn arrive(
        &self,
        key: &Key,
        entry: &FileEntry,
        arriving: &Path,
    ) -> Result<PathBuf, RemoteError> {
        fs::create_dir_all(arriving).map_err(|source| cache(arriving, source))?;
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
            let failed = |source| match source {
                Error::NotFound { .. } => damaged(key, "not there"),
                source => self.failed(source),
            };
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

    /// Removes what arrived of models that are not among those that are `there`.
    pub(super) fn drop_arrived(&self, there: &[PathBuf]) -> Result<(), RemoteError> {
        let arriving = self.folder.join(ARRIVING);
        let io = |source| cache(&arriving, source);
        let entries = match fs::read_dir(&arriving) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(io)?,
        };
        for entry in entries {
            let entry = entry.map_err(io)?;
            if !there.contains(&self.folder.join(entry.file_name())) {
                remove(&entry.path()).map_err(io)?;
            }
        }
        Ok(())
    }
}

/// Removes a folder, or a file as releases of before left them.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
