//! Origins: of pages that may ask from a browser, and of images that may be fetched.

use std::str::FromStr;

use axum::http::{HeaderValue, Uri};

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
        if authority.host().contains('*') {
            return Err("a host is named as a whole: give each origin, or * for every one");
        }
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
