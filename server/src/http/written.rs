//! The bytes of an answer, in the pieces that they were written in.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::engine::Share;

/// The bytes of an answer. Large data is a piece of its own, handed on as it is; what is counted of the memory for it
/// is given back when the last of it has gone to the client, or the client has.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pieces: VecDeque<Bytes>,
    share: Share,
}

impl From<Vec<u8>> for Written {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            pieces: [Bytes::from(bytes)].into(),
            share: Share::default(),
        }
    }
}

impl Written {
    /// With more bytes after it.
    #[must_use]
    pub(crate) fn and(mut self, pieces: impl IntoIterator<Item = Bytes>) -> Self {
        self.pieces.extend(pieces);
        self
    }

    /// With its share of the memory.
    #[must_use]
    pub(crate) fn holding(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// All of them.
    #[cfg(test)]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.pieces.iter().flatten().copied().collect()
    }
}

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        Response::new(Body::new(self))
    }
}

impl HttpBody for Written {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}
