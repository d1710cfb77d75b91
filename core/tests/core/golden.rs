//! The golden data: real photographs, and what the published code makes of them.

use std::path::{Path, PathBuf};

use detcon_core::image::{ImageLimits, RgbImage, decode};

/// The folder of golden data.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("DETCON_GOLDEN_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden"),
        PathBuf::from,
    )
}

/// A photograph, decoded.
pub(crate) fn photograph(path: &Path) -> RgbImage {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    decode(&bytes, &ImageLimits::default())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every golden photograph, in the order of their names.
pub(crate) fn photographs() -> Vec<RgbImage> {
    let entries = std::fs::read_dir(folder().join("images")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| photograph(path)).collect()
}
