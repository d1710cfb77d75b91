//! Requests that a page of another site makes its visitor's browser send. Where there are no keys, nothing else tells
//! them from the operator's own.
//!
//! Browsers say where a request comes from: `Sec-Fetch-Site` (W3C Fetch Metadata), and older ones `Origin`. What says
//! neither comes from no browser. Go's `net/http` decides alike (`CrossOriginProtection.Check` in its `csrf.go`).

use axum::http::{HeaderMap, HeaderValue, Uri, header};

use crate::http::{Origin, Problem};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Refuses a request of a browser's that a page of another origin makes, unless that is among `origins`.
pub(super) fn check(uri: &Uri, headers: &HeaderMap, origins: &[Origin]) -> Result<(), Problem> {
    let origin = headers.get(header::ORIGIN);
    let own = match headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => true,
        Some(_) => false,
        None => origin.is_none_or(|origin| is_of(origin, uri, headers)),
    };
    let listed = |listed: &Origin| match listed {
        Origin::Any => true,
        Origin::Exact(exact) => Some(exact) == origin,
    };
    if own || origins.iter().any(listed) {
        Ok(())
    } else {
        Err(Problem::CrossSite)
    }
}

/// Whether an origin is of the host that was asked.
fn is_of(origin: &HeaderValue, uri: &Uri, headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = uri
        .authority()
        .map_or(host, |authority| Some(authority.as_str()));
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_scheme, of)| host.is_some_and(|host| of.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "localhost:8080";

    fn allowed(headers: &[(&'static str, &str)], origins: &[&str]) -> bool {
        let pairs = headers.iter().chain(&[("host", HERE)]);
        let headers = pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let origins: Vec<_> = origins
            .iter()
            .map(|origin| origin.parse().unwrap())
            .collect();
        check(&Uri::from_static("/"), &headers.collect(), &origins).is_ok()
    }

    #[test]
    fn pages_of_this_server_and_what_is_no_browser_may_ask_and_others_where_they_are_listed() {
        let (site, origin) = ("sec-fetch-site", "origin");
        let there = "https://there.example";
        for (headers, own) in [
            (&[][..], true),
            (
                &[(site, "same-origin"), (origin, "http://localhost:8080")],
                true,
            ),
            (&[(site, "none")], true),
            (&[(origin, "http://localhost:8080")], true),
            (&[(origin, "http://LOCALHOST:8080")], true),
            (&[(site, "cross-site"), (origin, there)], false),
            (&[(site, "same-site"), (origin, there)], false),
            (
                &[(site, "cross-site"), (origin, "http://localhost:8080")],
                false,
            ),
            (&[(origin, there)], false),
            (&[(origin, "http://localhost:8081")], false),
            (&[(origin, "http://localhost:8080.there.example")], false),
            (&[(origin, "null")], false),
            (&[(site, "cross-site")], false),
            (&[(site, "whatever comes"), (origin, there)], false),
        ] {
            assert_eq!(allowed(headers, &[]), own, "{headers:?}");
            assert_eq!(
                allowed(headers, &["https://other.example"]),
                own,
                "{headers:?}"
            );
            assert!(allowed(headers, &["*"]), "{headers:?}");
            let is_there = headers.contains(&(origin, there));
            assert_eq!(allowed(headers, &[there]), own || is_there, "{headers:?}");
        }
    }
}
