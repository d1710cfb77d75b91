//! Upstream's evaluation preprocessing, against what the published code computed.

use std::fmt::Debug;

use crate::golden;
use detcon_core::image::RgbImage;
use detcon_core::preprocess::{Preprocess, PreprocessError, Scratch, Window};
use proptest::prelude::*;
use safetensors::SafeTensors;

/// The largest and the mean difference of two images, in units of 1/255.
#[derive(Clone, Copy, Debug)]
struct Difference {
    largest: f64,
    mean: f64,
}

/// Compares a preprocessed image with reference values in 1/65535 of [0, 1].
fn difference(image: &RgbImage, reference: &[u8]) -> Difference {
    let reference = reference
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&value| f64::from(u16::from_le_bytes(value)) / 257.0);
    assert_eq!(image.pixels().len(), reference.len(), "sizes differ");
    let differences = image.pixels().iter().zip(reference);
    let differences: Vec<f64> = differences
        .map(|(&ours, theirs)| (f64::from(ours) - theirs).abs())
        .collect();
    #[expect(
        clippy::cast_precision_loss,
        reason = "images have far fewer pixels than 2^52"
    )]
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    Difference {
        largest: differences.into_iter().fold(0.0, f64::max),
        mean,
    }
}

/// What a golden entry compares with, by the parts of its name between the photograph and the size.
enum Reference {
    /// The same pixels: only the resize differs.
    Lossless,
    /// A JPEG that libjpeg-turbo decoded with its accurate transform.
    AccurateJpeg,
    /// A JPEG that TensorFlow decoded with its fast transform.
    FastJpeg,
}

impl Reference {
    fn of(kind: &str) -> (Self, &str) {
        match kind {
            "png" => (Self::Lossless, "png"),
            "jpg.accurate_dct" => (Self::AccurateJpeg, "jpg"),
            "jpg" => (Self::FastJpeg, "jpg"),
            other => panic!("no such kind of reference: {other}"),
        }
    }

    /// Rounding to bytes alone is up to 0.5, on average 0.25.
    fn accepts(&self, difference: Difference) -> bool {
        match self {
            Self::Lossless => difference.largest <= 1.0 && difference.mean <= 0.3,
            Self::AccurateJpeg => difference.mean <= 0.5,
            Self::FastJpeg => difference.mean <= 1.3,
        }
    }
}

#[test]
fn photographs_come_out_as_upstream_makes_them() {
    let file = std::fs::read(golden::folder().join("preprocess/center_crop.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&file).unwrap();
    let mut compared = 0;
    for (key, tensor) in golden.tensors() {
        let Some((name, size)) = key
            .rsplit_once('.')
            .filter(|(_, last)| last.parse::<u32>().is_ok())
        else {
            continue;
        };
        let (name, kind) = name.split_once('.').unwrap();
        let (reference, extension) = Reference::of(kind);
        let path = golden::folder().join(format!("images/{name}.{extension}"));
        let preprocess = Preprocess::center_crop(size.parse().unwrap()).unwrap();
        let difference = difference(&preprocess.apply(&golden::photograph(&path)), tensor.data());
        assert!(reference.accepts(difference), "{key}: {difference:?}");
        compared += 1;
    }
    assert!(compared > 0, "no reference images");
}

#[test]
fn the_window_is_upstreams() {
    let file = std::fs::read(golden::folder().join("preprocess/center_crop.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&file).unwrap();
    let preprocess = Preprocess::center_crop(224).unwrap();
    let mut compared = 0;
    for (key, tensor) in golden.tensors() {
        let Some(name) = key.strip_suffix(".window") else {
            continue;
        };
        let values = tensor
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&value| u32::from_le_bytes(value));
        let [offset_y, offset_x, height, width] = values.collect::<Vec<_>>().try_into().unwrap();
        let photograph = golden::photograph(&golden::folder().join(format!("images/{name}.png")));
        let window = preprocess.window(photograph.height(), photograph.width());
        assert_eq!(
            window,
            Window {
                offset_y,
                offset_x,
                height,
                width
            },
            "{key}"
        );
        compared += 1;
    }
    assert!(compared > 0, "no reference windows");
}

/// An image of no particular content.
fn noise(width: u32, height: u32) -> RgbImage {
    let mut state = width.wrapping_mul(31).wrapping_add(height);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    };
    let bytes = width as usize * height as usize * 3;
    RgbImage::new(width, height, (0..bytes).map(|_| next()).collect()).unwrap()
}

#[test]
fn images_of_any_shape_are_preprocessed() {
    let preprocess = Preprocess::center_crop(224).unwrap();
    for (width, height) in [
        (1, 1),
        (1, 10_000),
        (10_000, 1),
        (2, 2),
        (3, 1),
        (5000, 20),
        (224, 224),
        (256, 256),
    ] {
        let input = preprocess.apply(&noise(width, height));
        assert_eq!(
            (input.width(), input.height()),
            (224, 224),
            "{width}x{height}"
        );
    }
}

/// Weights sum to one everywhere, at the borders too.
#[test]
fn a_flat_image_stays_flat() {
    let preprocess = Preprocess::center_crop(33).unwrap();
    for (width, height) in [(1, 1), (7, 300), (40, 31), (640, 427)] {
        let flat = [17, 130, 255].repeat(width as usize * height as usize);
        let input = preprocess.apply(&RgbImage::new(width, height, flat).unwrap());
        assert!(
            input
                .pixels()
                .chunks(3)
                .all(|pixel| pixel == [17, 130, 255]),
            "{width}x{height}"
        );
    }
}

#[test]
fn a_window_of_the_inputs_size_passes_unchanged() {
    let image = noise(256, 256);
    let preprocess = Preprocess::center_crop(224).unwrap();
    let input = preprocess.apply(&image);
    let rows = image.pixels().chunks(256 * 3).skip(16).take(224);
    let window: Vec<u8> = rows
        .flat_map(|row| &row[16 * 3..240 * 3])
        .copied()
        .collect();
    assert_eq!(input.pixels(), window);
}

#[test]
fn a_slot_of_a_batch_is_filled_alike_by_used_buffers() {
    let mut scratch = Scratch::default();
    for size in [224, 32, 96] {
        let preprocess = Preprocess::center_crop(size).unwrap();
        for (width, height) in [(640, 427), (20, 30), (451, 300)] {
            let image = noise(width, height);
            let mut slot = vec![7; preprocess.output_len()];
            preprocess
                .apply_into(&image, &mut slot, &mut scratch)
                .unwrap();
            assert_eq!(
                slot,
                preprocess.apply(&image).pixels(),
                "{width}x{height} to {size}"
            );
        }
    }
}

#[test]
fn an_output_of_the_wrong_length_is_an_error() {
    let preprocess = Preprocess::center_crop(2).unwrap();
    let error = preprocess.apply_into(&noise(9, 9), &mut [0; 11], &mut Scratch::default());
    assert_eq!(
        error,
        Err(PreprocessError::OutputLength {
            expected: 12,
            actual: 11
        })
    );
}

#[test]
fn a_manifest_gives_and_keeps_all_settings() {
    let json = r#"{"method":"center_crop","size":224,"crop_padding":32,"interpolation":"bicubic"}"#;
    let preprocess = Preprocess::center_crop(224).unwrap();
    assert_eq!(
        serde_json::from_str::<Preprocess>(json).unwrap(),
        preprocess
    );
    assert_eq!(serde_json::to_string(&preprocess).unwrap(), json);
}

#[test]
fn what_a_manifest_cannot_mean_is_an_error() {
    for json in [
        r#"{"method":"center_crop","size":0,"crop_padding":32,"interpolation":"bicubic"}"#,
        r#"{"method":"center_crop","size":4097,"crop_padding":32,"interpolation":"bicubic"}"#,
        r#"{"method":"squash","size":224,"crop_padding":32,"interpolation":"bicubic"}"#,
        r#"{"method":"center_crop","size":224,"crop_padding":32,"interpolation":"bilinear"}"#,
        r#"{"method":"center_crop","size":224,"crop_padding":-1,"interpolation":"bicubic"}"#,
        r#"{"method":"center_crop","size":224,"interpolation":"bicubic"}"#,
        r#"{"method":"center_crop","size":224,"crop_padding":32,"interpolation":"bicubic","mean":0}"#,
    ] {
        assert!(serde_json::from_str::<Preprocess>(json).is_err(), "{json}");
    }
}

#[test]
fn the_schema_states_the_range_of_sizes() {
    let schema = serde_json::to_value(schemars::schema_for!(Preprocess)).unwrap();
    let size = &schema["$defs"]["InputSize"];
    assert_eq!(
        (&size["minimum"], &size["maximum"]),
        (&1.into(), &4096.into()),
        "{schema}"
    );
    assert_eq!(schema["additionalProperties"], false);
}

proptest! {
    #[test]
    fn the_window_lies_in_the_image(
        size in 1_u32..=4096,
        height in 1..=u32::MAX,
        width in 1..=u32::MAX,
        small in any::<bool>(),
    ) {
        let (height, width) = if small { (height % 600 + 1, width % 600 + 1) } else { (height, width) };
        let window = Preprocess::center_crop(size).unwrap().window(height, width);
        prop_assert!(window.height >= 1 && window.height == window.width);
        prop_assert!(u64::from(window.offset_y) + u64::from(window.height) <= u64::from(height));
        prop_assert!(u64::from(window.offset_x) + u64::from(window.width) <= u64::from(width));
    }
}
