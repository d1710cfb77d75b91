//! From an address, or a path, to a place and a name in it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path as Key;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use tokio_rustls::rustls::crypto::ring;

use super::bucket::Bucket;
use super::folder::Folder;
use super::{Place, PlaceError};

/// Tries after the first, where a store does not answer.
const RETRIES: usize = 8;
/// Longest time for a request with its tries.
const PATIENCE: Duration = Duration::from_mins(2);
/// A stream may take long; a connection on which nothing arrives is given up.
const WAITS: [(ClientConfigKey, &str); 2] = [
    (ClientConfigKey::Timeout, "1 day"),
    (ClientConfigKey::ReadTimeout, "20 seconds"),
];

/// A path of this machine, or the address of an object or of a folder of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `s3://BUCKET`, or the folder `/` or `.`.
    base: String,
    /// The rest, without slashes at its ends.
    name: String,
}

impl Address {
    /// Reads a path or an address.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let wrong = |reason: &str| PlaceError::Address {
            address: text.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some((scheme, rest)) = text.split_once("://") {
            let (bucket, name) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(wrong("it names no bucket"));
            }
            return Ok(Self {
                base: format!("{scheme}://{bucket}"),
                name: name.trim_matches('/').to_owned(),
            });
        }
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        let base = if text.starts_with('/') { "/" } else { "." };
        let mut name = PathBuf::new();
        for part in Path::new(text).components() {
            match part {
                Component::Normal(part) => name.push(part),
                Component::ParentDir => name.push(".."),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(Self {
            base: base.to_owned(),
            name: name.to_string_lossy().into_owned(),
        })
    }

    /// What it is in its place.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether another address is this one, or lies below it.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        let below = other.name.strip_prefix(self.name.as_str());
        self.base == other.base
            && below.is_some_and(|rest| {
                self.name.is_empty() || rest.is_empty() || rest.starts_with('/')
            })
    }

    /// The folder that it lies in, and its own name.
    #[must_use]
    pub fn split(&self) -> (Self, String) {
        let (folder, name) = self.name.rsplit_once('/').unwrap_or(("", &self.name));
        let folder = Self {
            base: self.base.clone(),
            name: folder.to_owned(),
        };
        (folder, name.to_owned())
    }

    /// What leads to `path` from this folder: a path below it, or an address or path of its own.
    pub fn join(&self, path: &str) -> Result<Self, PlaceError> {
        if path.contains("://") || path.starts_with('/') {
            return Self::parse(path);
        }
        let below = Self::parse(path)?.name;
        Ok(Self {
            base: self.base.clone(),
            name: format!("{}/{below}", self.name)
                .trim_matches('/')
                .to_owned(),
        })
    }
}

/// Places by their addresses, each opened once.
#[derive(Debug, Default)]
pub struct Places {
    open: Mutex<BTreeMap<String, Place>>,
}

impl Places {
    /// The place that an address begins with: everything of a bucket, or of this machine.
    pub fn root(&self, address: &Address) -> Result<Place, PlaceError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = open.get(&address.base) {
            return Ok(Arc::clone(place));
        }
        let place = place(&address.base, "")?;
        open.insert(address.base.clone(), Arc::clone(&place));
        Ok(place)
    }

    /// The folder at an address. Nothing is asked of it yet.
    pub fn folder(&self, address: &Address) -> Result<Place, PlaceError> {
        place(&address.base, &address.name)
    }
}

fn place(base: &str, name: &str) -> Result<Place, PlaceError> {
    let Some((scheme, _)) = base.split_once("://") else {
        return Ok(Arc::new(Folder::new(Path::new(base).join(name))));
    };
    let wrong = |reason: &dyn ToString| PlaceError::Address {
        address: base.to_owned(),
        reason: reason.to_string(),
    };
    let prefix = Key::parse(name).map_err(|error| wrong(&error))?;
    let store = store(scheme, base).map_err(|error| wrong(&error))?;
    let store = store.ok_or_else(|| wrong(&"its scheme is unknown"))?;
    Ok(Arc::new(Bucket::new(base.to_owned(), store, prefix)))
}

/// The store of a bucket's address, with credentials from the environment.
fn store(scheme: &str, url: &str) -> object_store::Result<Option<Arc<dyn ObjectStore>>> {
    // The client library is built without a provider of TLS. One that the process has already is as good.
    let _ = ring::default_provider().install_default();
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: PATIENCE,
        ..RetryConfig::default()
    };
    Ok(Some(match scheme {
        "s3" => {
            let builder = AmazonS3Builder::from_env().with_url(url).with_retry(retry);
            let builder = WAITS.into_iter().fold(builder, |builder, (key, wait)| {
                builder.with_config(AmazonS3ConfigKey::Client(key), wait)
            });
            Arc::new(builder.build()?)
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(url);
            let builder = WAITS.into_iter().fold(builder, |builder, (key, wait)| {
                builder.with_config(GoogleConfigKey::Client(key), wait)
            });
            Arc::new(builder.with_retry(retry).build()?)
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(url);
            let builder = WAITS.into_iter().fold(builder, |builder, (key, wait)| {
                builder.with_config(AzureConfigKey::Client(key), wait)
            });
            Arc::new(builder.with_retry(retry).build()?)
        }
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, String) {
        let Address { base, name } = Address::parse(text).unwrap();
        (base, name)
    }

    #[test]
    fn addresses_are_a_place_and_a_name_in_it() {
        for (text, base, name) in [
            ("s3://bucket/a/b/", "s3://bucket", "a/b"),
            ("s3://bucket", "s3://bucket", ""),
            ("/data/photos/", "/", "data/photos"),
            ("./photos//a", ".", "photos/a"),
            ("../photos", ".", "../photos"),
            (".", ".", ""),
        ] {
            assert_eq!(parsed(text), (base.to_owned(), name.to_owned()), "{text}");
        }
        assert!(Address::parse("s3:///a").is_err() && Address::parse("").is_err());
    }

    #[test]
    fn a_folder_holds_itself_and_what_lies_below_it() {
        let holds = |one: &str, other: &str| {
            Address::parse(one)
                .unwrap()
                .holds(&Address::parse(other).unwrap())
        };
        assert!(holds("photos", "photos/out") && holds("s3://b", "s3://b/a") && holds("a/", "./a"));
        assert!(!holds("photos", "photos2") && !holds("s3://b/a", "s3://c/a/b"));
    }

    #[test]
    fn what_a_list_names_is_below_its_folder_or_has_an_address_of_its_own() {
        let folder = Address::parse("s3://bucket/lists").unwrap();
        let joined = |path: &str| folder.join(path).unwrap();
        assert_eq!(
            joined("a/b.jpg"),
            Address::parse("s3://bucket/lists/a/b.jpg").unwrap()
        );
        assert_eq!(
            joined("gs://other/b"),
            Address::parse("gs://other/b").unwrap()
        );
        assert_eq!(joined("/b"), Address::parse("/b").unwrap());
    }
}
