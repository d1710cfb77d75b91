//! Stand-in until decoding lands.
#[derive(Clone, Debug)]
/// x
pub struct RgbImage {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct ImageError;
/// x
#[derive(Clone, Debug)]
pub struct ImageLimits {
    /// x
    pub bytes: usize,
    /// x
    pub pixels: u64,
    /// x
    pub side: u32,
}
/// x
pub fn decode(_: &[u8], _: &ImageLimits) -> Result<RgbImage, ImageError> {
    Err(ImageError)
}
