//! Objects and what is behind them, and an image of it.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageResult};
use rand_chacha::ChaCha8Rng;

use super::SIDE;
use super::ground::Ground;
use super::thing::Thing;
use crate::random::{below, within};

/// Radii of an object alone, in pixels.
const LARGE: [f64; 2] = [34.0, 52.0];
/// Radii of one among others.
const SMALL: [f64; 2] = [20.0, 32.0];
/// How much the grey level of a pixel is off at most.
const NOISE: [f64; 2] = [-0.05, 0.05];
/// As photographs are kept.
const QUALITY: u8 = 92;

/// What an image shows.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    /// The first lies on top.
    things: Vec<Thing>,
    ground: Ground,
}

impl Picture {
    /// Two or three small objects before a busy ground.
    pub(super) fn scene(random: &mut ChaCha8Rng) -> Self {
        let count = 2 + below(2, random);
        Self {
            things: (0..count).map(|_| Thing::draw(SMALL, random)).collect(),
            ground: Ground::busy(random),
        }
    }

    /// One large object before a plain ground.
    pub(super) fn portrait(random: &mut ChaCha8Rng) -> Self {
        Self {
            things: vec![Thing::draw(LARGE, random)],
            ground: Ground::plain(random),
        }
    }

    /// The class of each object.
    pub(super) fn classes(&self) -> Vec<u32> {
        self.things.iter().map(Thing::class).collect()
    }

    /// A JPEG, and for each pixel the object's number from 1, or 0.
    pub(super) fn paint(&self, random: &mut ChaCha8Rng) -> ImageResult<(Vec<u8>, Vec<u16>)> {
        let (mut pixels, mut ids) = (Vec::new(), Vec::new());
        for (row, column) in (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (row, column))) {
            let at = [f64::from(column), f64::from(row)];
            let object = (1..)
                .zip(&self.things)
                .find_map(|(id, thing)| Some((id, thing.at(at)?)));
            let (id, grey) = object.unwrap_or_else(|| (0, self.ground.at(at)));
            pixels.push(byte(grey + within(NOISE, random)));
            ids.push(id);
        }
        let side = SIDE.into();
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode(
            &pixels,
            side,
            side,
            ExtendedColorType::L8,
        )?;
        Ok((jpeg, ids))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 255"
)]
fn byte(grey: f64) -> u8 {
    (grey.clamp(0.0, 1.0) * 255.0) as u8
}
