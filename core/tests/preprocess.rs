//! Upstream's evaluation preprocessing, against what the published code computed.

mod common;

use std::fmt::Debug;

use detcon_core::image::{ImageLimits, RgbImage, decode_stored};
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
    let file = std::fs::read(common::golden().join("preprocess/center_crop.safetensors")).unwrap();
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
        let path = common::golden().join(format!("images/{name}.{extension}"));
        let preprocess = Preprocess::center_crop(size.parse().unwrap()).unwrap();
        let difference = difference(&preprocess.apply(&common::photograph(&path)), tensor.data());
        println!("{key}: {difference:?}");
        assert!(reference.accepts(difference), "{key}: {difference:?}");
        compared += 1;
    }
    assert!(compared > 0, "no reference images");
}

#[test]
fn the_window_is_upstreams() {
    let file = std::fs::read(common::golden().join("preprocess/center_crop.safetensors")).unwrap();
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
        let photograph = common::photograph(&common::golden().join(format!("images/{name}.png")));
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
