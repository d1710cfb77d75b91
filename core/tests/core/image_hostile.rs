//! Files made to do harm: headers that lie, contents that unpack to far more than they are, and random damage. Each
//! gets an answer, and none gets memory or time for what it claims to be.

use detcon_core::image::{Format, ImageError, ImageLimits, decode};
use proptest::prelude::*;

use crate::fixtures::{fixture, pictures};

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
fn a_jpeg_of_nothing_but_empty_tables_is_refused() {
    let bytes = [b"\xff\xd8".as_slice(), &b"\xff\xdb\x00\x02".repeat(1 << 20)].concat();
    let error = decode(&bytes, &ImageLimits::default()).unwrap_err();
    assert!(
        matches!(
            error,
            ImageError::Corrupt {
                format: Format::Jpeg,
                ..
            }
        ),
        "{error}"
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
