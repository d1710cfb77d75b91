//! From an address to a store.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use detcon_core::digest::sha256;
use detcon_core::files::sweep;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path as Key;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use tokio::runtime::Handle;
use tokio_rustls::rustls::crypto::ring;
use tokio_util::sync::CancellationToken;

use super::{Remote, RemoteError};

/// Tries after the first, where a store does not answer.
const RETRIES: usize = 3;
/// Longest time for a request with its tries.
const PATIENCE: Duration = Duration::from_secs(20);
/// A file may take long; a connection on which nothing arrives is given up.
const WAITS: [(ClientConfigKey, &str); 2] = [
    (ClientConfigKey::Timeout, "1 day"),
    (ClientConfigKey::ReadTimeout, "20 seconds"),
];
/// Digits of the digest that keeps two stores' folders in one cache apart.
const DIGITS: usize = 12;

impl Remote {
    /// Whether `models` is an address, and not a folder.
    pub(crate) fn is_address(models: &Path) -> bool {
        models.to_str().is_some_and(|models| models.contains("://"))
    }

    /// The store at `address`, with credentials from the environment, and its folder in `cache`, made where it is
    /// missing. Asks nothing of the store yet.
    pub(crate) fn open(address: &str, cache: &Path, handle: Handle) -> Result<Self, RemoteError> {
        provide_tls();
        let wrong = |reason: &dyn ToString| RemoteError::Address {
            address: address.to_owned(),
            reason: reason.to_string(),
        };
        let (scheme, rest) = address
            .split_once("://")
            .ok_or_else(|| wrong(&"no scheme"))?;
        let (_bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = Key::parse(prefix.trim_end_matches('/')).map_err(|error| wrong(&error))?;
        let store = store(scheme, address).map_err(|error| wrong(&error))?;
        let store = store.ok_or_else(|| wrong(&"its scheme is unknown"))?;
        Self::new(address, store, prefix, cache, handle)
    }

    /// The models under `prefix` in `store`.
    pub(super) fn new(
        address: &str,
        store: Arc<dyn ObjectStore>,
        prefix: Key,
        cache: &Path,
        handle: Handle,
    ) -> Result<Self, RemoteError> {
        let folder = cache.join(&sha256(address.trim_end_matches('/').as_bytes())[..DIGITS]);
        fs::create_dir_all(&folder).map_err(|source| RemoteError::Cache {
            path: folder.clone(),
            source,
        })?;
        sweep(&folder).map_err(|source| RemoteError::Cache {
            path: folder.clone(),
            source,
        })?;
        Ok(Self {
            address: address.to_owned(),
            store,
            prefix,
            folder,
            handle,
            turn: Mutex::new(()),
            ended: CancellationToken::new(),
        })
    }
}

fn store(scheme: &str, url: &str) -> object_store::Result<Option<Arc<dyn ObjectStore>>> {
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

/// Makes ring what TLS is computed with wherever this process does not say otherwise. The client library is built
/// without one of its own, and has to be told before the first client.
pub(crate) fn provide_tls() {
    // A provider that the process has already is as good.
    let _ = ring::default_provider().install_default();
}
