//! Load on a server: clients that send one request after the other, or requests that arrive whether or not earlier
//! ones are answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::task::JoinSet;

/// Longest wait for an answer: beyond every deadline that a server has by default.
const PATIENCE: Duration = Duration::from_mins(2);

/// The request that is sent again and again.
#[derive(Clone, Debug)]
pub struct Request {
    client: reqwest::Client,
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    /// A POST of an encoded image to `url`, with an API key where the server wants one.
    pub fn new(
        url: String,
        content_type: HeaderValue,
        body: Bytes,
        key: Option<&str>,
    ) -> Result<Self, reqwest::Error> {
        let client = super::client::client()
            .no_proxy()
            .timeout(PATIENCE)
            .pool_max_idle_per_host(usize::MAX)
            .build()?;
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
        if let Some(Ok(mut bearer)) = key.map(|key| HeaderValue::try_from(format!("Bearer {key}")))
        {
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        Ok(Self {
            client,
            url,
            headers,
            body,
        })
    }

    /// Sends it and reads the whole answer.
    async fn send(&self) -> Outcome {
        let request = self
            .client
            .post(&self.url)
            .headers(self.headers.clone())
            .body(self.body.clone());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Outcome::Failed(failure(&error)),
        };
        let (status, retry_after) = (answer.status(), answer.headers().get(RETRY_AFTER).is_some());
        match (status, answer.bytes().await) {
            (_, Err(error)) => Outcome::Failed(failure(&error)),
            (StatusCode::OK, Ok(_)) => Outcome::Answered,
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Ok(_)) => {
                Outcome::Refused { retry_after }
            }
            (status, Ok(body)) => {
                Outcome::Failed(format!("{status}: {}", String::from_utf8_lossy(&body)))
            }
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// 200 and a whole body.
    Answered,
    /// 429 or 503.
    Refused {
        /// Whether it said when to come back.
        retry_after: bool,
    },
    /// Any other status, or no answer.
    Failed(String),
}

/// The innermost reason, without the address that all share.
fn failure(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// What became of a load.
#[derive(Debug, Default)]
pub struct Tally {
    /// Latencies of answered requests; in an open loop, from when they should have been sent.
    pub answered: Vec<Duration>,
    /// Latencies of requests refused with 429 or 503.
    pub refused: Vec<Duration>,
    /// Refusals that did not say when to come back.
    pub without_retry_after: usize,
    /// All others, by reason.
    pub failed: BTreeMap<String, usize>,
    /// From the start to the last answer.
    pub elapsed: Duration,
}

impl Tally {
    fn count(&mut self, outcome: Outcome, latency: Duration) {
        match outcome {
            Outcome::Answered => self.answered.push(latency),
            Outcome::Refused { retry_after } => {
                self.refused.push(latency);
                self.without_retry_after += usize::from(!retry_after);
            }
            Outcome::Failed(reason) => *self.failed.entry(reason).or_default() += 1,
        }
    }

    /// With what another load's requests became, and the time that took.
    pub fn add(&mut self, other: Self) {
        self.elapsed += other.elapsed;
        self.answered.extend(other.answered);
        self.refused.extend(other.refused);
        self.without_retry_after += other.without_retry_after;
        for (reason, count) in other.failed {
            *self.failed.entry(reason).or_default() += count;
        }
    }

    /// Answered requests a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count below 2^53")]
    pub fn rate(&self) -> f64 {
        self.answered.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// `clients` that each send one request after the other for `span`.
pub async fn closed(request: &Request, clients: usize, span: Duration) -> Tally {
    let start = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let request = request.clone();
        running.spawn(async move {
            let mut tally = Tally::default();
            while start.elapsed() < span {
                let sent = Instant::now();
                let outcome = request.send().await;
                tally.count(outcome, sent.elapsed());
            }
            tally
        });
    }
    let mut whole = Tally::default();
    while let Some(done) = running.join_next().await {
        whole.add(done.unwrap_or_default());
    }
    whole.elapsed = start.elapsed();
    whole
}

/// Requests sent at `arrivals` after the start, whether or not earlier ones are answered.
pub async fn open(request: &Request, arrivals: &[Duration]) -> Tally {
    let start = tokio::time::Instant::now();
    let request = Arc::new(request.clone());
    let mut running = JoinSet::new();
    let mut whole = Tally::default();
    for &arrival in arrivals {
        tokio::time::sleep_until(start + arrival).await;
        let request = Arc::clone(&request);
        running.spawn(async move {
            (
                request.send().await,
                start.elapsed().saturating_sub(arrival),
            )
        });
        while let Some(done) = running.try_join_next() {
            count(&mut whole, done);
        }
    }
    while let Some(done) = running.join_next().await {
        count(&mut whole, done);
    }
    whole.elapsed = start.elapsed();
    whole
}

fn count(tally: &mut Tally, done: Result<(Outcome, Duration), tokio::task::JoinError>) {
    match done {
        Ok((outcome, latency)) => tally.count(outcome, latency),
        Err(error) => tally.count(Outcome::Failed(error.to_string()), Duration::ZERO),
    }
}

/// The value below which `share` of `values` lie (nearest rank); nothing where there are none.
#[must_use]
pub fn percentile(values: &[Duration], share: f64) -> Option<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank within the count of values"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let values = (1..=200).map(Duration::from_millis).collect::<Vec<_>>();
        let at = |share| percentile(&values, share).map(|it| it.as_millis());
        assert_eq!(at(0.0), Some(1));
        assert_eq!(at(0.5), Some(100));
        assert_eq!(at(0.99), Some(198));
        assert_eq!(at(1.0), Some(200));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
