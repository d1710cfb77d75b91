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

/// Reference values, which lie in 1/65535 of [0, 1], in units of 1/255.
fn levels(reference: &[u8]) -> Vec<f64> {
    let values = reference.as_chunks::<2>().0.iter();
    values
        .map(|&value| f64::from(u16::from_le_bytes(value)) / 257.0)
        .collect()
}

fn difference(one: &[f64], other: &[f64]) -> Difference {
    assert_eq!(one.len(), other.len(), "sizes differ");
    let differences: Vec<f64> = one.iter().zip(other).map(|(a, b)| (a - b).abs()).collect();
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

/// Mean difference that rounding to bytes may make: it makes 0.25 where values are spread evenly, 0.5 at most.
const ROUNDING: f64 = 0.3;

/// The golden inputs `NAME.KIND.SIZE`, and the windows in which they were cut, `NAME.window`.
struct Inputs(Vec<u8>);

impl Inputs {
    fn open() -> Self {
        let path = golden::folder().join("preprocess/center_crop.safetensors");
        Self(std::fs::read(path).unwrap())
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    /// How far ours is from each input of a kind; and that input, by name and size.
    fn compared(&self, kind: &str, ending: &str) -> Vec<Compared> {
        let compare = |key: &str, reference: &[u8]| {
            let (rest, size) = key.rsplit_once('.')?;
            let name = rest.strip_suffix(kind)?.strip_suffix('.')?;
            let photograph = golden::folder().join(format!("images/{name}.{ending}"));
            let preprocess = Preprocess::center_crop(size.parse().ok()?).unwrap();
            let ours = preprocess.apply(&golden::photograph(&photograph));
            let ours: Vec<f64> = ours.pixels().iter().map(|&it| f64::from(it)).collect();
            let reference = levels(reference);
            Some(Compared {
                input: (name.to_owned(), size.to_owned()),
                difference: difference(&ours, &reference),
                reference,
            })
        };
        let tensors = self.tensors();
        let names = tensors.tensors().into_iter();
        let compared: Vec<_> = names
            .filter_map(|(key, tensor)| compare(&key, tensor.data()))
            .collect();
        assert!(!compared.is_empty(), "no references of the kind {kind}");
        compared
    }
}

struct Compared {
    input: (String, String),
    difference: Difference,
    reference: Vec<f64>,
}

/// On equal pixels only the resize differs.
#[test]
fn photographs_come_out_as_upstream_makes_them() {
    for found in Inputs::open().compared("png", "png") {
        let Difference { largest, mean } = found.difference;
        assert!(
            largest <= 1.0 && mean <= ROUNDING,
            "{:?}: {largest}, on average {mean}",
            found.input
        );
    }
}

/// Accurate decoders differ by how they round alone: by less than half a level on average, our bytes included.
#[test]
fn jpegs_come_out_as_of_an_accurate_decoder() {
    for found in Inputs::open().compared("jpg.accurate_dct", "jpg") {
        let mean = found.difference.mean;
        assert!(mean <= 0.5, "{:?}: {mean} on average", found.input);
    }
}

/// Upstream decodes with a fast transform. How far that is from an accurate one depends on the photograph: libjpeg's own
/// accurate decoder says how far, and ours is no further but for its rounding.
#[test]
fn jpegs_are_no_further_from_upstreams_than_libjpegs_own_accurate_decoder() {
    let inputs = Inputs::open();
    let fast = inputs.compared("jpg", "jpg");
    for accurate in inputs.compared("jpg.accurate_dct", "jpg") {
        let input = &accurate.input;
        let upstream = fast.iter().find(|it| it.input == *input);
        let upstream = upstream.unwrap_or_else(|| panic!("{input:?} has no fast transform"));
        let between = difference(&accurate.reference, &upstream.reference).mean;
        let ours = upstream.difference.mean;
        assert!(
            ours <= between + ROUNDING,
            "{input:?}: {ours}, libjpeg {between}"
        );
    }
}

#[test]
fn the_window_is_upstreams() {
    let inputs = Inputs::open();
    let preprocess = Preprocess::center_crop(224).unwrap();
    let mut compared = 0;
    for (key, tensor) in inputs.tensors().tensors() {
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
