//! What is behind the objects: from one grey to another, and over it waves.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;

use super::SIDE;
use crate::random::{uniform, within};

/// Waves of a busy ground.
const WAVES: usize = 6;
/// Their lengths in pixels: longer than any pattern's period, so that the ground teaches no pattern.
const LENGTHS: [f64; 2] = [20.0, 100.0];
/// Their heights, of a grey scale from 0 to 1.
const HEIGHTS: [f64; 2] = [-0.2, 0.2];

/// Grey levels that grow across an image.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    ends: [f64; 2],
    waves: Vec<Wave>,
}

#[derive(Clone, Copy, Debug)]
struct Wave {
    /// Turns per pixel along the columns and along the rows.
    frequency: [f64; 2],
    /// In turns.
    phase: f64,
    height: f64,
}

impl Ground {
    /// Without waves.
    pub(super) fn plain(random: &mut ChaCha8Rng) -> Self {
        Self {
            ends: [(); 2].map(|()| uniform(random)),
            waves: Vec::new(),
        }
    }

    /// With waves of all directions and lengths, so that no two images have the same.
    pub(super) fn busy(random: &mut ChaCha8Rng) -> Self {
        let plain = Self::plain(random);
        let wave = |_| {
            let (sin, cos) = (TAU * uniform(random)).sin_cos();
            let length = within(LENGTHS, random);
            Wave {
                frequency: [cos / length, sin / length],
                phase: uniform(random),
                height: within(HEIGHTS, random),
            }
        };
        Self {
            waves: (0..WAVES).map(wave).collect(),
            ..plain
        }
    }

    /// The grey level at a column and row: about 0 to 1.
    pub(super) fn at(&self, [column, row]: [f64; 2]) -> f64 {
        let share = (column + row) / (2.0 * f64::from(SIDE));
        let height = |wave: &Wave| {
            let [across, down] = wave.frequency;
            wave.height * (TAU * (across * column + down * row + wave.phase)).sin()
        };
        let waves: f64 = self.waves.iter().map(height).sum();
        self.ends[0] * (1.0 - share) + self.ends[1] * share + waves
    }
}
