//! HTTP clients of this process.

use tokio_rustls::rustls::crypto::ring;

/// Makes ring what TLS is computed with wherever this process does not say otherwise. The client library is built
/// without one of its own, and has to be told before the first client.
pub(crate) fn provide_tls() {
    // A provider that the process has already is as good.
    let _ = ring::default_provider().install_default();
}

/// The builder of a client.
pub fn client() -> reqwest::ClientBuilder {
    provide_tls();
    reqwest::Client::builder()
}
