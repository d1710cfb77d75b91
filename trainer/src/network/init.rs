//! How weights start.
//!
//! Source: the defaults of dm-haiku 0.0.11, which the published code keeps: weights from a normal distribution of
//! standard deviation `1/√fan-in`, truncated at two of them; scales 1 (0 in the last batch norm of a bottleneck block).

use detcon_core::checkpoint::Tensor;
use rand_chacha::ChaCha8Rng;

use super::table::{Role, Row};
use crate::random::{stream, uniform};

/// Where the normal distribution is cut, in standard deviations.
const CUT: f64 = 2.0;

/// The initial value of a learned tensor; none for moving averages. It depends on the seed and the tensor's name alone.
pub(super) fn weight(row: &Row, seed: u64) -> Option<Tensor> {
    let count = row.shape.iter().product();
    let values = match row.role {
        Role::Weight { fan_in } => truncated_normal(row, fan_in, count, seed),
        Role::Scale => vec![1.0; count],
        Role::Bias | Role::LastScale | Role::Offset => vec![0.0; count],
        Role::Average => return None,
    };
    Some(Tensor::new(row.shape.clone(), values))
}

#[expect(clippy::cast_precision_loss, reason = "fan-ins are small numbers")]
#[expect(clippy::cast_possible_truncation, reason = "weights are float32")]
fn truncated_normal(row: &Row, fan_in: usize, count: usize, seed: u64) -> Vec<f32> {
    let deviation = 1.0 / (fan_in as f64).sqrt();
    let mut normal = Normal(stream(seed, &row.name, &[]));
    let values = std::iter::repeat_with(|| normal.pair()).flatten();
    values
        .filter(|value| value.abs() <= CUT)
        .map(|value| (value * deviation) as f32)
        .take(count)
        .collect()
}

/// Standard normal values in pairs (Box and Muller 1958).
struct Normal(ChaCha8Rng);

impl Normal {
    fn pair(&mut self) -> [f64; 2] {
        let radius = (-2.0 * (1.0 - uniform(&mut self.0)).ln()).sqrt();
        let angle = std::f64::consts::TAU * uniform(&mut self.0);
        [radius * angle.cos(), radius * angle.sin()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, role: Role) -> Row {
        Row {
            name: name.to_owned(),
            shape: vec![100, 200],
            role,
        }
    }

    /// A normal distribution cut at ±2 keeps 0.8796 of its standard deviation.
    #[test]
    fn weights_are_normal_cut_at_two_deviations() {
        let weights = weight(&row("a", Role::Weight { fan_in: 25 }), 0).unwrap();
        let values = weights.values();
        let largest = values
            .iter()
            .fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!((0.39..=0.4).contains(&largest), "{largest}");
        let square: f32 = values.iter().map(|value| value * value).sum();
        let deviation = (square / 20_000.0).sqrt();
        assert!((deviation - 0.2 * 0.8796).abs() < 0.003, "{deviation}");
    }

    #[test]
    fn each_name_and_seed_has_weights_of_its_own() {
        let draw = |name: &str, seed| weight(&row(name, Role::Weight { fan_in: 9 }), seed);
        assert_eq!(draw("a", 1), draw("a", 1));
        assert_ne!(draw("a", 1), draw("b", 1));
        assert_ne!(draw("a", 1), draw("a", 2));
    }

    #[test]
    fn averages_are_not_drawn() {
        assert_eq!(weight(&row("a", Role::Average), 0), None);
    }
}
