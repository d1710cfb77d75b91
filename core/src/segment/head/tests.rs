//! Heads against plain loops in float64.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

use super::*;

const CHANNELS: usize = 5;
const HIDDEN: usize = 4;
const CLASSES: usize = 3;

#[expect(clippy::cast_precision_loss, reason = "24 bits")]
fn random(shape: &[usize], random: &mut ChaCha8Rng) -> Tensor {
    let values = (0..shape.iter().product())
        .map(|_| (random.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0);
    Tensor::new(shape.to_vec(), values.collect())
}

fn tensors(kind: HeadKind, rng: &mut ChaCha8Rng) -> Tensors {
    let classifier = |inputs, rng: &mut ChaCha8Rng| {
        [
            random(&[CLASSES, inputs, 1, 1], rng),
            random(&[CLASSES], rng),
        ]
    };
    let named =
        |names: [&str; 2], tensors: [Tensor; 2]| names.map(str::to_owned).into_iter().zip(tensors);
    match kind {
        HeadKind::Linear => named(HeadKind::CLASSIFIER, classifier(CHANNELS, rng)).collect(),
        HeadKind::Fcn => {
            let hidden = [
                random(&[HIDDEN, CHANNELS, KERNEL, KERNEL], rng),
                random(&[HIDDEN], rng),
            ];
            named(HeadKind::CLASSIFIER, classifier(HIDDEN, rng))
                .chain(named(HeadKind::HIDDEN, hidden))
                .collect()
        }
    }
}

/// A convolution with zeros around the grid: `[C, height, width]` → `[outputs, height, width]`.
fn convolved(
    input: &[f64],
    [height, width]: [usize; 2],
    weight: &Tensor,
    bias: &Tensor,
) -> Vec<f64> {
    let [outputs, channels, side, _] = *weight.shape() else {
        panic!("four axes")
    };
    let mut found = Vec::new();
    for output in 0..outputs {
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let mut sum = f64::from(bias.values()[output]);
            for channel in 0..channels {
                for (i, j) in (0..side).flat_map(|i| (0..side).map(move |j| (i, j))) {
                    let row = (y + i).checked_sub(side / 2).filter(|&row| row < height);
                    let column = (x + j).checked_sub(side / 2).filter(|&it| it < width);
                    if let (Some(row), Some(column)) = (row, column) {
                        let place = ((output * channels + channel) * side + i) * side + j;
                        sum += f64::from(weight.values()[place])
                            * input[(channel * height + row) * width + column];
                    }
                }
            }
            found.push(sum);
        }
    }
    found
}

#[test]
fn both_kinds_compute_their_convolutions() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for kind in [HeadKind::Linear, HeadKind::Fcn] {
        for (height, width) in [(1, 1), (2, 5), (7, 4)] {
            let tensors = tensors(kind, &mut rng);
            let size = [height, width].map(|side| side as usize);
            let features = random(&[CHANNELS, size[0], size[1]], &mut rng);
            let map = FeatureMap::new(features.values(), CHANNELS, height, width).unwrap();
            let head = SegmentationHead::from_tensors(kind, &tensors, CHANNELS, CLASSES).unwrap();
            let logits = head.logits(map).unwrap();

            let mut expected: Vec<f64> = features.values().iter().copied().map(f64::from).collect();
            if kind == HeadKind::Fcn {
                let [weight, bias] = HeadKind::HIDDEN.map(|name| &tensors[name]);
                expected = convolved(&expected, size, weight, bias);
                for value in &mut expected {
                    *value = value.max(0.0);
                }
            }
            let [weight, bias] = HeadKind::CLASSIFIER.map(|name| &tensors[name]);
            let expected = convolved(&expected, size, weight, bias);
            assert_eq!(logits.size(), [height, width]);
            for (place, found) in logits.values().iter().enumerate() {
                let (cell, class) = (place / CLASSES, place % CLASSES);
                let expected = expected[class * size[0] * size[1] + cell];
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-5,
                    "{kind:?} {found} {expected}"
                );
            }
        }
    }
}

/// Between the middles of two cells, the classes change where their interpolated scores are equal: of scores 3 : 0 and
/// 0 : 1 that is three quarters of the way.
#[test]
fn classes_change_where_interpolated_scores_are_equal() {
    let logits = Logits(Scores::new([1, 2], 2, vec![3.0, 0.0, 0.0, 1.0]));
    let map = logits.classes(2, 16).unwrap();
    // Middles at 4 and 12, so the border is at 10.
    let row: Vec<u16> = (0..16).map(|x| u16::from(x >= 10)).collect();
    assert_eq!(map.ids(), [row.clone(), row].concat());
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let whole = tensors(HeadKind::Fcn, &mut rng);
    let refusal = |kind, tensors: &Tensors, channels, classes| {
        SegmentationHead::from_tensors(kind, tensors, channels, classes).unwrap_err()
    };
    assert!(matches!(
        refusal(HeadKind::Linear, &whole, CHANNELS, CLASSES),
        HeadError::Names { .. }
    ));
    for (channels, classes) in [(CHANNELS + 1, CLASSES), (CHANNELS, CLASSES + 1)] {
        let error = refusal(HeadKind::Fcn, &whole, channels, classes);
        assert!(matches!(error, HeadError::Shape { .. }), "{error}");
    }
    let mut broken = whole.clone();
    broken.insert(
        "hidden.bias".to_owned(),
        Tensor::new(vec![HIDDEN], vec![f32::NAN; HIDDEN]),
    );
    let error = refusal(HeadKind::Fcn, &broken, CHANNELS, CLASSES);
    assert_eq!(
        error,
        HeadError::NotFinite {
            name: "hidden.bias"
        }
    );

    let head = SegmentationHead::from_tensors(HeadKind::Fcn, &whole, CHANNELS, CLASSES).unwrap();
    let features = [0.0; CHANNELS - 1];
    let narrow = FeatureMap::new(&features, CHANNELS - 1, 1, 1).unwrap();
    let error = head.logits(narrow).unwrap_err();
    let (found, expected) = (CHANNELS - 1, CHANNELS);
    assert_eq!(error, SegmentError::Channels { found, expected });
}
