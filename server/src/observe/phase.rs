//! The parts of the work on a request.

/// A part of the work on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Decoding and resizing.
    Decode,
    /// Waiting for the engine.
    Queue,
    /// In the engine.
    Infer,
    /// Writing the answer.
    Encode,
}

impl Phase {
    /// All of them, in the order in which they happen.
    pub(crate) const ALL: [Self; 4] = [Self::Decode, Self::Queue, Self::Infer, Self::Encode];

    /// Its name in `Server-Timing` and traces.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Queue => "queue",
            Self::Infer => "infer",
            Self::Encode => "encode",
        }
    }
}
