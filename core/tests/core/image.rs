//! Decoding, against what Pillow makes of small files of every kind (see `fixtures/make.py`), and of files
//! that were cut.

use std::path::Path;

use crate::golden;
use detcon_core::image::{Format, ImageError, ImageLimits, RgbImage, decode, decode_stored};

use crate::fixtures::{fixture, fixtures, pictures};

/// The format that a fixture is named for.
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
        let expected = golden::photograph(&path.with_file_name(format!("{name}.expected.png")));
        let bytes = std::fs::read(&path).unwrap();
        let ours = match decode(&bytes, &ImageLimits::default()) {
            Ok(ours) => ours,
            Err(error)
                if ["one_scan_each", "finer"]
                    .iter()
                    .any(|it| name.contains(it)) =>
            {
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
    let folder = std::fs::read_dir(golden::folder().join("images")).unwrap();
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
            for end in [b"\xff\xd9".as_slice(), b"\xff\xdb\x00\x02\xff\xd9"] {
                let repaired = [&bytes[..length], end].concat();
                if let Ok(part) = decode(&repaired, &ImageLimits::default()) {
                    assert_eq!(part, whole, "{name} cut at {length} of {}", bytes.len());
                }
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

#[test]
fn formats_that_are_not_read_are_refused_by_their_names() {
    let boxes = |brands: &[&[u8; 4]]| {
        let length = u8::try_from(8 + 4 * brands.len()).unwrap();
        let brands = brands.iter().flat_map(|brand| brand.iter().copied());
        let start = [0, 0, 0, length].into_iter().chain(*b"ftyp");
        start.chain(brands).collect::<Vec<u8>>()
    };
    let minor = b"\0\0\0\0";
    for (file, name) in [
        (boxes(&[b"heic", minor, b"mif1", b"heic"]), "HEIC"),
        (boxes(&[b"mif1", minor, b"heix"]), "HEIC"),
        (boxes(&[b"msf1", minor]), "HEIC"),
        (boxes(&[b"avif", minor, b"mif1", b"miaf"]), "AVIF"),
        (boxes(&[b"mif1", minor, b"avif"]), "AVIF"),
        (b"\xff\x0a\x00".to_vec(), "JPEG XL"),
        (b"%PDF-1.7".to_vec(), "PDF"),
    ] {
        let refused = decode(&file, &ImageLimits::default()).unwrap_err();
        assert_eq!(refused, ImageError::OtherFormat { name });
        assert!(refused.to_string().contains(name) && refused.to_string().contains("JPEG"));
    }
    for file in [boxes(&[b"isom", minor]), b"\0\0\0\x0cftyp".to_vec()] {
        let refused = decode(&file, &ImageLimits::default());
        assert_eq!(refused, Err(ImageError::UnknownFormat));
    }
}

#[test]
fn chroma_that_is_finer_than_luma_is_refused_by_name() {
    let refused = decode(&fixture("chroma_finer.jpg"), &ImageLimits::default());
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("more finely than luma"), "{refused}");
}
