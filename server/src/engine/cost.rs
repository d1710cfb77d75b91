//! What the work on a request may cost, in pixels and in bytes: known from an image's header and the size at which the
//! network sees it, and held against the limits before anything is allocated for it.

use detcon_inference::{Cost, Output};

use super::memory::{Memory, NoRoom, Share};

/// Bytes of a pixel of an image, and of the network's input.
const RGB: u64 = 3;
/// Bytes of a pixel of a label map (2), of its samples or of the picture over the image (3), and of a picture that
/// does not compress (3).
const SEGMENTS: u64 = 8;
/// Copies of an output that exist at the same time: ONNX Runtime's own, and the one that is sent.
const COPIES: u64 = 2;

/// What the work on a request may cost.
#[derive(Clone, Debug)]
pub(crate) struct CostLimits {
    /// Most pixels of one input of the network.
    pub(crate) input_pixels: u64,
    /// Most bytes of an answer.
    pub(crate) answer_bytes: u64,
    /// For images, inputs and answers of all requests.
    pub(crate) memory: Memory,
    /// For what methods of segmentation take while they work.
    pub(crate) segmentation: Memory,
    /// For what decoders take while they work.
    pub(crate) decoding: Memory,
}

/// Why work is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// An input of more pixels than the network is given at once.
    Input {
        /// Its pixels.
        pixels: u64,
        /// Most of them.
        limit: u64,
    },
    /// An answer that is too long.
    Answer {
        /// Its bytes.
        bytes: u64,
        /// Most of them.
        limit: u64,
    },
    /// Work that takes more memory than there is for all requests.
    Memory {
        /// What it takes, in bytes.
        bytes: u64,
        /// What there is.
        limit: u64,
    },
    /// The memory that there is has been taken by others.
    NoRoom,
}

/// How many bytes a value of an answer takes as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// float32.
    Binary,
    /// base64 of float32.
    Base64,
    /// A number in JSON, with its comma.
    Number,
}

impl Form {
    /// Bytes of a float32's text, at most, where there is a text beside the values.
    const fn text(self) -> u64 {
        match self {
            Self::Binary => 0,
            Self::Base64 => 6,
            Self::Number => 16,
        }
    }

    /// Bytes of an answer whose values take this many as float32.
    pub(crate) const fn bytes(self, floats: u64) -> u64 {
        match self {
            Self::Binary => floats,
            Self::Base64 | Self::Number => (floats / 4).saturating_mul(self.text()),
        }
    }
}

/// What a request will take, added up output by output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// Pixels of the largest input.
    pixels: u64,
    /// Bytes of the answer.
    answer: u64,
    /// Bytes of everything that is counted.
    memory: u64,
}

impl Need {
    /// Of an image of this height and width that is kept for as long as there is work on it.
    pub(crate) fn image([height, width]: [u32; 2]) -> Self {
        let pixels = u64::from(height).saturating_mul(width.into());
        Self::default().and(pixels.saturating_mul(RGB))
    }

    /// Of such an image and its segments, and of what is written of them.
    pub(crate) fn segments(size: [u32; 2]) -> Self {
        let image = Self::image(size);
        image.and(image.memory / RGB * SEGMENTS)
    }

    /// With so many bytes more.
    pub(crate) fn and(mut self, bytes: u64) -> Self {
        self.memory = self.memory.saturating_add(bytes);
        self
    }

    /// With an output of `images` images that costs so much, each at this height and width, sent in a form.
    ///
    /// The embeddings of inputs of the model's `own` size are what places in its queue are for: their number bounds
    /// them, and they are not counted again.
    pub(crate) fn output(
        mut self,
        output: Output,
        cost: Cost,
        images: u64,
        own: u64,
        form: Form,
    ) -> Self {
        let pixels = cost.pixels / images.max(1);
        self.pixels = self.pixels.max(pixels);
        let text = form.bytes(cost.answer_bytes);
        self.answer = self.answer.saturating_add(text);
        if output == Output::Embedding && pixels <= own {
            return self;
        }
        let written = match form {
            Form::Binary => 0,
            Form::Base64 | Form::Number => text,
        };
        let input = cost.pixels.saturating_mul(RGB);
        let floats = cost.answer_bytes.saturating_mul(COPIES);
        self.and(input).and(floats).and(written)
    }
}

impl CostLimits {
    /// A share of the memory for what is needed, if it is within the limits and there is room now.
    pub(super) fn afford(&self, need: Need) -> Result<Share, Excess> {
        let Need {
            pixels,
            answer,
            memory,
        } = need;
        if pixels > self.input_pixels {
            let limit = self.input_pixels;
            return Err(Excess::Input { pixels, limit });
        }
        if answer > self.answer_bytes {
            let (bytes, limit) = (answer, self.answer_bytes);
            return Err(Excess::Answer { bytes, limit });
        }
        if memory > self.memory.bytes() {
            let (bytes, limit) = (memory, self.memory.bytes());
            return Err(Excess::Memory { bytes, limit });
        }
        let mut share = Share::default();
        let grown = self.memory.grow(&mut share, memory);
        grown.map(|()| share).map_err(|NoRoom| Excess::NoRoom)
    }

    /// A share of the memory for a method of segmentation, once there is room.
    pub(super) async fn segmentation(&self, bytes: u64) -> Result<Share, Excess> {
        waited(&self.segmentation, bytes).await
    }

    /// The same for a decoder, if there is room now.
    pub(super) fn decoding_now(&self, bytes: u64) -> Option<Share> {
        let mut share = Share::default();
        self.decoding.grow(&mut share, bytes).ok().map(|()| share)
    }

    /// The same, once there is room.
    pub(super) async fn decoding(&self, bytes: u64) -> Result<Share, Excess> {
        waited(&self.decoding, bytes).await
    }
}

async fn waited(memory: &Memory, bytes: u64) -> Result<Share, Excess> {
    let limit = memory.bytes();
    let share = memory.wait(bytes).await;
    share.map_err(|NoRoom| Excess::Memory { bytes, limit })
}
