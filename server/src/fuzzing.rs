//! What fuzzers call: the readers of clients' bytes, with what must hold of whatever they are given.

use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use tokio::runtime::{Builder, Runtime};

use crate::api::regions::fuzz_given;
use crate::engine::Memory;
use crate::http::contents;
use crate::http::image_fetch::Fetcher;
use crate::http::{BodyFormat, Limits, Problem};

/// Most images of a request.
const IMAGES: usize = 4;

/// One for all runs of a fuzzer's process.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_time().build().expect("a runtime starts")
});

/// A body as JSON, as parts, as it is, or as regions, by its first byte. What is read is within the limits, and what is
/// refused is the client's fault.
///
/// # Panics
/// Where that does not hold.
pub fn request(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    let read = match kind % 4 {
        0 => embeddings(BodyFormat::Json, "application/json", body),
        1 => embeddings(
            BodyFormat::Multipart,
            "multipart/form-data; boundary=x",
            body,
        ),
        2 => embeddings(BodyFormat::Raw, "image/jpeg", body),
        _ => fuzz_given(body),
    };
    if let Err(problem) = read {
        assert!(problem.status().is_client_error(), "{problem:?}");
    }
}

fn embeddings(format: BodyFormat, content_type: &str, body: &[u8]) -> Result<(), Problem> {
    let request = Request::post("/v1/embeddings")
        .header(header::CONTENT_TYPE, content_type)
        .body(Body::from(body.to_vec()))
        .expect("a request without anything odd");
    let limits = Limits {
        bytes: 1 << 20,
        images: IMAGES,
        timeout: Duration::from_mins(1),
        memory: Memory::new(8 << 20),
        fetcher: Fetcher::default(),
    };
    let read = RUNTIME.block_on(contents::embeddings(format, request, &limits))?;
    assert!((1..=IMAGES).contains(&read.images.len()));
    Ok(())
}

/// An archive of a model's files, unpacked: what comes out is no longer than allowed, whatever the archive says.
///
/// # Panics
/// Where that does not hold.
pub fn archive(bytes: &[u8]) {
    crate::models::store::fuzz_archive(bytes);
}
