//! Who may ask, from where, and over what.

use std::path::PathBuf;
use std::str::FromStr;

use axum::http::{HeaderValue, Uri};
use clap::Args;

/// Who may ask, from where, and over what.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Protection")]
pub struct ProtectArguments {
    /// File of API keys, a line SCOPE:KEY or SCOPE:sha256:HEX each, with a scope of inference, metrics or admin; read
    /// again at SIGHUP [default: everybody may ask].
    #[arg(long, env = "DETCON_API_KEYS", value_name = "FILE")]
    pub api_keys: Option<PathBuf>,
    /// Origin whose pages may ask from a browser, such as https://example.org, or * for every one; may be given
    /// several times [default: none].
    #[arg(
        long,
        env = "DETCON_CORS_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub cors_origin: Vec<Origin>,
    /// Certificate chain for TLS, PEM.
    #[arg(
        long,
        env = "DETCON_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM.
    #[arg(
        long,
        env = "DETCON_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
}

/// Where a page comes from (RFC 6454), or any place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Every page's.
    Any,
    /// Scheme, host and port.
    Exact(HeaderValue),
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let expected = "give scheme and host as https://example.org, with a port where it is not the usual one";
        let uri: Uri = text.parse().map_err(|_| expected)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(expected);
        };
        // As browsers write it: in lower case, and nothing after the host.
        let origin = format!("{scheme}://{authority}").to_ascii_lowercase();
        let known = scheme == "http" || scheme == "https";
        if !known || authority.as_str().contains('@') || text.to_ascii_lowercase() != origin {
            return Err(expected);
        }
        HeaderValue::from_str(&origin)
            .map(Self::Exact)
            .map_err(|_| expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        let exact = |text| Origin::Exact(HeaderValue::from_static(text));
        assert_eq!("*".parse(), Ok(Origin::Any));
        for origin in [
            "https://example.org",
            "http://localhost:3000",
            "http://[::1]:80",
        ] {
            assert_eq!(origin.parse(), Ok(exact(origin)));
        }
        assert_eq!(
            "HTTPS://Example.org".parse(),
            Ok(exact("https://example.org"))
        );
        for other in [
            "",
            "example.org",
            "https://",
            "https://example.org/",
            "https://example.org/page",
            "https://me@example.org",
            "ftp://example.org",
            "https://*.example.org\n",
        ] {
            assert!(other.parse::<Origin>().is_err(), "{other:?}");
        }
    }
}
