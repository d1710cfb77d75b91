//! Small files of every kind, and what they decode to (see `fixtures/make.py`).

use std::path::{Path, PathBuf};

use detcon_core::image::{ImageLimits, RgbImage, decode_stored};

/// Every fixture.
pub(crate) fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_fixture = |path: &PathBuf| {
        let expected = path.to_str().unwrap().ends_with(".expected.png");
        !expected && path.extension().is_some_and(|extension| extension != "py")
    };
    let mut paths: Vec<_> = entries.filter(is_fixture).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no fixtures");
    paths
}

/// Every fixture that decodes, with its bytes and its picture as stored.
pub(crate) fn pictures() -> Vec<(PathBuf, Vec<u8>, RgbImage)> {
    let readable = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        let image = decode_stored(&bytes, &ImageLimits::default()).ok()?;
        Some((path, bytes, image))
    };
    let pictures: Vec<_> = fixtures().into_iter().filter_map(readable).collect();
    assert!(!pictures.is_empty(), "no fixture decodes");
    pictures
}

/// The bytes of one fixture.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name),
    )
    .unwrap()
}
