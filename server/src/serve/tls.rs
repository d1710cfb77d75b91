//! TLS by rustls: a certificate chain and its key from PEM files, HTTP/2 where the client can.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// HTTP/2, as it is agreed on (RFC 7301).
pub(crate) const HTTP2: &[u8] = b"h2";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{flag} {}: {source}", path.display())]
    Read {
        /// Which it is.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{flag} {}: there is no {expected} in it; give a PEM file", path.display())]
    Pem {
        /// Which it is.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// The key is not the certificate's, or of a kind that is not known.
    #[error("--tls-cert {} and --tls-key {} do not go together: {source}", cert.display(), key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// What makes connections secret, from the files of a certificate chain and its key.
pub(crate) fn config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let (flag, expected) = ("--tls-cert", "certificate");
    let text = read(flag, cert)?;
    let wrong = |flag, path: &Path, expected| TlsError::Pem {
        flag,
        path: path.to_owned(),
        expected,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, pem::Error>>()
        .map_err(|_| wrong(flag, cert, expected))?;
    if chain.is_empty() {
        return Err(wrong(flag, cert, expected));
    }
    let (flag, expected) = ("--tls-key", "private key");
    let private =
        PrivateKeyDer::from_pem_slice(&read(flag, key)?).map_err(|_| wrong(flag, key, expected))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| {
            config
                .with_no_client_auth()
                .with_single_cert(chain, private)
        })
        .map_err(|source| TlsError::Pair {
            cert: cert.to_owned(),
            key: key.to_owned(),
            source,
        })?;
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        flag,
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn files_that_do_not_make_a_pair_are_named_by_their_flag() {
        let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (one, other) = (make(), make());
        let (cert, key) = (
            file(&one.cert.pem()),
            file(&one.signing_key.serialize_pem()),
        );
        assert!(config(cert.path(), key.path()).is_ok());
        let other = file(&other.signing_key.serialize_pem());
        let empty = file("");
        let missing = Path::new("/nowhere/key.pem");
        for (cert, key, expected) in [
            (key.path(), key.path(), "--tls-cert"),
            (empty.path(), key.path(), "--tls-cert"),
            (cert.path(), cert.path(), "--tls-key"),
            (cert.path(), missing, "--tls-key /nowhere/key.pem"),
            (cert.path(), other.path(), "do not go together"),
        ] {
            let error = config(cert, key).expect_err("it is refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
