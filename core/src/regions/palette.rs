//! Colours for segments: the same for the same id everywhere, and far apart for ids that are near.

/// An endless, fixed list of colours.
#[derive(Clone, Copy, Debug, Default)]
pub struct Palette;

impl Palette {
    /// The RGB colour of an id. Hues advance by the golden angle, which keeps any run of ids apart; saturation and
    /// brightness change from id to id.
    #[must_use]
    pub fn color(self, id: u16) -> [u8; 3] {
        const GOLDEN_TURN: f64 = 0.618_033_988_749_895;
        const SHADES: [[f64; 2]; 3] = [[0.85, 0.95], [0.5, 1.0], [0.95, 0.6]];
        let hue = (f64::from(id) * GOLDEN_TURN).fract();
        let [saturation, brightness] = SHADES[usize::from(id) % SHADES.len()];
        hsv(hue, saturation, brightness)
    }
}

/// A colour of hue, saturation and brightness from 0 to 1.
fn hsv(hue: f64, saturation: f64, brightness: f64) -> [u8; 3] {
    [5.0, 3.0, 1.0].map(|offset| {
        let phase = (offset + hue * 6.0) % 6.0;
        let ramp = phase.min(4.0 - phase).clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the value is from 0 to 255"
        )]
        let level = (255.0 * brightness * (1.0 - saturation * ramp)).round() as u8;
        level
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_ids_have_colours_that_one_can_tell_apart() {
        let distance = |one: [u8; 3], other: [u8; 3]| -> u32 {
            let differences = one.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(b)));
            differences.sum()
        };
        for id in 0..200 {
            for other in id + 1..id + 9 {
                let (one, two) = (Palette.color(id), Palette.color(other));
                assert!(distance(one, two) >= 100, "{id} {one:?}, {other} {two:?}");
            }
        }
    }
}
