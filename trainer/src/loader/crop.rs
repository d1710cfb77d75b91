//! The part of an image that a view shows.
//!
//! Source: `sample_distorted_bounding_box` of TensorFlow (`GenerateRandomCrop`), as the published `utils/dataset.py`
//! calls it.

use detcon_core::preprocess::Window;
use rand_chacha::rand_core::RngCore;

use crate::random::{below, within};
use crate::recipe::CropSettings;

/// Windows that are tried before the whole image is taken.
const ATTEMPTS: usize = 10;
/// Least share of the image that upstream takes, whatever the settings say (`min_object_covered`).
const COVERED: f64 = 0.1;

/// Draws a window of an image of this height and width.
pub(super) fn draw_window(
    [height, width]: [u32; 2],
    settings: &CropSettings,
    random: &mut impl RngCore,
) -> Window {
    let attempt = |_| window([height, width], settings, random);
    let drawn = (0..ATTEMPTS).map(attempt).find_map(|window| window);
    drawn.unwrap_or(Window {
        offset_y: 0,
        offset_x: 0,
        height,
        width,
    })
}

/// One attempt: an aspect, then a height of those that the area allows, then a place.
fn window(
    [height, width]: [u32; 2],
    settings: &CropSettings,
    random: &mut impl RngCore,
) -> Option<Window> {
    let [rows, columns] = [height, width].map(f64::from);
    let aspect = within(settings.aspect, random);
    let [least, most] = settings.area.map(|share| share * rows * columns);
    let highest = (most / aspect).sqrt().round_ties_even();
    let highest = highest.min(((columns + 0.5) / aspect).floor()).min(rows);
    let lowest = (least / aspect).sqrt().round_ties_even().min(highest);
    let mut crop_height = lowest + f64::from(place(highest - lowest, random));
    let crop_width = |height: f64| (height * aspect).round_ties_even();
    if crop_height * crop_width(crop_height) < least {
        crop_height += 1.0;
    }
    if crop_height * crop_width(crop_height) > most {
        crop_height -= 1.0;
    }
    let crop_width = crop_width(crop_height);
    let area = crop_height * crop_width;
    let fits =
        crop_height >= 1.0 && crop_width >= 1.0 && crop_height <= rows && crop_width <= columns;
    if !fits || area < least || area > most || area < COVERED * rows * columns {
        return None;
    }
    Some(Window {
        offset_y: place(rows - crop_height, random),
        offset_x: place(columns - crop_width, random),
        height: whole(crop_height),
        width: whole(crop_width),
    })
}

/// A whole number from 0 to `most`.
fn place(most: f64, random: &mut impl RngCore) -> u32 {
    let drawn = below(whole(most.max(0.0)) as usize + 1, random);
    u32::try_from(drawn).unwrap_or(0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers within an image's side"
)]
const fn whole(length: f64) -> u32 {
    length as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn windows_keep_within_the_image_the_areas_and_the_aspects() {
        let settings = CropSettings {
            area: [0.08, 1.0],
            aspect: [0.75, 4.0 / 3.0],
        };
        let mut random = stream(2, "test", &[]);
        let (mut areas, mut seen_x) = (Vec::new(), [false; 2]);
        for _ in 0..4000 {
            let window = draw_window([120, 200], &settings, &mut random);
            let [height, width] = [window.height, window.width].map(f64::from);
            assert!(
                window.offset_y + window.height <= 120 && window.offset_x + window.width <= 200
            );
            assert!((0.72..=1.4).contains(&(width / height)), "{window:?}");
            areas.push(height * width / 24_000.0);
            seen_x = [
                seen_x[0] || window.offset_x == 0,
                seen_x[1] || window.offset_x + window.width == 200,
            ];
        }
        areas.sort_by(f64::total_cmp);
        assert!((0.1..0.12).contains(&areas[0]), "{}", areas[0]);
        assert!(areas[3999] > 0.75, "{}", areas[3999]);
        assert_eq!(seen_x, [true; 2]);
    }

    #[test]
    fn an_image_of_one_pixel_is_shown_whole() {
        let settings = CropSettings {
            area: [0.08, 1.0],
            aspect: [0.75, 4.0 / 3.0],
        };
        let window = draw_window([1, 1], &settings, &mut stream(0, "test", &[]));
        assert_eq!((window.height, window.width), (1, 1));
    }
}
