//! What is drawn: a shape with a texture, somewhere.

use rand_chacha::ChaCha8Rng;

use crate::random::{below, uniform};

/// Pixels of an image's side.
pub(super) const SIDE: u16 = 128;

#[derive(Clone, Copy, Debug)]
enum Shape {
    Disc,
    Square,
    Triangle,
    Cross,
}

#[derive(Clone, Copy, Debug)]
enum Texture {
    Stripes,
    Checks,
    Dots,
}

const SHAPES: [Shape; 4] = [Shape::Disc, Shape::Square, Shape::Triangle, Shape::Cross];
const TEXTURES: [Texture; 3] = [Texture::Stripes, Texture::Checks, Texture::Dots];

/// Shapes times textures.
#[expect(clippy::cast_possible_truncation, reason = "a dozen")]
pub(super) const CLASSES: u32 = (SHAPES.len() * TEXTURES.len()) as u32;

/// Farthest that any shape comes from its centre, in radii.
const REACH: f64 = 1.1;

/// What classes are called, by number: `striped disc`.
pub(super) fn class_names() -> Vec<String> {
    let texture = |texture| match texture {
        Texture::Stripes => "striped",
        Texture::Checks => "checked",
        Texture::Dots => "dotted",
    };
    let shape = |shape| match shape {
        Shape::Disc => "disc",
        Shape::Square => "square",
        Shape::Triangle => "triangle",
        Shape::Cross => "cross",
    };
    let named = |of: Shape| TEXTURES.map(|it| format!("{} {}", texture(it), shape(of)));
    SHAPES.into_iter().flat_map(named).collect()
}

pub(super) type Rgb = [f64; 3];

/// Something that covers pixels.
#[derive(Clone, Debug)]
pub(super) struct Thing {
    shape: Shape,
    texture: Texture,
    class: u32,
    colors: [Rgb; 2],
    /// Column and row, in pixels.
    centre: [f64; 2],
    /// In pixels.
    radius: f64,
    /// In radians.
    turn: f64,
    /// Length of the texture's period, in pixels.
    period: f64,
}

impl Thing {
    /// Draws one of a radius in pixels from the first to the second.
    pub(super) fn draw([least, most]: [f64; 2], random: &mut ChaCha8Rng) -> Self {
        let (shape, texture) = (below(SHAPES.len(), random), below(TEXTURES.len(), random));
        let mut within = |least: f64, most: f64| least + (most - least) * uniform(random);
        let radius = within(least, most);
        let first = [(); 3].map(|()| within(0.0, 1.0));
        Self {
            shape: SHAPES[shape],
            texture: TEXTURES[texture],
            class: u32::try_from(shape * TEXTURES.len() + texture).unwrap_or_default(),
            // Each channel far from what it was: the texture is seen whatever the colours.
            colors: [
                first,
                first.map(|channel| (channel + within(0.35, 0.65)) % 1.0),
            ],
            centre: [(); 2].map(|()| within(radius, f64::from(SIDE) - radius)),
            radius,
            turn: within(0.0, std::f64::consts::TAU),
            period: within(7.0, 11.0),
        }
    }

    /// The shape and the texture, from 0.
    pub(super) const fn class(&self) -> u32 {
        self.class
    }

    /// The colour at a column and row, where the thing covers it.
    pub(super) fn at(&self, [column, row]: [f64; 2]) -> Option<Rgb> {
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
        let [u, v] = [across, down].map(|it| (it / self.period).rem_euclid(1.0));
        let second = match self.texture {
            Texture::Stripes => v < 0.5,
            Texture::Checks => (u < 0.5) == (v < 0.5),
            Texture::Dots => (u - 0.5).hypot(v - 0.5) < 0.32,
        };
        Some(self.colors[usize::from(second)])
    }
}

/// The background at a column and row: from one colour to another.
pub(super) fn ground([first, second]: [Rgb; 2], [column, row]: [f64; 2]) -> Rgb {
    let share = (column + row) / (2.0 * f64::from(SIDE));
    [0, 1, 2].map(|channel: usize| first[channel] * (1.0 - share) + second[channel] * share)
}
