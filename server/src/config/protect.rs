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
    /// Origin whose pages may ask from a browser, such as `https://example.org`, or * for every one; may be
    /// given several times [default: none].
    #[arg(
        long,
        env = "DETCON_CORS_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub cors_origin: Vec<Origin>,
    /// Origin that images may be fetched from when a request names them by address, such as
    /// `https://images.example.org`; may be given several times, and http only where it is written so [default: none, nothing is fetched].
    #[arg(
        long,
        env = "DETCON_ALLOW_URL",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub allow_url: Vec<ImageOrigin>,
    /// Also fetches from addresses inside networks (private, loopback, link-local), for those origins.
    #[arg(long, env = "DETCON_ALLOW_PRIVATE_ADDRESSES", requires = "allow_url")]
    pub allow_private_addresses: bool,
    /// Serves no page at / to try the models with in a browser.
    #[arg(long, env = "DETCON_NO_PLAYGROUND")]
    pub no_playground: bool,
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

/// Where images may be fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageOrigin {
    scheme: String,
    host: String,
    port: u16,
}

impl ImageOrigin {
    /// The origin of an address, if it has one that can be fetched from.
    #[must_use]
    pub fn of(address: &Uri) -> Option<Self> {
        let scheme = address.scheme_str()?.to_owned();
        let port = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let authority = address.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        Some(Self {
            scheme,
            host: authority.host().to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(port),
        })
    }
}

impl FromStr for ImageOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "give an origin as https://images.example.org";
        let address: Uri = text.parse().map_err(|_| expected)?;
        match Origin::from_str(text)? {
            Origin::Any => Err(expected),
            Origin::Exact(_) => Self::of(&address).ok_or(expected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_one_origin() {
        let of = |text: &str| ImageOrigin::of(&text.parse().unwrap());
        let origin: ImageOrigin = "https://images.example.org".parse().unwrap();
        for same in [
            "https://images.example.org/a.jpg?b",
            "HTTPS://Images.example.ORG:443/",
        ] {
            assert_eq!(of(same).as_ref(), Some(&origin), "{same}");
        }
        for other in [
            "http://images.example.org/a.jpg",
            "https://images.example.org:8443/a.jpg",
            "https://images.example.org.evil.test/",
            "https://evil.test/images.example.org",
            "https://images.example.org@evil.test/",
            "https://evil.test@images.example.org/",
            "ftp://images.example.org/",
        ] {
            assert_ne!(of(other).as_ref(), Some(&origin), "{other}");
        }
        for wrong in ["*", "images.example.org", "https://images.example.org/a"] {
            assert!(wrong.parse::<ImageOrigin>().is_err(), "{wrong}");
        }
    }

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
