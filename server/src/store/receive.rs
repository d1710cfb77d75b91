//! A body into a file: never more of it in memory than a few pieces, never longer than the limit, hashed on the way.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use detcon_core::digest::Hasher;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::imports::Ticket;
use crate::problem::Problem;

/// Pieces of a body that wait for the disk.
const PIECES: usize = 16;

/// What an upload's body may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveLimits {
    /// Longest body.
    pub(crate) bytes: u64,
    /// Longest wait for the next piece of it.
    pub(crate) wait: Duration,
}

/// Writes `body` to `file` and gives its SHA-256.
pub(super) async fn receive(
    body: &mut Body,
    file: File,
    limits: ReceiveLimits,
    ticket: &Ticket,
) -> Result<String, Problem> {
    let (pieces, written) = writer(file);
    let mut received = 0;
    let late = |_| Problem::RequestTimeout {
        seconds: limits.wait.as_secs(),
    };
    while let Some(frame) = tokio::time::timeout(limits.wait, body.frame())
        .await
        .map_err(late)?
    {
        let frame = frame.map_err(|_| Problem::BodyIncomplete)?;
        let Ok(piece) = frame.into_data() else {
            continue; // trailers
        };
        received += piece.len() as u64;
        if received > limits.bytes {
            return Err(Problem::UploadTooLarge {
                limit: limits.bytes,
            });
        }
        ticket.received(received);
        if pieces.send(piece).await.is_err() {
            break; // the disk has said why
        }
    }
    drop(pieces);
    let written = written.await.map_err(|_| Problem::Internal)?;
    written.map_err(|error| unwritten(&error))
}

/// A thread that writes pieces as they come, and gives the digest of all of them.
fn writer(mut file: File) -> (mpsc::Sender<Bytes>, JoinHandle<io::Result<String>>) {
    let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES);
    let written = tokio::task::spawn_blocking(move || {
        let mut hasher = Hasher::default();
        while let Some(piece) = pieces.blocking_recv() {
            hasher.update(&piece);
            file.write_all(&piece)?;
        }
        Ok(hasher.finish())
    });
    (sender, written)
}

/// What a client is told when the store could not be written to.
pub(super) fn unwritten(error: &io::Error) -> Problem {
    tracing::error!(%error, "the store could not be written to");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Problem::StorageFull,
        _ => Problem::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use detcon_core::digest::sha256;
    use futures_util::stream;

    use super::*;
    use crate::store::Imports;

    const LIMITS: ReceiveLimits = ReceiveLimits {
        bytes: 10,
        wait: Duration::from_millis(50),
    };

    async fn take(mut body: Body, file: File) -> Result<String, Problem> {
        let ticket = Arc::new(Imports::default()).start("a", "model", None);
        receive(&mut body, file, LIMITS, &ticket).await
    }

    fn pieces(pieces: &'static [&'static str]) -> Body {
        let pieces = pieces.iter().map(|piece| match *piece {
            "!" => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            piece => Ok(Bytes::from(piece)),
        });
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_is_written_and_hashed_up_to_the_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = take(pieces(&["01234", "56789"]), file.reopen().unwrap()).await;
        assert_eq!(found, Ok(sha256(b"0123456789")));
        assert_eq!(std::fs::read(file.path()).unwrap(), b"0123456789");
        let longer = take(pieces(&["01234", "567890"]), file.reopen().unwrap()).await;
        assert_eq!(longer, Err(Problem::UploadTooLarge { limit: 10 }));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_or_stops_is_told() {
        let file = || tempfile::tempfile().unwrap();
        let broken = take(pieces(&["01", "!"]), file()).await;
        assert_eq!(broken, Err(Problem::BodyIncomplete));
        let never = Body::from_stream(stream::pending::<io::Result<Bytes>>());
        let stopped = take(never, file()).await;
        assert_eq!(stopped, Err(Problem::RequestTimeout { seconds: 0 }));
    }

    #[tokio::test]
    async fn a_full_disk_is_told() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let found = take(pieces(&["01", "23"]), full).await;
        assert_eq!(found, Err(Problem::StorageFull));
    }
}
