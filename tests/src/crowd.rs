//! A crowd of clients: images of many sizes and formats, hostile bodies, clients that leave midway; and what became
//! of every request.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use image::{ImageFormat, RgbImage};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Sides of the images.
const SIDES: std::ops::RangeInclusive<u32> = 1..=700;
/// Images of each format.
const IMAGES: usize = 8;
const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::WebP,
    ImageFormat::Gif,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
];
/// Longest that a client waits before it leaves.
const STAY: Duration = Duration::from_millis(20);

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
    /// Whatever should not have been: an image rejected, a hostile body answered, a 5xx, no answer.
    pub wrong: BTreeMap<String, usize>,
}

impl Outcomes {
    /// Requests in all.
    #[must_use]
    pub fn requests(&self) -> usize {
        let counted = self.rejected.values().chain(self.wrong.values());
        self.answered + self.refused + self.left + counted.sum::<usize>()
    }

    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        self.left += other.left;
        for (status, count) in other.rejected {
            *self.rejected.entry(status).or_default() += count;
        }
        for (what, count) in other.wrong {
            *self.wrong.entry(what).or_default() += count;
        }
    }

    fn count(&mut self, body: &Body, answer: reqwest::Result<u16>) {
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
}

/// Something to send.
#[derive(Clone, Debug)]
struct Body {
    what: String,
    hostile: bool,
    content_type: &'static str,
    bytes: Vec<u8>,
}

/// Sends all requests of a crowd to `path` of the server at `address`.
pub async fn send(address: SocketAddr, path: &str, crowd: Crowd) -> Outcomes {
    let mut random = fastrand::Rng::with_seed(crowd.seed);
    let images = Arc::new(images(&mut random));
    let hostile = Arc::new(hostile(&images));
    let next = Arc::new(AtomicUsize::new(0));
    let client = crate::service::client();
    let url = format!("http://{address}{path}");
    let clients = (0..crowd.clients).map(|_| {
        let (images, hostile, next) =
            (Arc::clone(&images), Arc::clone(&hostile), Arc::clone(&next));
        let (client, url, path) = (client.clone(), url.clone(), path.to_owned());
        tokio::spawn(async move {
            let mut outcomes = Outcomes::default();
            loop {
                let request = next.fetch_add(1, Ordering::Relaxed);
                if request >= crowd.requests {
                    return outcomes;
                }
                // What a request is depends on its number alone, not on who sends it.
                let mut random = fastrand::Rng::with_seed(crowd.seed ^ ((request as u64) << 20));
                match random.u8(0..10) {
                    0 => {
                        let body = random.choice(hostile.iter()).expect("there are some");
                        outcomes.count(body, post(&client, &url, body).await);
                    }
                    1 => {
                        let body = random.choice(images.iter()).expect("there are some");
                        leave(address, &path, body, &mut random).await;
                        outcomes.left += 1;
                    }
                    _ => {
                        let body = random.choice(images.iter()).expect("there are some");
                        outcomes.count(body, post(&client, &url, body).await);
                    }
                }
            }
        })
    });
    let mut outcomes = Outcomes::default();
    for client in clients.collect::<Vec<_>>() {
        outcomes.add(client.await.expect("a client ends"));
    }
    outcomes
}

async fn post(client: &Client, url: &str, body: &Body) -> reqwest::Result<u16> {
    let request = client.post(url).header(CONTENT_TYPE, body.content_type);
    let answer = request.body(body.bytes.clone()).send().await?;
    let status = answer.status().as_u16();
    answer.bytes().await?;
    Ok(status)
}

/// Sends a request's head and some or all of its body, stays a moment, and goes without the answer; every other time
/// without a good-bye.
async fn leave(address: SocketAddr, path: &str, body: &Body, random: &mut fastrand::Rng) {
    let mut connection = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
        body.content_type,
        body.bytes.len()
    );
    let part = if random.bool() {
        body.bytes.len()
    } else {
        random.usize(0..body.bytes.len())
    };
    let message = [head.as_bytes(), &body.bytes[..part]].concat();
    // The server may have refused and closed already.
    let _ = connection.write_all(&message).await;
    tokio::time::sleep(STAY.mul_f64(random.f64())).await;
    if random.bool() {
        let _ = connection.set_zero_linger();
    }
}

/// Noise on slopes, in every format.
fn images(random: &mut fastrand::Rng) -> Vec<Body> {
    let mut bodies = Vec::new();
    for format in FORMATS {
        for _ in 0..IMAGES {
            let (width, height) = (random.u32(SIDES), random.u32(SIDES));
            let image = RgbImage::from_fn(width, height, |x, y| {
                let noise = random.u32(0..32);
                image::Rgb(
                    [x, y, x + y]
                        .map(|it| u8::try_from((it / 4 + noise) % 256).expect("below 256")),
                )
            });
            let mut bytes = Vec::new();
            image
                .write_to(&mut Cursor::new(&mut bytes), format)
                .expect("an image can be written to memory");
            bodies.push(Body {
                what: format!("{format:?} of {width}x{height}"),
                hostile: false,
                content_type: "application/octet-stream",
                bytes,
            });
        }
    }
    bodies
}

/// Truncated, bombs, of wrong types.
fn hostile(images: &[Body]) -> Vec<Body> {
    let make = |what: &str, content_type, bytes| Body {
        what: what.to_owned(),
        hostile: true,
        content_type,
        bytes,
    };
    let mut bodies: Vec<_> = (images.iter().step_by(IMAGES))
        .map(|image| {
            let half = image.bytes[..image.bytes.len() / 2].to_vec();
            make(
                &format!("half of a {}", image.what),
                "application/octet-stream",
                half,
            )
        })
        .collect();
    let mut bomb =
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x75\x30\0\0\x75\x30\x08\x02\0\0\0".to_vec();
    bomb.extend([0x9c, 0x4c, 0xee, 0xf8]);
    bodies.push(make("a PNG of 30000x30000", "image/png", bomb));
    bodies.push(make(
        "a text",
        "text/plain",
        b"a photograph, really".to_vec(),
    ));
    bodies.push(make(
        "a text as JPEG",
        "image/jpeg",
        b"a photograph, really".to_vec(),
    ));
    bodies.push(make("nothing", "image/png", Vec::new()));
    bodies.push(make(
        "broken JSON",
        "application/json",
        b"{\"input\": [".to_vec(),
    ));
    bodies.push(make(
        "JSON with an address",
        "application/json",
        b"{\"input\": \"http://127.0.0.1/\"}".to_vec(),
    ));
    bodies.push(make(
        "parts without a boundary",
        "multipart/form-data",
        b"--x\r\n".to_vec(),
    ));
    bodies.push(make("a type that is none", "?", b"?".to_vec()));
    bodies
}
