//! What is drawn: a shape with a texture, somewhere.

use rand_chacha::ChaCha8Rng;

use super::SIDE;
use crate::random::{below, uniform, within};

#[derive(Clone, Copy, Debug)]
enum Shape {
    Disc,
    Square,
    Triangle,
    Cross,
}

#[derive(Clone, Copy, Debug)]
enum Pattern {
    Stripes,
    Checks,
    Dots,
    Rings,
}

const SHAPES: [Shape; 4] = [Shape::Disc, Shape::Square, Shape::Triangle, Shape::Cross];
/// With what each is called.
const PATTERNS: [(Pattern, &str); 4] = [
    (Pattern::Stripes, "stripes"),
    (Pattern::Checks, "checks"),
    (Pattern::Dots, "dots"),
    (Pattern::Rings, "rings"),
];
/// Periods of the patterns in pixels, with what each is called.
const SCALES: [(f64, &str); 3] = [(6.0, "fine"), (10.0, "medium"), (16.0, "coarse")];
/// An object's period is its scale's times a number of this range.
const SPREAD: [f64; 2] = [0.9, 1.1];
/// How far apart an object's two grey levels are, modulo 1.
const CONTRAST: [f64; 2] = [0.35, 0.65];
/// Farthest that any shape comes from its centre, in radii.
const REACH: f64 = 1.1;

/// Scales times patterns.
#[expect(clippy::cast_possible_truncation, reason = "a dozen")]
pub(super) const CLASSES: u32 = (SCALES.len() * PATTERNS.len()) as u32;

/// What classes are called, by number: `fine stripes`.
pub(super) fn class_names() -> Vec<String> {
    let of = |(_, scale): (f64, &str)| PATTERNS.map(|(_, pattern)| format!("{scale} {pattern}"));
    SCALES.into_iter().flat_map(of).collect()
}

/// Something that covers pixels.
#[derive(Clone, Debug)]
pub(super) struct Thing {
    shape: Shape,
    pattern: Pattern,
    class: u32,
    /// From 0 to 1.
    greys: [f64; 2],
    /// Column and row, in pixels.
    centre: [f64; 2],
    /// In pixels.
    radius: f64,
    /// In radians.
    turn: f64,
    /// Of the pattern, in pixels.
    period: f64,
}

impl Thing {
    /// Draws one of a radius in pixels from the first to the second.
    pub(super) fn draw(radii: [f64; 2], random: &mut ChaCha8Rng) -> Self {
        let [shape, pattern, scale] =
            [SHAPES.len(), PATTERNS.len(), SCALES.len()].map(|count| below(count, random));
        let radius = within(radii, random);
        let grey = uniform(random);
        Self {
            shape: SHAPES[shape],
            pattern: PATTERNS[pattern].0,
            class: u32::try_from(scale * PATTERNS.len() + pattern).unwrap_or_default(),
            // Far from one another, so that the pattern is seen whatever they are.
            greys: [grey, (grey + within(CONTRAST, random)).fract()],
            centre: [(); 2].map(|()| within([radius, f64::from(SIDE) - radius], random)),
            radius,
            turn: within([0.0, std::f64::consts::TAU], random),
            period: SCALES[scale].0 * within(SPREAD, random),
        }
    }

    /// The scale and the pattern, from 0.
    pub(super) const fn class(&self) -> u32 {
        self.class
    }

    /// The grey level at a column and row, where the thing covers it.
    pub(super) fn at(&self, [column, row]: [f64; 2]) -> Option<f64> {
        let (across, down) = (column - self.centre[0], row - self.centre[1]);
        if across.abs().max(down.abs()) > REACH * self.radius {
            return None;
        }
        let (sin, cos) = self.turn.sin_cos();
        let (across, down) = (cos * across + sin * down, cos * down - sin * across);
        let (x, y) = (across / self.radius, down / self.radius);
        let (near, far) = (x.abs().min(y.abs()), x.abs().max(y.abs()));
        let covers = match self.shape {
            Shape::Disc => x.hypot(y) < 0.9,
            Shape::Square => far < 0.75,
            Shape::Triangle => y > -0.6 && y + 1.9 * x.abs() < 0.95,
            Shape::Cross => near < 0.3 && far < 0.95,
        };
        if !covers {
            return None;
        }
        let in_period = |length: f64| (length / self.period).rem_euclid(1.0);
        let (u, v) = (in_period(across), in_period(down));
        let second = match self.pattern {
            Pattern::Stripes => v < 0.5,
            Pattern::Checks => (u < 0.5) == (v < 0.5),
            Pattern::Dots => (u - 0.5).hypot(v - 0.5) < 0.32,
            Pattern::Rings => in_period(across.hypot(down)) < 0.5,
        };
        Some(self.greys[usize::from(second)])
    }
}
