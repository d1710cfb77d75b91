//! Decoding, against what Pillow makes of small files of every kind (see `fixtures/make.py`), and against files that
//! were cut, changed or made to do harm.

mod common;

use std::path::{Path, PathBuf};

use detcon_core::image::{Format, ImageError, ImageLimits, RgbImage, decode, decode_stored};
use proptest::prelude::*;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_fixture = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !name.ends_with(".expected.png")
            && Path::new(name)
                .extension()
                .is_none_or(|extension| extension != "py")
    };
    let mut paths: Vec<_> = entries.filter(is_fixture).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no fixtures");
    paths
}

fn format_of(path: &Path) -> Format {
    let extension = path.extension().unwrap().to_str().unwrap();
    let named = |format: &Format| format.name().to_lowercase() == extension.replace("jpg", "jpeg");
    Format::ALL.into_iter().find(named).unwrap()
}

/// The largest and the mean difference of two images in steps of a byte.
fn difference(ours: &RgbImage, theirs: &RgbImage) -> (u8, f64) {
    assert_eq!(
        (ours.width(), ours.height()),
        (theirs.width(), theirs.height())
    );
    let steps = || {
        ours.pixels()
            .iter()
            .zip(theirs.pixels())
            .map(|(&a, &b)| a.abs_diff(b))
    };
    let sum: u32 = steps().map(u32::from).sum();
    let count = u32::try_from(ours.pixels().len()).unwrap();
    (steps().max().unwrap(), f64::from(sum) / f64::from(count))
}

/// How far Pillow's decoder may be from this one, as the mean over a picture.
///
/// Both round the same transforms; they interpolate halved chroma differently at a picture's right and bottom edges,
/// which is much of a picture this small.
fn tolerance(path: &Path) -> f64 {
    match format_of(path) {
        Format::Jpeg => 0.5,
        Format::Png | Format::WebP | Format::Gif | Format::Bmp | Format::Tiff => 0.0,
    }
}

#[test]
fn every_kind_of_file_decodes_as_pillow_decodes_it() {
    for path in fixtures() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let expected = common::photograph(&path.with_file_name(format!("{name}.expected.png")));
        let bytes = std::fs::read(&path).unwrap();
        let ours = match decode(&bytes, &ImageLimits::default()) {
            Ok(ours) => ours,
            Err(error) if name.contains("one_scan_each") => {
                assert!(
                    matches!(error, ImageError::Unsupported { .. }),
                    "{name}: {error}"
                );
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        let (largest, mean) = difference(&ours, &expected);
        assert!(
            mean <= tolerance(&path),
            "{name}: mean {mean}, largest {largest}"
        );
    }
}

/// Every fixture that decodes, with its bytes and its picture as stored.
fn pictures() -> Vec<(PathBuf, Vec<u8>, RgbImage)> {
    let readable = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        let image = decode_stored(&bytes, &ImageLimits::default()).ok()?;
        Some((path, bytes, image))
    };
    let pictures: Vec<_> = fixtures().into_iter().filter_map(readable).collect();
    assert!(!pictures.is_empty(), "no fixture decodes");
    pictures
}

/// One fixture of a format, by the start of its name.
fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name),
    )
    .unwrap()
}

#[test]
fn a_file_cut_anywhere_is_refused_or_whole() {
    for (path, bytes, whole) in pictures() {
        for length in 0..bytes.len() {
            if let Ok(part) = decode_stored(&bytes[..length], &ImageLimits::default()) {
                assert_eq!(
                    part,
                    whole,
                    "{} cut at {length} of {}",
                    path.display(),
                    bytes.len()
                );
            }
        }
    }
}

#[test]
fn a_photograph_cut_in_its_picture_is_truncated() {
    let folder = std::fs::read_dir(common::golden().join("images")).unwrap();
    let mut cut = 0;
    for path in folder.map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&path).unwrap();
        for length in (1..20).map(|twentieth| bytes.len() * twentieth / 20) {
            let error = decode(&bytes[..length], &ImageLimits::default()).unwrap_err();
            assert!(
                matches!(error, ImageError::Truncated { .. }),
                "{} at {length}: {error}",
                path.display()
            );
            cut += 1;
        }
    }
    assert!(cut > 0, "no photographs");
}

#[test]
fn half_a_file_of_any_format_is_truncated() {
    for (path, bytes, whole) in pictures() {
        match decode_stored(&bytes[..bytes.len() / 2], &ImageLimits::default()) {
            Err(ImageError::Truncated { format }) => assert_eq!(format, format_of(&path)),
            // The first frame of an animation.
            Ok(first) => assert_eq!(first, whole, "{}", path.display()),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

/// Some programs repair a cut JPEG by an end marker, and decoders then paint the rest grey.
#[test]
fn a_cut_baseline_jpeg_with_an_end_marker_is_refused() {
    for name in [
        "baseline_444.jpg",
        "baseline_420.jpg",
        "grey.jpg",
        "cmyk.jpg",
        "restarts.jpg",
    ] {
        let bytes = fixture(name);
        let whole = decode(&bytes, &ImageLimits::default()).unwrap();
        for length in bytes.len() - 300..bytes.len() - 2 {
            let repaired = [&bytes[..length], b"\xff\xd9"].concat();
            if let Ok(part) = decode(&repaired, &ImageLimits::default()) {
                assert_eq!(part, whole, "{name} cut at {length} of {}", bytes.len());
            }
        }
    }
}

#[test]
fn a_jpeg_without_its_end_marker_is_whole() {
    let bytes = fixture("baseline_420.jpg");
    let cut = decode(&bytes[..bytes.len() - 2], &ImageLimits::default()).unwrap();
    assert_eq!(cut, decode(&bytes, &ImageLimits::default()).unwrap());
}

/// Phones append a second picture (depth, motion, gain map) to a JPEG.
#[test]
fn what_follows_a_jpeg_or_lies_between_its_segments_changes_nothing() {
    for (path, bytes, whole) in pictures()
        .into_iter()
        .filter(|(path, ..)| format_of(path) == Format::Jpeg)
    {
        let comment = [
            b"\xff\xfe\x00\x06note".as_slice(),
            &[0xff, 0xe2, 0, 3, 1],
            b"stray\xff\x00",
        ]
        .concat();
        let busy = [&bytes[..2], &comment.repeat(1000), &bytes[2..], &bytes].concat();
        assert_eq!(
            decode_stored(&busy, &ImageLimits::default()).unwrap(),
            whole,
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_stored_image_keeps_the_pixels_as_they_lie_in_the_file() {
    for (path, bytes, stored) in pictures() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let Some(orientation) = name.strip_prefix("exif_") else {
            continue;
        };
        let upright = decode(&bytes, &ImageLimits::default()).unwrap();
        assert_eq!(upright == stored, orientation == "1", "{}", path.display());
        let turned = (upright.width(), upright.height()) != (stored.width(), stored.height());
        assert_eq!(turned, orientation >= "5", "{}", path.display());
    }
}

/// A file of each format whose header speaks of 16000x16000 pixels or more, and holds next to none.
fn giants() -> Vec<(&'static str, Vec<u8>)> {
    let patched = |name: &'static str, at: usize, bytes: &[u8]| {
        let mut file = fixture(name);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        (name, file)
    };
    let frame = |name: &'static str, marker: u8| {
        let at = fixture(name)
            .windows(2)
            .position(|pair| pair == [0xff, marker])
            .unwrap();
        patched(name, at + 5, &[0xff; 4])
    };
    let mut png = Vec::new();
    drop(
        png::Encoder::new(&mut png, 30_000, 30_000)
            .write_header()
            .unwrap(),
    );
    let tiff = fixture("raw.tiff");
    let width = tiff
        .windows(4)
        .position(|entry| entry == [0, 1, 4, 0])
        .unwrap_or_else(|| {
            tiff.windows(4)
                .position(|entry| entry == [0, 1, 3, 0])
                .unwrap()
        });
    vec![
        ("a PNG of 30000x30000", png),
        frame("baseline_420.jpg", 0xc0),
        frame("progressive.jpg", 0xc2),
        patched("plain.gif", 6, &[0xff; 4]),
        patched("rgb.bmp", 18, &[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]),
        patched("lossy.webp", 26, &[0xff, 0x3f, 0xff, 0x3f]),
        patched("lossless.webp", 21, &[0xff, 0xff, 0xff, 0x0f]),
        patched("lossy_alpha.webp", 24, &[0xff; 6]),
        patched("raw.tiff", width + 8, &[0xff, 0xff]),
    ]
}

#[test]
fn a_header_that_claims_a_giant_is_refused_before_any_pixel() {
    for (name, bytes) in giants() {
        let error = decode(&bytes, &ImageLimits::default()).unwrap_err();
        assert!(
            matches!(error, ImageError::TooLarge { .. }),
            "{name}: {error}"
        );
    }
}

/// The canvas is small, the picture inside claims to be large: the decoder would make room for it first.
#[test]
fn a_webp_with_a_giant_inside_its_canvas_is_refused() {
    let mut bytes = fixture("lossy_alpha.webp");
    let at = bytes.windows(4).position(|name| name == b"VP8 ").unwrap();
    bytes[at + 14..at + 18].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    let error = decode(&bytes, &ImageLimits::default()).unwrap_err();
    assert!(
        matches!(
            error,
            ImageError::TooLarge {
                width: 16383,
                height: 16383,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn text_that_unpacks_to_a_hundred_megabytes_stays_packed() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Rgb);
    encoder
        .add_ztxt_chunk("Comment".to_owned(), " ".repeat(100 << 20))
        .unwrap();
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&[1, 2, 3])
        .unwrap();
    assert_eq!(
        decode(&bytes, &ImageLimits::default()).unwrap().pixels(),
        [1, 2, 3]
    );
}

#[test]
fn jpeg_inside_tiff_is_refused() {
    let mut bytes = fixture("tiff_lzw.tiff");
    let at = bytes
        .windows(4)
        .position(|entry| entry == [3, 1, 3, 0])
        .unwrap();
    bytes[at + 8] = 7;
    let error = decode(&bytes, &ImageLimits::default()).unwrap_err();
    assert!(
        matches!(
            error,
            ImageError::Unsupported {
                format: Format::Tiff,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn each_limit_refuses_with_its_own_error() {
    let bytes = fixture("rgb.png");
    let refusal = |limits| decode(&bytes, &limits).unwrap_err();
    let image = decode(&bytes, &ImageLimits::default()).unwrap();
    let exact = ImageLimits {
        bytes: bytes.len(),
        pixels: u64::from(image.width()) * u64::from(image.height()),
        side: image.width().max(image.height()),
    };
    assert_eq!(decode(&bytes, &exact), Ok(image));
    let error = refusal(ImageLimits {
        bytes: exact.bytes - 1,
        ..exact
    });
    assert!(matches!(error, ImageError::TooManyBytes { .. }), "{error}");
    for limits in [
        ImageLimits {
            pixels: exact.pixels - 1,
            ..exact
        },
        ImageLimits {
            side: exact.side - 1,
            ..exact
        },
    ] {
        let error = refusal(limits);
        assert!(matches!(error, ImageError::TooLarge { .. }), "{error}");
    }
    assert_eq!(decode(&[], &exact), Err(ImageError::Empty));
    assert_eq!(decode(b"hello", &exact), Err(ImageError::UnknownFormat));
}

#[test]
fn a_name_or_a_claim_does_not_decide_the_format() {
    for (path, bytes, _) in pictures() {
        assert_eq!(
            Format::of(&bytes),
            Some(format_of(&path)),
            "{}",
            path.display()
        );
    }
}

#[test]
fn pixels_must_fill_the_image() {
    assert_eq!(RgbImage::new(2, 1, vec![0; 6]).unwrap().pixels(), [0; 6]);
    for (width, height, bytes) in [(2, 1, 5), (0, 0, 0), (0, 1, 0), (u32::MAX, u32::MAX, 3)] {
        assert!(
            RgbImage::new(width, height, vec![0; bytes]).is_err(),
            "{width}x{height} in {bytes}"
        );
    }
}

/// Small pictures only: a changed header may otherwise ask for as much work as the limits allow, in every case.
const SMALL: ImageLimits = ImageLimits {
    bytes: 1 << 20,
    pixels: 1 << 20,
    side: 1 << 14,
};

proptest! {
    #[test]
    fn any_bytes_after_a_known_beginning_get_an_answer(
        beginning in proptest::sample::select(pictures()),
        length in 4_usize..40,
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let beginning = &beginning.1[..length];
        let _ = decode(&[beginning, &bytes].concat(), &SMALL);
    }

    #[test]
    fn a_damaged_file_gets_an_answer(
        (_, mut bytes, _) in proptest::sample::select(pictures()),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        moved in proptest::option::of((any::<proptest::sample::Index>(), any::<proptest::sample::Index>())),
    ) {
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some((from, to)) = moved {
            let tail = bytes.split_off(from.index(bytes.len()));
            let to = to.index(bytes.len().max(1));
            bytes.truncate(to);
            bytes.extend(tail);
        }
        if let Ok(image) = decode(&bytes, &SMALL) {
            let pixels = image.width() as usize * image.height() as usize;
            prop_assert_eq!(image.pixels().len(), pixels * 3);
        }
    }
}
