//! Images that requests name by their address: only from origins that the command line lists, only to addresses on the
//! open internet (or wherever it allows), each redirect held to the same rules, never more than the limits.
//!
//! A name is resolved once for a connection, and the connection goes to the address that was checked: an answer of the
//! name's server that changes in between changes nothing.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Uri, header};
use bytes::Bytes;
use detcon_core::addresses::is_public;
use tokio::sync::Semaphore;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::origin::ImageOrigin;
use crate::engine::{Memory, NoRoom, Share};

/// Longest wait for one image, redirects included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 3;
/// Images that are fetched at the same time, for all requests together.
const AT_ONCE: usize = 16;

/// Bytes for which memory is taken at once.
const STEP: usize = 1 << 20;

/// Why an image was not fetched, as clients are told: nothing about what is inside the network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// A name that leads into a network, or nowhere.
    #[error("its address is not one that the server fetches from")]
    Address,
    /// A redirect to an origin that is not listed, or to no address at all.
    #[error("it leads to an origin that the server does not fetch from")]
    Redirect,
    /// Redirect after redirect.
    #[error("there are more than {MAX_REDIRECTS} redirects")]
    Redirects,
    /// Another answer than an image.
    #[error("the answer is {status}")]
    Status {
        /// HTTP's.
        status: u16,
    },
    /// More bytes than a body may have.
    #[error("it is larger than a request may be")]
    TooLarge,
    /// Not in time.
    #[error("it did not come in time")]
    Slow,
    /// No connection, or one that broke.
    #[error("the connection failed")]
    Connection,
    /// No memory for it at the moment.
    #[error("there is no memory for it at the moment")]
    NoRoom,
}

/// Room for an image: it is read in steps, and memory comes before each.
#[derive(Debug)]
pub(crate) struct Room {
    /// Most bytes.
    pub(crate) bytes: usize,
    /// Bytes that the share is for already.
    pub(crate) held: usize,
    /// Where there is more.
    pub(crate) memory: Memory,
    /// What the request has of it.
    pub(crate) share: Share,
}

impl Room {
    /// All that comes.
    fn fill(mut self, mut source: impl Read) -> Result<(Bytes, Share), FetchError> {
        let mut found = Vec::new();
        loop {
            // One byte more is enough to know that it is too large.
            let step = STEP.min(self.bytes.saturating_add(1) - found.len());
            let bytes = self.held + found.len() + step;
            let grown = self.memory.grow(&mut self.share, bytes as u64);
            grown.map_err(|NoRoom| FetchError::NoRoom)?;
            let read = source.by_ref().take(step as u64).read_to_end(&mut found);
            let read = read.map_err(|error| failed(&error.into()))?;
            if found.len() > self.bytes {
                return Err(FetchError::TooLarge);
            }
            if read == 0 {
                found.shrink_to_fit();
                self.share.shrink((self.held + found.len()) as u64);
                return Ok((found.into(), self.share));
            }
        }
    }
}

/// Gets images from listed origins; by default there are none.
#[derive(Clone, Default)]
pub(crate) struct Fetcher(Option<Arc<Inner>>);

struct Inner {
    origins: Vec<ImageOrigin>,
    agent: Agent,
    turns: Arc<Semaphore>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = self.0.as_ref().map_or(&[][..], |inner| &inner.origins);
        write!(f, "Fetcher({origins:?})")
    }
}

impl Fetcher {
    /// Fetches from these origins, `inside` of networks too where that is allowed.
    pub(crate) fn new(origins: Vec<ImageOrigin>, inside: bool) -> Self {
        if origins.is_empty() {
            return Self(None);
        }
        let config = Config::builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None) // it would resolve names, and unchecked
            .user_agent("detcon-server")
            .accept("image/*")
            .build();
        let resolver = CheckedResolver { inside };
        Self(Some(Arc::new(Inner {
            origins,
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        })))
    }

    /// An address that may be fetched from, or what is wrong with it.
    pub(crate) fn address(&self, text: &str) -> Result<Uri, &'static str> {
        let Some(inner) = &self.0 else {
            return Err(
                "addresses are not fetched: send the image itself as data:image/jpeg;base64,…",
            );
        };
        let address: Uri = text.parse().map_err(|_| "it is no address")?;
        if inner.lists(&address) {
            Ok(address)
        } else {
            Err(
                "images are not fetched from there: send the image itself as data:image/jpeg;base64,…",
            )
        }
    }

    /// An image for which there is room, with its share of the memory.
    pub(crate) async fn fetch(
        &self,
        address: Uri,
        room: Room,
    ) -> Result<(Bytes, Share), FetchError> {
        let inner = Arc::clone(self.0.as_ref().ok_or(FetchError::Redirect)?);
        let turn = Arc::clone(&inner.turns).acquire_owned().await;
        let turn = turn.map_err(|_| FetchError::Connection)?;
        let fetched = tokio::task::spawn_blocking(move || {
            let _turn = turn; // also where the request is gone
            inner.get(address, room)
        });
        fetched.await.map_err(|_| FetchError::Connection)?
    }
}

impl Inner {
    fn lists(&self, address: &Uri) -> bool {
        ImageOrigin::of(address).is_some_and(|origin| self.origins.contains(&origin))
    }

    fn get(&self, mut at: Uri, room: Room) -> Result<(Bytes, Share), FetchError> {
        for _ in 0..=MAX_REDIRECTS {
            if !self.lists(&at) {
                return Err(FetchError::Redirect);
            }
            let mut response = self.agent.get(&at).call().map_err(|error| failed(&error))?;
            match response.status().as_u16() {
                200 => {
                    let limit = room.bytes.saturating_add(1) as u64;
                    let body = response.body_mut().with_config().limit(limit);
                    return room.fill(body.reader());
                }
                301 | 302 | 303 | 307 | 308 => {
                    let target = response.headers().get(header::LOCATION);
                    let target = target.and_then(|target| target.to_str().ok());
                    at = target
                        .and_then(|target| resolve(&at, target))
                        .ok_or(FetchError::Redirect)?;
                }
                status => return Err(FetchError::Status { status }),
            }
        }
        Err(FetchError::Redirects)
    }
}

/// The address that a `Location` header at `at` means: absolute, or from the origin's root on.
fn resolve(at: &Uri, target: &str) -> Option<Uri> {
    if target.starts_with('/') && !target.starts_with("//") {
        let (scheme, authority) = (at.scheme_str()?, at.authority()?);
        return format!("{scheme}://{authority}{target}").parse().ok();
    }
    target.parse().ok()
}

/// What a client is told; the log has the rest.
fn failed(error: &ureq::Error) -> FetchError {
    tracing::debug!(%error, "an image could not be fetched");
    match error {
        ureq::Error::HostNotFound => FetchError::Address,
        ureq::Error::BodyExceedsLimit(_) => FetchError::TooLarge,
        ureq::Error::Timeout(_) => FetchError::Slow,
        _ => FetchError::Connection,
    }
}

/// Resolves names, and refuses those that lead into a network.
#[derive(Debug)]
struct CheckedResolver {
    /// Whether they may.
    inside: bool,
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let allowed = self.inside || found.iter().all(|address| is_public(address.ip()));
        allowed.then_some(found).ok_or(ureq::Error::HostNotFound)
    }
}

#[cfg(test)]
mod tests;
