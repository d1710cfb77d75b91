//! Where a model's objects are, and what its manifest's object says of that.
//!
//! A server writes `NAME/objects/SHA256`, one object for each file and one for the manifest, and then
//! `NAME/manifest.json`, which names the manifest's digest: the one object that is ever written over, and so the one
//! moment in which a model takes another's place. Where a model's directory was copied to the store, `NAME/FILE` are its
//! objects, and `NAME/manifest.json` is the manifest itself.

use std::collections::BTreeSet;

use detcon_core::digest::sha256;
use detcon_core::model::{FileEntry, Manifest, ModelName, file};
use object_store::path::Path as Key;
use serde::{Deserialize, Serialize};

use super::{Remote, RemoteError};

/// The folder of the objects that are called by their digests.
const OBJECTS: &str = "objects";
/// Longest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// What `NAME/manifest.json` holds where the objects are called by their digests. A server of before takes it for a
/// manifest and refuses it by its only field, which therefore is a sentence; what it has in its cache it serves on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pointer {
    #[serde(rename = "this store needs a newer detcon-server: its files lie under their digests")]
    manifest: FileEntry,
}

/// What a model's manifest object leads to.
#[derive(Debug)]
pub(super) enum Head {
    /// The manifest itself; its files have their own names.
    Manifest(Box<Manifest>),
    /// To the manifest; it and its files are called by their digests.
    Pointer(FileEntry),
}

/// How a model's objects are called.
#[derive(Clone, Copy, Debug)]
pub(super) enum Naming {
    /// As the files of its directory are.
    Names,
    /// By their digests.
    Digests,
}

impl Pointer {
    /// To the manifest that this is the entry of.
    pub(super) fn to_bytes(manifest: FileEntry) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(&Self { manifest }).expect("an entry is plain data");
        bytes.push(b'\n');
        bytes
    }
}

impl Head {
    /// Reads the object at `key`.
    pub(super) fn read(key: &Key, bytes: &[u8]) -> Result<Self, RemoteError> {
        if let Ok(Pointer { manifest }) = serde_json::from_slice(bytes) {
            check(key, &manifest)?;
            return Ok(Self::Pointer(manifest));
        }
        manifest(key, bytes).map(|manifest| Self::Manifest(Box::new(manifest)))
    }
}

/// Reads a manifest, all of whose files are such as a model has, with digests.
pub(super) fn manifest(key: &Key, bytes: &[u8]) -> Result<Manifest, RemoteError> {
    let manifest: Manifest = serde_json::from_slice(bytes)
        .map_err(|error| damaged(key, &format!("no manifest: {error}")))?;
    for (part, entry) in &manifest.files {
        if !file::is_known(part) {
            let reason = format!("naming {part:?}, which is no file of a model");
            return Err(damaged(key, &reason));
        }
        digest(key, entry)?;
    }
    Ok(manifest)
}

/// That an entry may be a manifest's.
fn check(key: &Key, entry: &FileEntry) -> Result<(), RemoteError> {
    digest(key, entry)?;
    if entry.bytes > MAX_MANIFEST_BYTES {
        return Err(damaged(key, "too long for a manifest"));
    }
    Ok(())
}

fn digest(key: &Key, entry: &FileEntry) -> Result<(), RemoteError> {
    let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if entry.sha256.len() == 64 && entry.sha256.bytes().all(digits) {
        return Ok(());
    }
    Err(damaged(key, "listing a digest that is none"))
}

/// What a file's entry in a manifest is.
pub(super) fn entry(bytes: &[u8]) -> FileEntry {
    FileEntry {
        bytes: bytes.len() as u64,
        sha256: sha256(bytes),
    }
}

impl Remote {
    /// The object of which there is one for each model: its manifest, or what leads there.
    pub(super) fn head_key(&self, name: &ModelName) -> Key {
        self.key(name, file::MANIFEST)
    }

    /// The object that is called by its digest.
    pub(super) fn object_key(&self, name: &ModelName, entry: &FileEntry) -> Key {
        self.key(name, OBJECTS).join(entry.sha256.as_str())
    }

    /// The object of a file.
    pub(super) fn file_key(
        &self,
        name: &ModelName,
        naming: Naming,
        (part, entry): (&str, &FileEntry),
    ) -> Key {
        match naming {
            Naming::Names => self.key(name, part),
            Naming::Digests => self.object_key(name, entry),
        }
    }

    /// The objects of all files of a manifest.
    pub(super) fn file_keys(
        &self,
        name: &ModelName,
        manifest: &Manifest,
        naming: Naming,
    ) -> BTreeSet<Key> {
        let files = manifest.files.iter();
        files
            .map(|(part, entry)| self.file_key(name, naming, (part, entry)))
            .collect()
    }

    /// What is at a model's head; nothing where there is none.
    pub(super) fn head(&self, name: &ModelName) -> Result<Option<Vec<u8>>, RemoteError> {
        use object_store::{Error, ObjectStoreExt as _};
        let key = self.head_key(name);
        let bytes = self.until_end(async {
            let found = self.store.get(&key).await?;
            if found.meta.size > MAX_MANIFEST_BYTES {
                return Ok(None);
            }
            found.bytes().await.map(Some)
        });
        match bytes? {
            Ok(Some(bytes)) => Ok(Some(bytes.to_vec())),
            Ok(None) => Err(damaged(&key, "too long for a manifest")),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn key(&self, name: &ModelName, file: &str) -> Key {
        let model = self.prefix.clone().join(name.as_str());
        file.split('/').fold(model, Key::join)
    }
}

/// An object that is not what it should be.
pub(super) fn damaged(key: &Key, reason: &str) -> RemoteError {
    RemoteError::Damaged {
        object: key.to_string(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server of before does with it: `serde_json` over `Manifest`, and its error in the log.
    #[test]
    fn a_server_of_before_refuses_a_pointer_by_a_sentence() {
        let pointer = Pointer::to_bytes(entry(b"manifest"));
        let refused = serde_json::from_slice::<Manifest>(&pointer).unwrap_err();
        let sentence = "unknown field `this store needs a newer detcon-server: its files lie under their digests`";
        assert!(refused.to_string().starts_with(sentence), "{refused}");
    }

    #[test]
    fn a_pointer_that_leads_elsewhere_is_refused() {
        let key = Key::from("prefix/a/manifest.json");
        let good = entry(b"manifest");
        for (bytes, digest) in [
            (1 << 21, good.sha256.clone()),
            (1, "../../b/manifest.json".to_owned()),
            (1, "A".repeat(64)),
        ] {
            let sha256 = digest.clone();
            let pointer = Pointer::to_bytes(FileEntry { bytes, sha256 });
            assert!(Head::read(&key, &pointer).is_err(), "{digest}");
        }
        let read = Head::read(&key, &Pointer::to_bytes(good.clone()));
        assert!(matches!(read, Ok(Head::Pointer(entry)) if entry == good));
    }
}
