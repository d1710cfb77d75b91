//! The part of an image that a view shows.
//!
//! Source: `get_random_crop_window` of the published `utils/tf_image_ops.py`, in its 32 bits, and the flip of its
//! `preprocess_image`. Nothing is drawn twice: a side that is too long is cut to the image's.

use detcon_core::preprocess::{Flip, Window};
use rand_chacha::rand_core::RngCore;

use crate::random::uniform_23;
use crate::recipe::CropSettings;

/// The numbers that a window is made of, each a multiple of 2^-23 in [0, 1), in the order in which upstream draws them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    area: f32,
    log_ratio: f32,
    x: f32,
    y: f32,
}

impl Draws {
    pub(super) fn new(random: &mut impl RngCore) -> Self {
        let [area, log_ratio, x, y] = [(); 4].map(|()| uniform_23(random));
        Self {
            area,
            log_ratio,
            x,
            y,
        }
    }
}

/// Whether a view is mirrored, which is drawn after its window.
pub(super) fn draw_flip(random: &mut impl RngCore) -> Flip {
    if uniform_23(random) < 0.5 {
        Flip::LeftRight
    } else {
        Flip::None
    }
}

/// The window of an image of this height and width that the draws lead to.
///
/// In an image of up to four pixels a side can round to 0, with which upstream fails: here it is one pixel.
pub(super) fn window([height, width]: [u32; 2], settings: &CropSettings, draws: Draws) -> Window {
    let area = between(settings.area, draws.area) * single(u64::from(height) * u64::from(width));
    let logs = settings.aspect.map(ln);
    let aspect = (draws.log_ratio * (logs[1] - logs[0]) + logs[0]).exp();
    let side = |length: f32, most: u32| whole(length.round_ties_even()).clamp(1, most.max(1));
    let crop_width = side((area * aspect).sqrt(), width);
    let crop_height = side((area / aspect).sqrt(), height);
    let offset = |draw: f32, room: u32| whole(draw * single(u64::from(room) + 1)).min(room);
    Window {
        offset_y: offset(draws.y, height.saturating_sub(crop_height)),
        offset_x: offset(draws.x, width.saturating_sub(crop_width)),
        height: crop_height,
        width: crop_width,
    }
}

/// TensorFlow's `random.uniform` of reals: each operation rounded to 32 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "TensorFlow computes in 32 bits"
)]
const fn between([least, most]: [f64; 2], draw: f32) -> f32 {
    draw * (most as f32 - least as f32) + least as f32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "TensorFlow computes in 32 bits"
)]
fn ln(aspect: f64) -> f32 {
    (aspect as f32).ln()
}

#[expect(clippy::cast_precision_loss, reason = "TensorFlow computes in 32 bits")]
const fn single(count: u64) -> f32 {
    count as f32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lengths within an image's side"
)]
const fn whole(length: f32) -> u32 {
    length as u32
}

#[cfg(test)]
mod tests {
    use detcon_tests::golden::directory;
    use serde_json::Value;

    use super::*;
    use crate::random::stream;
    use crate::recipe::Recipe;

    /// Draws of the published function in one place of the file, and their windows; and its distribution.
    fn golden() -> Value {
        let path = directory().join("objective/crop_windows.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn size(of: &Value) -> [u32; 2] {
        ["height", "width"].map(|side| u32::try_from(of[side].as_u64().unwrap()).unwrap())
    }

    #[test]
    fn windows_are_upstreams_draw_for_draw() {
        let cases = golden()["cases"].as_array().unwrap().clone();
        assert!(!cases.is_empty());
        for case in cases {
            #[expect(clippy::cast_possible_truncation, reason = "they are 32-bit numbers")]
            let draw = |name: &str| case[name].as_f64().unwrap() as f32;
            let draws = Draws {
                area: draw("u_area"),
                log_ratio: draw("u_log_ratio"),
                x: draw("u_x"),
                y: draw("u_y"),
            };
            let found = window(size(&case), &Recipe::default().crop, draws);
            let found = [found.offset_y, found.offset_x, found.height, found.width];
            let expected: [u32; 4] = serde_json::from_value(case["window"].clone()).unwrap();
            if case["degenerate"] == true {
                // Upstream fails; here what has no length has one pixel.
                let [height, width] = size(&case);
                assert!(found[2] >= 1 && found[3] >= 1, "{case}");
                assert!(found[0] + found[2] <= height && found[1] + found[3] <= width);
            } else {
                assert_eq!(found, expected, "{case}");
            }
        }
    }

    /// Percentiles of the area's share and of the aspect ratio, over as many draws as the published function's.
    #[test]
    fn areas_and_aspects_are_distributed_as_upstreams() {
        for case in golden()["distribution"].as_array().unwrap() {
            let [height, width] = size(case);
            let mut random = stream(11, "test", &[]);
            let (mut areas, mut aspects) = (Vec::new(), Vec::new());
            for _ in 0..case["draws"].as_u64().unwrap() {
                let window = window(
                    [height, width],
                    &Recipe::default().crop,
                    Draws::new(&mut random),
                );
                let [rows, columns] = [window.height, window.width].map(f64::from);
                areas.push(rows * columns / (f64::from(height) * f64::from(width)));
                aspects.push(columns / rows);
            }
            for (key, found) in [("area_share", areas), ("aspect_ratio", aspects)] {
                check_percentiles(key, found, &case[key]);
            }
        }
    }

    fn check_percentiles(what: &str, mut found: Vec<f64>, expected: &Value) {
        found.sort_by(f64::total_cmp);
        for (percentile, expected) in expected.as_object().unwrap() {
            let percent: usize = percentile.parse().unwrap();
            let quantile = found[(found.len() - 1) * percent / 100];
            let error = quantile - expected.as_f64().unwrap();
            assert!(
                error.abs() <= 0.005,
                "{what}, {percentile} %: {quantile}, off by {error}"
            );
        }
    }
}
