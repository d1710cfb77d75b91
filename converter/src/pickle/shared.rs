//! Text and bytes of a pickle: slices of the input where the file holds them as they are, shared allocations
//! where an old protocol wrote them escaped. Both clone in constant time, so a value that a pickle uses a
//! million times through its memo costs one allocation.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes of a pickle.
#[derive(Clone)]
pub enum Data<'a> {
    /// A slice of the input.
    File(&'a [u8]),
    /// Bytes that the file holds in an escaped form (protocols 0 to 2).
    Decoded(Arc<[u8]>),
}

/// Text of a pickle.
#[derive(Clone)]
pub enum Text<'a> {
    /// A slice of the input.
    File(&'a str),
    /// Text that the file holds in an escaped form (protocol 0).
    Decoded(Arc<str>),
}

impl Data<'_> {
    /// The `length` bytes from `start`, of the input where these are. Empty where there are not that many.
    pub(crate) fn slice(&self, start: usize, length: usize) -> Self {
        match self {
            Self::File(bytes) => Self::File(
                bytes
                    .get(start..)
                    .and_then(|rest| rest.get(..length))
                    .unwrap_or_default(),
            ),
            Self::Decoded(bytes) => Self::Decoded(Arc::from(
                bytes
                    .get(start..)
                    .and_then(|rest| rest.get(..length))
                    .unwrap_or_default(),
            )),
        }
    }
}

impl Deref for Data<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Decoded(bytes) => bytes,
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::File(text) => text,
            Self::Decoded(text) => text,
        }
    }
}

impl PartialEq for Data<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Data<'_> {}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl fmt::Debug for Data<'_> {
    /// The length alone: a checkpoint holds megabytes.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "<{} bytes>", self.len())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, out)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, out)
    }
}
