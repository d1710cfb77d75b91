//! Bodies that may be compressed: `Content-Encoding` gzip or deflate, never more than the limit in what comes out.

use std::io::Read;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

use super::Problem;
use super::body::{self, Held, Limits};
use super::fields::invalid;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContentCoding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, as HTTP means it.
    Deflate,
}

impl ContentCoding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let values: Vec<_> = headers.get_all(header::CONTENT_ENCODING).iter().collect();
        let text = match values.as_slice() {
            [] => return Ok(Self::Identity),
            values => values
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect::<Vec<_>>()
                .join(", "),
        };
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            _ => Err(Problem::UnsupportedEncoding {
                encoding: text.chars().take(100).collect(),
            }),
        }
    }
}

/// The headers, and the whole body as it was before it was compressed, with room for what is read out of it.
pub(crate) async fn inflated(
    request: Request,
    limits: &Limits,
) -> Result<(HeaderMap, Held), Problem> {
    let (parts, body) = request.into_parts();
    let encoding = ContentCoding::of(&parts.headers)?;
    let mut held = body::read(&parts.headers, body, limits).await?;
    if encoding != ContentCoding::Identity {
        let limits = limits.clone();
        let inflate = tokio::task::spawn_blocking(move || inflate(held, encoding, &limits));
        held = inflate.await.map_err(|error| {
            tracing::error!(%error, "inflating a body panicked");
            Problem::Internal
        })??;
    }
    held.reserve_for_reading(limits)?;
    Ok((parts.headers, held))
}

fn inflate(held: Held, encoding: ContentCoding, limits: &Limits) -> Result<Held, Problem> {
    const STEP: usize = 1 << 20;
    let Held { bytes, mut share } = held;
    let mut source: Box<dyn Read + '_> = match encoding {
        ContentCoding::Identity => Box::new(&*bytes),
        ContentCoding::Gzip => Box::new(MultiGzDecoder::new(&*bytes)),
        ContentCoding::Deflate => Box::new(ZlibDecoder::new(&*bytes)),
    };
    let mut found = Vec::new();
    loop {
        // Memory first: what comes out may be a thousand times what went in.
        let step = STEP.min(limits.bytes.saturating_add(1) - found.len());
        let length = bytes.len() + found.len() + step;
        limits.memory.grow(&mut share, length as u64)?;
        let read = source.by_ref().take(step as u64).read_to_end(&mut found);
        let read = read.map_err(|error| {
            let detail = format!("the body is not what it says ({error})");
            invalid("Content-Encoding", detail)
        })?;
        if found.len() > limits.bytes {
            return Err(Problem::BodyTooLarge {
                limit: limits.bytes,
            });
        }
        if read == 0 {
            drop(source);
            return Ok(Held {
                bytes: found.into(),
                share,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use axum::body::Body;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use bytes::Bytes;

    use super::*;
    use crate::engine::Memory;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn read(encoding: &str, body: Vec<u8>, memory: u64) -> Result<Bytes, Problem> {
        let limits = Limits {
            bytes: 100_000,
            images: 1,
            timeout: Duration::from_mins(1),
            memory: Memory::new(memory),
            fetcher: crate::http::image_fetch::Fetcher::default(),
        };
        let request = Request::post("/").header(header::CONTENT_ENCODING, encoding);
        let request = request.body(Body::from(body)).unwrap();
        inflated(request, &limits).await.map(|(_, held)| held.bytes)
    }

    #[tokio::test]
    async fn a_compressed_body_is_read_as_it_was_before() {
        let plain = b"abc".repeat(1000);
        for (encoding, body) in [
            ("gzip", gzip(&plain)),
            ("X-GZip", gzip(&plain)),
            ("deflate", deflate(&plain)),
            ("identity", plain.clone()),
        ] {
            assert_eq!(read(encoding, body, 1 << 20).await.unwrap(), plain);
        }
    }

    #[tokio::test]
    async fn a_body_that_grows_beyond_the_limit_or_the_memory_is_refused() {
        for (length, memory, refused) in [
            (100_001, 1 << 20, 413),
            (10_000_000, 1 << 20, 413),
            (90_000, 8192, 503),
        ] {
            let body = gzip(&vec![0; length]);
            let problem = read("gzip", body, memory).await.unwrap_err();
            assert_eq!(problem.status(), refused, "{length} {problem}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_not_what_it_says_is_refused() {
        let mut broken = gzip(&b"abc".repeat(1000));
        broken.truncate(broken.len() - 4);
        for (encoding, body, status) in [
            ("gzip", broken, 400),
            ("gzip", b"abc".to_vec(), 400),
            ("deflate", gzip(b"abc"), 400),
            ("br", b"abc".to_vec(), 415),
            ("gzip, gzip", gzip(&gzip(b"abc")), 415),
        ] {
            let problem = read(encoding, body, 1 << 20).await.unwrap_err();
            assert_eq!(problem.status(), status, "{encoding} {problem}");
        }
    }
}
