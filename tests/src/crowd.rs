//! A crowd of clients: images of many sizes and formats to every route that takes one, hostile requests, clients that
//! leave midway; and what became of every request.

mod bodies;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub use bodies::ROUTES;
use bodies::{Body, MAP, MAX_ANSWER};

/// A status, or why there is none.
type Answer = Result<u16, Box<dyn Error + Send + Sync>>;

/// Longest that a client waits before it leaves.
const STAY: Duration = Duration::from_millis(20);
/// How long the server waits for the rest of a body, and for a client to take some of its answer, in seconds.
const WAIT: u32 = 5;
/// What such a client's stream takes, in bytes.
const WINDOW: u32 = 1024;
/// When the server must have ended a stream that nothing is taken of.
const ENDED: Duration = Duration::from_secs(2 * WAIT as u64);

/// Flags of the server that a crowd is sent to.
#[must_use]
pub fn flags() -> [String; 4] {
    [
        "--max-answer-bytes".to_owned(),
        MAX_ANSWER.to_string(),
        "--request-timeout".to_owned(),
        WAIT.to_string(),
    ]
}

/// How many do what.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Requests in all: one in ten hostile, one in ten left midway.
    pub requests: usize,
    /// At the same time.
    pub clients: usize,
    /// Of all that is random.
    pub seed: u64,
}

/// What became of the requests of a crowd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Images answered with 200.
    pub answered: usize,
    /// Images and hostile bodies answered with 429 or 503.
    pub refused: usize,
    /// Hostile bodies answered with another 4xx, by status.
    pub rejected: BTreeMap<u16, usize>,
    /// Requests whose client left before the answer.
    pub left: usize,
    /// Answers that the server ended, since their clients took nothing of them.
    pub ended: usize,
    /// Whatever should not have been: an image rejected, a hostile body answered, a 5xx, no answer.
    pub wrong: BTreeMap<String, usize>,
}

impl Outcomes {
    /// Requests in all.
    #[must_use]
    pub fn requests(&self) -> usize {
        let counted = self.rejected.values().chain(self.wrong.values());
        self.answered + self.refused + self.left + self.ended + counted.sum::<usize>()
    }

    /// Those of another crowd too.
    pub fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        self.left += other.left;
        self.ended += other.ended;
        for (status, count) in other.rejected {
            *self.rejected.entry(status).or_default() += count;
        }
        for (what, count) in other.wrong {
            *self.wrong.entry(what).or_default() += count;
        }
    }

    fn count(&mut self, body: &Body, answer: Answer) {
        let what = match answer {
            Ok(429 | 503) => return self.refused += 1,
            Ok(200) if !body.hostile => return self.answered += 1,
            Ok(status @ 400..500) if body.hostile => {
                return *self.rejected.entry(status).or_default() += 1;
            }
            Ok(status) => format!("{} answered with {status}", body.what),
            Err(error) => format!("{}: {error:?}", body.what),
        };
        *self.wrong.entry(what).or_default() += 1;
    }

    /// Of a map that nothing is taken of.
    fn count_map(&mut self, answer: Answer, ended: Option<bool>) {
        match (answer, ended) {
            (Ok(200), None) => self.left += 1,
            (Ok(200), Some(true)) => self.ended += 1,
            (Ok(429 | 503), _) => self.refused += 1,
            (answer, ended) => {
                let what = format!("a map that nothing is taken of: {answer:?}, ended: {ended:?}");
                *self.wrong.entry(what).or_default() += 1;
            }
        }
    }
}

/// What a crowd chooses from.
struct Choices {
    images: Vec<Body>,
    hostile: Vec<Body>,
    costly: Vec<Body>,
}

/// One of the clients of a crowd.
struct Visitor {
    client: Client,
    address: SocketAddr,
    choices: Arc<Choices>,
}

/// Sends all requests of a crowd to the server at `address`, which has [`flags`].
pub async fn send(address: SocketAddr, crowd: Crowd) -> Outcomes {
    let mut random = fastrand::Rng::with_seed(crowd.seed);
    let images = bodies::images(&mut random);
    let choices = Arc::new(Choices {
        hostile: bodies::hostile(&images),
        costly: bodies::costly(&mut random),
        images,
    });
    // What a request is depends on its number alone, not on who sends it.
    let seeds: Arc<[u64]> = (0..crowd.requests).map(|_| random.u64(..)).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let client = crate::service::client();
    let clients = (0..crowd.clients).map(|_| {
        let visitor = Visitor {
            client: client.clone(),
            address,
            choices: Arc::clone(&choices),
        };
        let (next, seeds) = (Arc::clone(&next), Arc::clone(&seeds));
        tokio::spawn(async move {
            let mut outcomes = Outcomes::default();
            while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                let random = fastrand::Rng::with_seed(seed);
                visitor.ask(&mut outcomes, random).await;
            }
            outcomes
        })
    });
    let mut outcomes = Outcomes::default();
    for client in clients.collect::<Vec<_>>() {
        outcomes.add(client.await.expect("a client ends"));
    }
    outcomes
}

impl Visitor {
    /// One request: one in ten hostile, in one of four ways; one in ten left.
    async fn ask(&self, outcomes: &mut Outcomes, mut random: fastrand::Rng) {
        let image = random.choice(self.choices.images.iter());
        let image = image.expect("there are some");
        match (random.u8(0..10), random.u8(0..4)) {
            (0, 0) => {
                let half = Body {
                    what: "half a body".to_owned(),
                    hostile: true,
                    ..image.clone()
                };
                outcomes.count(&half, self.stall(&half).await);
            }
            (0, 1) => {
                let (answer, ended) = self.take_nothing(&mut random).await;
                outcomes.count_map(answer, ended);
            }
            (0, 2) => {
                let body = random
                    .choice(self.choices.costly.iter())
                    .expect("there are some");
                outcomes.count(body, self.post(body).await);
            }
            (0, _) => {
                let body = random
                    .choice(self.choices.hostile.iter())
                    .expect("there are some");
                outcomes.count(body, self.post(body).await);
            }
            (1, _) => {
                self.leave(image, &mut random).await;
                outcomes.left += 1;
            }
            _ => outcomes.count(image, self.post(image).await),
        }
    }

    async fn post(&self, body: &Body) -> Answer {
        let url = format!("http://{}{}", self.address, body.path);
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, body.content_type);
        let answer = request.body(body.bytes.clone()).send().await?;
        let status = answer.status().as_u16();
        answer.bytes().await?;
        Ok(status)
    }

    /// Sends a request's head and the first `length` bytes of its body.
    async fn begin(&self, body: &Body, length: usize) -> TcpStream {
        let connection = TcpStream::connect(self.address).await;
        let mut connection = connection.expect("the server listens");
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
            body.path,
            self.address,
            body.content_type,
            body.bytes.len()
        );
        let message = [head.as_bytes(), &body.bytes[..length]].concat();
        // The server may have refused and closed already.
        let _ = connection.write_all(&message).await;
        connection
    }

    /// Sends half a body, and waits for what the server says of it.
    async fn stall(&self, body: &Body) -> Answer {
        let mut connection = self.begin(body, body.bytes.len() / 2).await;
        let mut start = [0; 12];
        connection.read_exact(&mut start).await?;
        let status = std::str::from_utf8(&start[9..]).ok();
        let status = status.and_then(|status| status.parse().ok());
        status.ok_or_else(|| format!("answered with {start:?}").into())
    }

    /// Sends a request's head and some or all of its body, stays a moment, and goes without the answer; every other
    /// time without a good-bye.
    async fn leave(&self, body: &Body, random: &mut fastrand::Rng) {
        let part = if random.bool() {
            body.bytes.len()
        } else {
            random.usize(0..body.bytes.len())
        };
        let connection = self.begin(body, part).await;
        tokio::time::sleep(STAY.mul_f64(random.f64())).await;
        if random.bool() {
            let _ = connection.set_zero_linger();
        }
    }

    /// Asks for a map over HTTP/2 and takes nothing of it, until the server must have ended the stream; every other
    /// time it goes before. Whether the server had ended it, where it was waited for.
    async fn take_nothing(&self, random: &mut fastrand::Rng) -> (Answer, Option<bool>) {
        let answer = match self.map().await {
            Ok(answer) => answer,
            Err(error) => return (Err(error), None),
        };
        let status = answer.status().as_u16();
        if status != 200 || random.bool() {
            return (Ok(status), None);
        }
        tokio::time::sleep(ENDED).await;
        let rest = answer.into_body().collect().await;
        (Ok(status), Some(rest.is_err()))
    }

    /// The head of a map's answer, by a client whose stream holds little of it.
    async fn map(&self) -> Result<hyper::Response<Incoming>, Box<dyn Error + Send + Sync>> {
        let image = &self.choices.images[0];
        let io = TokioIo::new(TcpStream::connect(self.address).await?);
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(WINDOW);
        let (mut sender, connection) = builder.handshake(io).await?;
        tokio::spawn(connection);
        let request = hyper::Request::post(format!("http://{}{MAP}", self.address));
        let request = request.header(CONTENT_TYPE, image.content_type);
        let request = request.body(Full::new(Bytes::from(image.bytes.clone())))?;
        Ok(sender.send_request(request).await?)
    }
}
