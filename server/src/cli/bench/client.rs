//! HTTP clients that load a server, or ask it.

use crate::models::store::provide_tls;

/// The builder of a client.
pub fn client() -> reqwest::ClientBuilder {
    provide_tls();
    reqwest::Client::builder()
}
