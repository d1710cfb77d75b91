//! The HTTP client: one request at a time, redirects followed by hand, each held to the rules first.

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

use detcon_core::addresses::is_public;
use ureq::config::Config;
use ureq::http::{Response, Uri, header};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use super::cache::Partial;
use super::{FetchError, Patience};

/// How long to wait for a connection, and then for the first bytes of an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// What a server gives.
pub(super) enum Answer {
    /// The cached file is still right.
    NotModified,
    /// The file from its start.
    Whole(Content),
    /// What was missing of it.
    Rest(Content),
}

/// Bytes that come.
pub(super) struct Content {
    pub(super) reader: Box<dyn Read>,
    /// How many, if the server says.
    pub(super) length: Option<u64>,
    /// Of which version, if the server says.
    pub(super) etag: Option<String>,
}

/// A client for one address.
pub(super) struct Client {
    uri: Uri,
    patience: Patience,
}

impl Client {
    pub(super) fn new(uri: &Uri, patience: Patience) -> Self {
        Self {
            uri: uri.clone(),
            patience,
        }
    }

    /// Asks for the file: for what is missing of `partial`, or for all of it unless it is `cached` already.
    pub(super) fn get(
        &self,
        partial: Option<&Partial>,
        cached: Option<&str>,
    ) -> Result<Answer, FetchError> {
        let mut headers = Vec::new();
        if let Some(Partial { etag, bytes }) = partial {
            headers.push((header::RANGE, format!("bytes={bytes}-")));
            headers.push((header::IF_RANGE, etag.clone()));
        } else if let Some(etag) = cached {
            headers.push((header::IF_NONE_MATCH, etag.to_owned()));
        }
        let response = self.follow(&headers)?;
        match (response.status().as_u16(), partial) {
            (200, _) => Ok(Answer::Whole(content(response))),
            (206, Some(partial)) => {
                let starts = format!("bytes {}-", partial.bytes);
                match text(&response, &header::CONTENT_RANGE) {
                    Some(range) if range.starts_with(&starts) => {
                        Ok(Answer::Rest(content(response)))
                    }
                    range => Err(self.unusable(format!(
                        "asked for the bytes from {} on, it gives {range:?}",
                        partial.bytes
                    ))),
                }
            }
            // There is nothing after what is here: it was whole, or of a version that is gone.
            (416, Some(_)) => self.get(None, None),
            (304, None) if cached.is_some() => Ok(Answer::NotModified),
            (status, _) => Err(FetchError::Status {
                uri: self.uri.to_string(),
                status,
            }),
        }
    }

    /// The body of a JSON answer of at most `limit` bytes.
    pub(super) fn text(&self, limit: u64) -> Result<String, FetchError> {
        let mut response = self.follow(&[])?;
        if response.status() != 200 {
            return Err(FetchError::Status {
                uri: self.uri.to_string(),
                status: response.status().as_u16(),
            });
        }
        let body = response
            .body_mut()
            .with_config()
            .limit(limit)
            .read_to_string();
        body.map_err(|error| self.unusable(error.to_string()))
    }

    pub(super) fn unusable(&self, detail: String) -> FetchError {
        FetchError::Answer {
            uri: self.uri.to_string(),
            detail,
        }
    }

    fn follow(
        &self,
        headers: &[(header::HeaderName, String)],
    ) -> Result<Response<Body>, FetchError> {
        let mut at = self.uri.clone();
        let mut agent = agent(Addresses::Any, self.patience);
        for _ in 0..=MAX_REDIRECTS {
            let request = headers
                .iter()
                .fold(agent.get(at.clone()), |request, (name, value)| {
                    request.header(name, value)
                });
            let response = request.call().map_err(|source| FetchError::Unreachable {
                uri: at.to_string(),
                source: Box::new(source),
            })?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let target = text(&response, &header::LOCATION).unwrap_or_default();
            let refused = |reason| FetchError::Redirect {
                uri: at.to_string(),
                target: target.clone(),
                reason,
            };
            let next = resolve(&at, &target).ok_or_else(|| refused("that is no address"))?;
            if (next.scheme(), next.authority()) != (at.scheme(), at.authority()) {
                elsewhere(&next).map_err(refused)?;
                agent = self::agent(Addresses::Public, self.patience);
            }
            at = next;
        }
        Err(FetchError::Redirect {
            uri: self.uri.to_string(),
            target: at.to_string(),
            reason: "there are too many redirects",
        })
    }
}

fn agent(addresses: Addresses, patience: Patience) -> Agent {
    let config = Config::builder()
        .timeout_connect(Some(ANSWER_TIMEOUT))
        .timeout_recv_response(Some(ANSWER_TIMEOUT))
        // Each read of the body: a whole one may take hours.
        .timeout_per_read(Some(patience.0))
        .max_redirects(0)
        .http_status_as_error(false)
        .build();
    Agent::with_parts(
        config,
        DefaultConnector::default(),
        CheckedResolver { addresses },
    )
}

fn content(response: Response<Body>) -> Content {
    let etag = text(&response, &header::ETAG);
    let body = response.into_body();
    Content {
        length: body.content_length(),
        etag,
        reader: Box::new(body.into_reader()),
    }
}

fn text(response: &Response<Body>, name: &header::HeaderName) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

/// The address that a `Location` header at `at` means: absolute, or from the server's root on.
fn resolve(at: &Uri, target: &str) -> Option<Uri> {
    if target.starts_with('/') && !target.starts_with("//") {
        let (scheme, authority) = (at.scheme_str()?, at.authority()?);
        return format!("{scheme}://{authority}{target}").parse().ok();
    }
    let uri: Uri = target.parse().ok()?;
    uri.scheme().is_some().then_some(uri)
}

/// Whether a redirect may leave the server for `target`.
fn elsewhere(target: &Uri) -> Result<(), &'static str> {
    if target.scheme_str() != Some("https") {
        return Err("only https is");
    }
    let host = target.host().ok_or("it names no host")?;
    let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    if literal.is_some_and(|address| !is_public(address)) || host.eq_ignore_ascii_case("localhost")
    {
        return Err("it is a private address");
    }
    Ok(())
}

/// Addresses that a connection may go to.
#[derive(Clone, Copy, Debug)]
enum Addresses {
    /// Those that the user named.
    Any,
    /// Those on the open internet: a redirect leads there.
    Public,
}

/// Resolves names, and refuses those that a redirect gave for an address inside the network.
struct CheckedResolver {
    addresses: Addresses,
}

impl fmt::Debug for CheckedResolver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CheckedResolver({:?})", self.addresses)
    }
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        match self.addresses {
            Addresses::Any => Ok(found),
            Addresses::Public if found.iter().all(|address| is_public(address.ip())) => Ok(found),
            Addresses::Public => Err(ureq::Error::HostNotFound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_to_other_schemes_and_private_addresses_are_refused() {
        for target in [
            "http://example.com/x",
            "ftp://example.com/x",
            "https://127.0.0.1/x",
            "https://localhost/x",
            "https://10.1.2.3/x",
            "https://192.168.0.1/x",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/x",
            "https://[::1]/x",
            "https://[fe80::1]/x",
            "https://[fd00::1]/x",
            "https://[::ffff:10.0.0.1]/x",
        ] {
            assert!(elsewhere(&target.parse().unwrap()).is_err(), "{target}");
        }
        for target in [
            "https://example.com/x",
            "https://8.8.8.8/x",
            "https://[2606:4700::1]/x",
        ] {
            assert!(elsewhere(&target.parse().unwrap()).is_ok(), "{target}");
        }
    }
}
