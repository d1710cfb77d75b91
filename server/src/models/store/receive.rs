//! A body into a file: never more of it in memory than a few pieces, never longer than the limit, hashed on the way.

use std::fs::File;
use std::io::{self, Write as _};

use bytes::Bytes;
use detcon_core::digest::Hasher;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::imports::Progress;
use crate::models::ModelsError;

/// Pieces of a body that wait for the disk.
const PIECES: usize = 16;

/// Writes the pieces of a body, `limit` bytes at most, to `file` and gives its SHA-256.
pub(super) async fn receive<E: From<ModelsError>>(
    pieces: impl Stream<Item = Result<Bytes, E>>,
    file: File,
    limit: u64,
    progress: &Progress,
) -> Result<String, E> {
    let (disk, written) = writer(file);
    let (mut received, mut pieces) = (0, std::pin::pin!(pieces));
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        received += piece.len() as u64;
        if received > limit {
            return Err(ModelsError::UploadTooLarge { limit }.into());
        }
        progress.received(received);
        if disk.send(piece).await.is_err() {
            break; // the disk has said why
        }
    }
    drop(disk);
    let written = written.await.map_err(|_| ModelsError::Internal)?;
    Ok(written.map_err(|error| unwritten(&error))?)
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
pub(super) fn unwritten(error: &io::Error) -> ModelsError {
    tracing::error!(%error, "the store could not be written to");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ModelsError::StorageFull,
        _ => ModelsError::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use detcon_core::digest::sha256;
    use futures_util::stream;

    use super::*;
    use crate::models::store::Imports;

    const LIMIT: u64 = 10;

    async fn take(
        pieces: impl Stream<Item = Result<Bytes, ModelsError>>,
        file: File,
    ) -> Result<String, ModelsError> {
        let progress = Arc::new(Imports::default()).start("a", "model", None);
        receive(pieces, file, LIMIT, &progress).await
    }

    fn pieces(pieces: &[&'static str]) -> impl Stream<Item = Result<Bytes, ModelsError>> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from(*piece))).collect();
        stream::iter(pieces)
    }

    #[tokio::test]
    async fn a_body_is_written_and_hashed_up_to_the_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = take(pieces(&["01234", "56789"]), file.reopen().unwrap()).await;
        assert_eq!(found, Ok(sha256(b"0123456789")));
        assert_eq!(std::fs::read(file.path()).unwrap(), b"0123456789");
        let longer = take(pieces(&["01234", "567890"]), file.reopen().unwrap()).await;
        assert_eq!(longer, Err(ModelsError::UploadTooLarge { limit: 10 }));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_told_as_its_reader_tells_it() {
        let broken = stream::iter([Ok(Bytes::from("01")), Err(ModelsError::StorageFull)]);
        let found = take(broken, tempfile::tempfile().unwrap()).await;
        assert_eq!(found, Err(ModelsError::StorageFull));
    }

    #[tokio::test]
    async fn a_full_disk_is_told() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let found = take(pieces(&["01", "23"]), full).await;
        assert_eq!(found, Err(ModelsError::StorageFull));
    }
}
