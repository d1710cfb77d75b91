//! The known formats and the bytes that each file of them starts with.

/// An image format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Baseline and progressive JPEG; grey, colour, CMYK.
    Jpeg,
    /// PNG of any depth and colour type, interlaced or not; of an APNG the default image.
    Png,
    /// Lossy and lossless WebP; of an animation the first frame.
    WebP,
    /// GIF, the first frame.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// TIFF with 1-, 8- or 16-bit samples, the first image; no `BigTIFF`.
    Tiff,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [
        Self::Jpeg,
        Self::Png,
        Self::WebP,
        Self::Gif,
        Self::Bmp,
        Self::Tiff,
    ];

    /// The format's usual name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
        }
    }

    /// Most bytes that decoding takes for each pixel, the file itself not counted: what the decoder keeps beside the
    /// pixels (coefficients of a progressive JPEG in four components, samples of 16 bits twice), the pixels in RGB, and
    /// the same pixels turned.
    #[must_use]
    pub const fn decoding_bytes(self) -> u64 {
        match self {
            Self::Jpeg => 16,
            Self::Png | Self::Gif | Self::Bmp => 10,
            Self::WebP => 12,
            Self::Tiff => 24,
        }
    }

    /// The format whose files start like `bytes`, if any.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.starts(bytes))
    }

    fn starts(self, bytes: &[u8]) -> bool {
        match self {
            Self::Jpeg => bytes.starts_with(b"\xff\xd8\xff"),
            Self::Png => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
            Self::WebP => bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"),
            Self::Gif => bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a"),
            Self::Bmp => bytes.starts_with(b"BM"),
            Self::Tiff => bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*"),
        }
    }

    pub(super) fn list() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
